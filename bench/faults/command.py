"""`bench faults`: options, a shop of its own, progress, and the report."""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.faults import chaos
from bench.faults.chaos import Outcome, Plan
from bench.faults.records import Databases
from launcher.problem import Problem
from launcher.screen import console, say
from launcher.shop import Shop


def main(arguments: Sequence[str]) -> int:
    """Run as `arguments` say; the exit status."""
    options = _options(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    plan = Plan(options.checkouts, seed, options.shoppers, options.gap, options.squall)
    say(f"seed {seed}")
    folder = Path(tempfile.mkdtemp(prefix="shop-faults-"))
    try:
        env = {"AMQP_URI": None, "DATABASE_URL": None}
        with Shop.on_free_ports(folder / "var", env=env, copies=chaos.copies_of(options.copies)) as shop:
            databases = Databases(None, str(shop.place.var_dir))
            outcome = asyncio.run(chaos.run(plan, shop, databases, Progress()))
            databases.close()
    except Problem as problem:
        say(f"{problem.detail}\n{problem}")
        return 1
    finally:
        if options.keep:
            say(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    _print(outcome)
    return 0 if not outcome.violations and outcome.settled.in_time else 1


class Progress:
    """One line now and then, or a line that changes on a terminal."""

    def __init__(self) -> None:
        self._said = 0.0
        self._began = time.monotonic()

    def __call__(self, outcome: Outcome, wanted: int) -> None:
        now = time.monotonic()
        if now - self._said < (0.4 if console.is_terminal else 10.0):
            return
        self._said = now
        kills = sum(outcome.killed.values())
        settled = outcome.settled
        say(
            f"{now - self._began:5.0f} s  {outcome.journal.placed}/{wanted} checkouts  {outcome.rate:.1f}/s"
            f"  {kills} kills  {sum(outcome.troubles.values())} troubles  {outcome.lulls} lulls"
            f"  {len(settled.times)} interrupted, 95 % settled in {settled.percentile(95):.1f} s"
        )


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./install_run_project bench faults", description=__doc__)
    parser.add_argument("--checkouts", type=int, default=200)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--shoppers", type=int, default=16)
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--gap", type=float, default=3.0)
    parser.add_argument("--squall", type=float, default=30.0)
    parser.add_argument("--keep", action="store_true")
    return parser.parse_args(arguments)


def _print(outcome: Outcome) -> None:
    print(outcome.plan)
    print(f"{outcome.journal.placed} placed in {outcome.seconds:.1f} s: {outcome.rate:.2f}/s; {outcome.orders}")
    print("killed", outcome.killed, "troubles", outcome.troubles, "lulls", outcome.lulls)
    print("heard", dict(outcome.journal.heard))
    print("lost", len(outcome.journal.lost))
    for lost in outcome.journal.lost[:10]:
        print("   ", lost)
    settled = outcome.settled
    print("settled", len(settled.times), [settled.percentile(share) for share in (50, 90, 95, 99, 100)], settled.late)
    print(len(outcome.violations), "violations")
    for violation in outcome.violations[:60]:
        print("   ", violation)
    sys.stdout.flush()

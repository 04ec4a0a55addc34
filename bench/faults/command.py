"""`bench faults`: options, a separate shop, progress, and the report."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.faults import chaos, report, storm, trials
from bench.faults.chaos import Outcome, Plan
from bench.faults.outages import LASTS
from bench.faults.quiet import tracking_poll
from bench.faults.stage import ADDED, POSTGRESQL, SQLITE, stage
from bench.rpc import machine
from chassis.rpc import broker_connection
from launcher.place import ROOT
from launcher.problem import Problem
from launcher.screen import console, say

RESULTS = ROOT / "bench" / "results"
PACKAGES = ("nameko", "uvicorn", "eventlet", "SQLAlchemy", "stripe", "shippo", "twilio", "sendgrid")
LINES = 15.0  # seconds between two lines when the output is not a terminal
RESTART_GAP = 3.0  # seconds


def main(arguments: Sequence[str]) -> int:
    """Run as `arguments` specify; return 0 when everything is correct."""
    options = _options(arguments)
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    if options.trial:
        return _tried(options, seed)
    gap = RESTART_GAP if options.restarts else options.gap
    say(f"seed {seed}")
    try:
        env = {"TRACKING_POLL": str(tracking_poll(options.checkouts)), **ADDED}
        troubled = bool(gap) and not options.restarts and any(name in LASTS for name in options.troubles)
        with stage(options.database, options.copies, env, options.keep, troubled) as found:
            possible = (storm.KILL, storm.PROVIDER, *found.outages.possible)
            troubles = tuple(name for name in possible if name in options.troubles)
            plan = Plan(options.checkouts, seed, options.shoppers, gap, options.squall, options.restarts, troubles)
            plan = replace(plan, aftermath=options.aftermath)
            about = _about(options, found.shop.amqp_uri)
            with _shown() as progress:
                outcome = asyncio.run(chaos.run(plan, found.shop, found.databases, progress, found.outages))
    except Problem as problem:
        say(f"{problem.detail}\n{problem}")
        return 1
    page = report.markdown(outcome, about)
    print(page)
    if options.keep:
        (options.keep / "faults.json").write_text(json.dumps(report.document(outcome, about), indent=1))
    if options.save:
        kind = "restarts-" if options.restarts else "outages-" if plan.outages else ""
        kind = "aftermath-" if plan.aftermath else kind
        name = f"faults-{kind}{options.database}"
        (RESULTS / f"{name}.md").write_text(page, encoding="utf-8")
        text = json.dumps(report.document(outcome, about), indent=1)
        (RESULTS / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
        say(f"Saved as bench/results/{name}.md and .json.")
    return 0 if outcome.well else 1


def _tried(options: argparse.Namespace, seed: int) -> int:
    say(f"seed {seed}")
    try:
        trial = trials.run(options.trial, options.rounds, seed, options.database, options.keep)
    except Problem as problem:
        say(f"{problem.detail}\n{problem}")
        return 1
    print(trial.page())
    if options.save:
        say(f"Saved as bench/results/{trial.save(RESULTS)}.md and .json.")
    return 1 if trial.wrong else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./install_run_project bench faults",
        description="Shoppers buy while parts of the shop are killed and providers fail; then the books are checked.",
    )
    parser.add_argument("--checkouts", type=int, default=200, metavar="N", help="orders to be placed (200)")
    parser.add_argument("--seed", type=int, metavar="S", help="of what goes wrong and what shoppers do (a new one)")
    parser.add_argument("--database", choices=(SQLITE, POSTGRESQL), default=SQLITE)
    parser.add_argument("--shoppers", type=int, default=16, metavar="N", help="at a time (16)")
    parser.add_argument("--copies", type=int, default=1, metavar="N", help="processes of each service (1)")
    parser.add_argument(
        "--gap", type=float, default=storm.MEAN_GAP, metavar="S", help="mean between two events; 0: none (3)"
    )
    parser.add_argument("--squall", type=float, default=storm.SQUALL, metavar="S", help="between two lulls (30)")
    parser.add_argument(
        "--restarts", type=int, default=0, metavar="N", help="nothing goes wrong but N restarts of the broker"
    )
    names = (storm.KILL, storm.PROVIDER, *LASTS)
    parser.add_argument(
        "--troubles", nargs="+", choices=names, default=names, help="what goes wrong (all that this machine allows)"
    )
    parser.add_argument(
        "--aftermath",
        action="store_true",
        help="also disputes, refunds that fail, debits, lost messages, expired rates, and failures that Stripe keeps",
    )
    trial = parser.add_mutually_exclusive_group()
    for kind, what in {
        trials.CRASH_POINTS: "instead: the process that reaches a crash point is killed there, for every point",
        trials.RACES: "instead: one key sent by fifty at once; a hundred who want the last piece or redemption",
        trials.MODEL: "instead: a state machine shops at random and compares the results with a model",
    }.items():
        trial.add_argument(f"--{kind}", dest="trial", action="store_const", const=kind, help=what)
    parser.add_argument("--rounds", type=int, metavar="N", help="of those (1 for every point, 50 races, 300 runs)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the shop's data and logs there")
    parser.add_argument("--save", action="store_true", help="write the report to bench/results/ as well")
    return parser.parse_args(arguments)


def _about(options: argparse.Namespace, amqp_uri: str) -> dict[str, Any]:
    return {
        **machine.about(_broker(amqp_uri), PACKAGES),
        "database": {SQLITE: "SQLite", POSTGRESQL: "PostgreSQL"}[options.database],
        "copies": options.copies,
    }


def _broker(uri: str) -> str:
    with broker_connection.connect(uri, "bench", 5.0) as connection:
        properties = connection.server_properties
        return f"{properties.get('product', 'broker')} {properties.get('version', '')}".strip()


@contextlib.contextmanager
def _shown() -> Iterator[chaos.Progress]:
    """Show a line that is updated on a terminal; elsewhere, print a line from time to time."""
    began, said = time.monotonic(), [0.0]

    with console.status("faults …") as spinner:

        def show(outcome: Outcome) -> None:
            now = time.monotonic()
            kills, troubles = sum(outcome.killed.values()), sum(outcome.troubles.values())
            settled = outcome.settled
            line = (
                f"{now - began:.0f} s: {outcome.journal.placed} of {outcome.plan.checkouts} checkouts"
                f" ({outcome.rate:.1f} a second), {kills} kills, {troubles} troubles; {len(settled.times)} interrupted"
                f" orders, 95 % settled in {settled.percentile(95):.1f} s"
            )
            if console.is_terminal:
                spinner.update(line)
            elif now - said[0] > LINES:
                said[0] = now
                say(line)

        yield show

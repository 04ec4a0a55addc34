"""`bench abuse`: options, its own shop, progress, and the report."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import random
import time
from collections.abc import Sequence
from pathlib import Path

from bench.abuse import answers, cost, fuzz, report, strangers
from bench.abuse.report import Outcome
from bench.abuse.target import Target, target
from bench.rpc import machine
from launcher.place import ROOT
from launcher.problem import Problem
from launcher.screen import say

RESULT = ROOT / "bench" / "results" / "abuse.md"
PARTS = ("answers", "fuzz", "cost", "strangers")
ROW_MODULES = ("bench.abuse.events", "bench.abuse.places")
FUZZED, FUZZED_SHORT = 20_000, 300
SHORT_BODIES, SHORT_HEADS, SHORT_ROUNDS, SHORT_SECONDS = 40, 500, 1, 12.0
PACKAGES = ("nameko", "uvicorn", "eventlet", "SQLAlchemy")


def rows() -> list[answers.Row]:
    """The whole table of attacks with their correct answers."""
    for name in ROW_MODULES:
        importlib.import_module(name)
    return answers.ROWS


def main(arguments: Sequence[str]) -> int:
    """Run as `arguments` specify; return 0 when there is no finding."""
    options = _options(arguments)
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    say(f"seed {seed}")
    try:
        with target(options.keep) as shop:
            about = machine.about("a private RabbitMQ", PACKAGES)
            outcome = asyncio.run(run(shop, options, seed))
    except Problem as problem:
        say(f"{problem.detail}\n{problem}")
        return 1
    outcome.about = about
    page = report.markdown(outcome)
    print(page)
    if options.save:
        RESULT.write_text(page, encoding="utf-8")
        say(f"Saved as {RESULT.relative_to(ROOT)}.")
    return 1 if outcome.findings else 0


async def run(shop: Target, options: argparse.Namespace, seed: int) -> Outcome:
    """Run the parts that the options select on a running shop."""
    outcome, began = Outcome(seed), time.monotonic()

    def progress(what: str) -> None:
        say(f"{time.monotonic() - began:.0f} s: {what[:300]}")

    if "answers" in options.only:
        wanted = [row for row in rows() if not options.row or options.row in str(row)]
        outcome.rows = await answers.run(shop, progress, wanted)
    if "fuzz" in options.only:
        outcome.fuzzed = await fuzz.run(shop, seed, options.requests, progress, options.first)
    if "cost" in options.only:
        outcome.costs = await cost.run(shop, progress, options.short)
    if "strangers" in options.only and options.short:
        outcome.strangers = await strangers.run(
            shop, progress, SHORT_BODIES, SHORT_HEADS, SHORT_ROUNDS, SHORT_SECONDS, judge_ratio=False
        )
    elif "strangers" in options.only:
        outcome.strangers = await strangers.run(shop, progress)
    return outcome


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./install_run_project bench abuse",
        description="Expensive bodies, slow strangers, fuzzed requests, and the right answer to every known attack.",
    )
    parser.add_argument("--seed", type=int, metavar="S", help="of the fuzzed requests (a new one)")
    parser.add_argument("--short", action="store_true", help="as CI runs it: a minute instead of half an hour")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to run (all)")
    parser.add_argument("--requests", type=int, metavar="N", help=f"fuzzed requests ({FUZZED}; short: {FUZZED_SHORT})")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first of them (0)")
    parser.add_argument("--row", default="", metavar="TEXT", help="only the right answers whose title contains it")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the shop's data and logs there")
    parser.add_argument("--save", action="store_true", help="write the report to bench/results/ as well")
    options = parser.parse_args(arguments)
    if options.requests is None:
        options.requests = FUZZED_SHORT if options.short else FUZZED
    return options

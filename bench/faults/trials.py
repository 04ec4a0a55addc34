"""Trials in rounds: every crash point, races, and the state machine that is compared with a model."""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.faults.crash_points import CrashPoints, all_cases, bugs, settled_within, summary, troubled_cases
from bench.faults.front import Front
from bench.faults.races import LastPiece, LastRedemption, clicks, one_key
from bench.faults.settling import BARS
from bench.faults.stage import stage
from launcher.screen import say

CRASH_POINTS, RACES, MODEL = "crash-points", "races", "model"
ROUNDS = {CRASH_POINTS: 1, RACES: 50, MODEL: 300}
KEY_ROUNDS = 2  # rounds of one key sent by many, for each round of the last piece
COPIES = 5


@dataclass
class Trial:
    """The result: the seed that reproduces it, the counts, and the failures."""

    kind: str
    database: str
    rounds: int
    seed: int
    counted: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def page(self) -> str:
        """Return the same for a reader."""
        lines = [
            f"# bench faults --{self.kind}",
            "",
            f"{self.rounds} rounds over {self.database}, seed {self.seed}.",
            "",
        ]
        lines += [f"- {what}: {value}" for what, value in self.counted.items()]
        lines += ["", f"{len(self.wrong)} violations", *(f"- {wrong}" for wrong in self.wrong)]
        return "\n".join(lines) + "\n"

    def save(self, results: Path) -> str:
        """Write it; return its name in the folder of results."""
        name = f"faults-{self.kind}-{self.database}"
        (results / f"{name}.md").write_text(self.page(), encoding="utf-8")
        (results / f"{name}.json").write_text(json.dumps(self.__dict__, indent=1) + "\n", encoding="utf-8")
        return name


def run(kind: str, rounds: int | None, seed: int, database: str, keep: Path | None = None) -> Trial:
    """Run it on a new shop, stored in `keep` if given. Raises Problem when the shop cannot start."""
    trial = Trial(kind, database, rounds or ROUNDS[kind], seed)
    began = time.monotonic()
    {CRASH_POINTS: _crash_points, RACES: _races, MODEL: _model}[kind](trial, keep)
    trial.counted["minutes"] = round((time.monotonic() - began) / 60, 1)
    return trial


def _crash_points(trial: Trial, keep: Path | None) -> None:
    """Every point with both kinds of shopper. The timeout of the caller is long in one round and short in the next, so
    that the redelivered message finishes the story once, and the completer once."""
    endings = []
    for round_number in range(2 * trial.rounds):
        with tempfile.TemporaryDirectory(prefix="shop-points-") as points:
            patience = {"PAY_TIMEOUT": "3", "RPC_TIMEOUT": "3"} if round_number % 2 else {}
            folder = keep / f"round-{round_number + 1}" if keep else None
            with stage(trial.database, COPIES, {"CRASH_POINTS": points, **patience}, folder) as found:
                front = Front(found.shop.url, found.shop.sandbox_url)
                cases = [*all_cases(full=True), *troubled_cases()]
                random.Random(trial.seed + round_number).shuffle(cases)
                endings += CrashPoints(front, found.databases, Path(points), say).run(cases)
                say(summary(endings))
                trial.wrong += bugs(found.shop.place.var_dir / "logs")
    trial.counted["deaths"] = len(endings)
    for share, seconds in BARS:
        within = settled_within(endings, seconds)
        trial.counted[f"settled within {seconds:.0f} s"] = f"{within:.1%}"
        if within * 100 < share:
            trial.wrong.append(f"only {within:.1%} settled within {seconds:.0f} s")
    trial.counted["settled (median / 95 % / last)"] = summary(endings)
    trial.wrong += [f"{ending.case}: {ending.wrong}" for ending in endings if ending.wrong]


def _races(trial: Trial, keep: Path | None) -> None:
    """In every round one sale of the last piece, one redemption of a code, and one key twice."""
    with stage(trial.database, COPIES, folder=keep) as found:
        front = Front(found.shop.url, found.shop.sandbox_url)
        last, code = LastPiece(front), LastRedemption(front)
        for number in range(trial.rounds):
            _try(trial, "sales of the last piece", last.round)
            _try(trial, "last redemptions of a code", code.round)
            for _ in range(KEY_ROUNDS):
                _try(trial, "one key, 50 requests at once", lambda: one_key(front))
            _try(trial, "a checkout, 20 clicks at once", lambda: clicks(front))
            say(f"round {number + 1} of {trial.rounds}: {trial.counted}, {len(trial.wrong)} wrong")


def _model(trial: Trial, keep: Path | None) -> None:
    """The state machine; it stops at the first difference, because later results mean nothing."""
    from bench.faults.model import drive  # Hypothesis is only in the test dependencies

    with stage(trial.database, folder=keep) as found:
        front = Front(found.shop.url, found.shop.sandbox_url)
        try:
            tally = drive(front, trial.rounds, trial.seed, say=say)
        except Exception as error:
            trial.wrong.append(f"{type(error).__name__}: {error}")
        else:
            trial.counted |= {"runs": tally.runs, "steps": tally.steps, "orders": tally.orders}
            trial.counted["ends"] = ", ".join(f"{what} {count}" for what, count in sorted(tally.ends.items()))


def _try(trial: Trial, what: str, race: Callable[[], Any]) -> None:
    try:
        race()
    except AssertionError as error:
        trial.wrong.append(f"{what}: {error}")
    else:
        trial.counted[what] = trial.counted.get(what, 0) + 1

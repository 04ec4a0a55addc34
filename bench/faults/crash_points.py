"""Every named point: the process that reaches it is killed there, and the story is finished by whatever survives."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.faults import points, stories
from bench.faults.front import Front
from bench.faults.records import Databases
from bench.faults.settling import BARS, Settled, unsettled
from bench.faults.stories import Story

# How many stories are told side by side. A kill hits one of them, and whatever else its process had in hand.
TELLERS = 10
# When all of it must be settled (seconds after the kill), and how often that is looked at.
LATEST = BARS[-1][1]
LOOK = 0.4
# For how long a story is followed that is hit again and again (seconds).
PATIENCE = 120.0
# How long a point that was armed may wait for somebody to reach it (seconds): what is told by a timer takes a while.
REACHED_WITHIN = 20.0


@dataclass(frozen=True)
class Case:
    """One death.

    Attributes:
        point: where; or None for a trouble of a provider instead.
        telling: the story that passes it.
        stays: whether its shopper repeats the request.
        trouble: the provider and its fault.
    """

    point: str | None
    telling: stories.Telling
    stays: bool
    trouble: tuple[str, dict[str, Any]] | None = None

    def __str__(self) -> str:
        what = self.point or f"{self.trouble}"
        return f"{what}, {getattr(self.telling, '__name__', '')}, who {'repeats' if self.stays else 'leaves'}"


CONFIRM = "/v1/payment_intents/*/confirm"
# The bank does it and says nothing, to all three tries of Stripe's client; or hangs.
TROUBLES = (
    ("stripe", {"lose_answer_rate": 1, "path": CONFIRM, "times": 3}),
    ("stripe", {"hang_rate": 1, "path": CONFIRM, "times": 1}),
)


# What the bank says differs, and so does what has to be done.
MANIFOLD = ("pay:confirm:asked",)


def all_cases(full: bool) -> list[Case]:
    """Every point: with every story that passes it and both kinds of shopper, or with one and the other in turn."""
    found: list[Case] = []
    names = sorted({point for module in points.declared().values() for point in module})
    for number, point in enumerate(names):
        tellings = stories.passing(point)
        if full:
            found += [Case(point, telling, stays) for telling in tellings for stays in (True, False)]
        elif point in MANIFOLD:
            found += [Case(point, telling, (number + turn) % 2 == 0) for turn, telling in enumerate(tellings)]
        else:
            found.append(Case(point, tellings[number // 2 % len(tellings)], number % 2 == 0))
    # So that those which wear out one service do not all come together.
    return [*found[::3], *found[1::3], *found[2::3]]


def troubled_cases() -> list[Case]:
    """A provider in trouble at the moment of truth."""
    return [Case(None, stories.Pays, stays, trouble) for trouble in TROUBLES for stays in (True, False)]


@dataclass
class Ending:
    """How a case ended.

    Attributes:
        seconds: from the last kill that any process suffered meanwhile until all was right.
        own: from the story's own kill until then, whatever else was killed in between.
        wrong: what was wrong, or None.
        began, ended: the story's beginning, and when all was right (Unix seconds).
    """

    case: Case
    seconds: float = 0.0
    own: float = 0.0
    wrong: str | None = None
    began: float = field(default_factory=time.time)
    ended: float = 0.0


@dataclass
class CrashPoints:
    """Kills the processes of a shop, which has at least two copies of each service, at one point after the other.

    Attributes:
        front: the shop.
        databases: its databases, read to see what is still to be done.
        folder: where it looks for the points to die at (CRASH_POINTS).
        say: told of every ending.
    """

    front: Front
    databases: Databases
    folder: Path
    say: Callable[[str], None] = print
    killed: dict[str, list[float]] = field(default_factory=dict)
    _locks: dict[str, threading.Lock] = field(default_factory=dict)

    def run(self, cases: Sequence[Case], tellers: int = TELLERS) -> list[Ending]:
        """How each case ended."""
        with self._watch(), ThreadPoolExecutor(tellers) as pool:
            told = list(pool.map(self._tell, cases))
        endings = []
        for ending, story in told:
            # Once more when all is quiet: what came twice may have come late.
            if ending.wrong is None and story is not None:
                ending.wrong = self._wrong(story, ending)
            endings.append(ending)
        return endings

    def _tell(self, case: Case) -> tuple[Ending, Story | None]:
        ending = Ending(case)
        story: Story | None = None
        try:
            story = case.telling(self.front, case.stays)
            story.begin()
            if case.point is None:
                self._troubled(case, story, ending)
            else:
                with self._locks.setdefault(case.point, threading.Lock()):
                    self._die(case.point, story, ending)
        except Exception as error:
            ending.wrong = f"{type(error).__name__}: {error}"
        self.say(f"{ending.seconds:5.1f} s  {ending.own:5.1f} s  {case}{': ' + ending.wrong if ending.wrong else ''}")
        return ending, story

    def _die(self, point: str, story: Story, ending: Ending) -> None:
        first = stories.before(point)
        for name in (first, point):
            if name is not None:
                self._arm(name)
        began = time.time()
        try:
            story.act()
            died = self._await_death(point, began)
        finally:
            for name in (first, point):
                if name is not None:
                    self._file(name).unlink(missing_ok=True)
        if died is None:
            ending.wrong = "nobody reached it"
            return
        self._settle(story, ending, died)

    def _troubled(self, case: Case, story: Story, ending: Ending) -> None:
        assert case.trouble is not None
        provider, fault = case.trouble
        with self._locks.setdefault(provider, threading.Lock()):
            self.front.fault(provider, **fault)
            try:
                story.act()
                ended = time.time()
            finally:
                self.front.fault(provider)
        self._settle(story, ending, ended)

    def _settle(self, story: Story, ending: Ending, since: float) -> None:
        """Wait until all is right."""
        while True:
            wrong = "something is still to be done" if self._open(story) else self._wrong(story, ending)
            ending.ended = time.time()
            ending.own = ending.ended - since
            ending.seconds = ending.ended - max(since, self._last_kill())
            if wrong is None:
                return
            if ending.seconds > LATEST or ending.own > PATIENCE:
                ending.wrong = f"not after {ending.seconds:.0f} s: {wrong}; {self._row(story)}"
                return
            time.sleep(LOOK)

    def _open(self, story: Story) -> bool:
        return story.order_id in unsettled(self.databases)

    def _wrong(self, story: Story, ending: Ending) -> str | None:
        row = self._row(story)
        return story.wrong(str(row.get("status")), mails=2 if self._mailer_died(ending) else 1)

    def _row(self, story: Story) -> dict[str, Any]:
        query = "SELECT id, status, attempt, payment, stock_key, lease FROM orders WHERE id = :id"
        found = self.databases.rows("cart", query, id=story.order_id)
        return found[0] if found else {}

    def _last_kill(self) -> float:
        return max((times[-1] for times in list(self.killed.values())), default=0.0)

    def _mailer_died(self, ending: Ending) -> bool:
        """Whether a mail of this story may have been under way when a copy of its sender died: nobody can find out then
        whether it was sent, and it is sent again."""
        until = ending.ended or time.time()
        deaths = [
            at for point, times in list(self.killed.items()) if point.startswith(("email:", "sms:")) for at in times
        ]
        return any(ending.began <= at <= until for at in deaths)

    # Arming, and seeing who died

    def _file(self, point: str) -> Path:
        return self.folder / point.replace(":", "-")

    def _arm(self, point: str) -> None:
        self._file(point).touch()

    def _await_death(self, point: str, since: float) -> float | None:
        """When somebody died there, at last."""
        until = time.time() + REACHED_WITHIN
        while self._file(point).exists():
            if time.time() > until:
                return None
            time.sleep(0.02)
        time.sleep(0.05)
        return max((at for at in self.killed.get(point, []) if at >= since), default=time.time())

    @contextmanager
    def _watch(self) -> Iterator[None]:
        """Note when the file of a point goes."""
        stop = threading.Event()

        def look() -> None:
            there: set[str] = set()
            while not stop.wait(0.02):
                now = {path.name for path in self.folder.iterdir()}
                for name in there - now:
                    self.killed.setdefault(name.replace("-", ":"), []).append(time.time())
                there = now

        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join(5)


def bugs(logs: Path) -> list[str]:
    """What the gateway calls a bug, as its logs in that folder tell: nobody may be answered 500."""
    lines = [
        line
        for log in sorted(logs.glob("gateway*.log*"))
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
    ]
    return [line[-800:] for line in lines if '"event":"bug"' in line]


def summary(endings: Sequence[Ending]) -> str:
    """How long it took to settle, in one line."""
    if not endings:
        return "nothing was killed"
    within = sum(1 for ending in endings if ending.seconds <= BARS[0][1]) / len(endings)
    wrong = sum(1 for ending in endings if ending.wrong)
    return (
        f"{len(endings)} deaths: settled {_spread([ending.seconds for ending in endings])} after the last kill"
        f" ({within:.0%} within {BARS[0][1]:.0f} s), {_spread([ending.own for ending in endings])} after their own;"
        f" {wrong} wrong"
    )


def _spread(seconds: list[float]) -> str:
    settled = Settled(seconds)
    return " / ".join(f"{settled.percentile(share):.1f} s" for share in (50, 95, 100))

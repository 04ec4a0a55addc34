"""Every crash point: the process that reaches it is killed there, and the surviving processes finish the story."""

from __future__ import annotations

import math
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

# How many stories run concurrently, each with a crash of its own. The next wave starts when all of these have settled,
# so that the settling time can be counted from the wave's last crash.
CONCURRENT_STORIES = 5
# The time limits for settling (seconds after the last crash), and how often that is checked.
LATEST = BARS[-1][1]
LOOK_INTERVAL_S = 0.4
# How long an armed point may wait for a process to reach it (seconds): work started by a timer takes a while.
REACHED_WITHIN = 60.0
# When a shopper returns to pay an order that another crash of the wave has reopened (seconds).
AGAIN_AFTER_S = 10.0


@dataclass(frozen=True)
class Case:
    """One crash.

    Attributes:
        point: the crash point; or None for a fault of a provider instead.
        make_story: returns the story that passes it.
        stays: whether its shopper repeats the request.
        trouble: the provider and its fault.
    """

    point: str | None
    make_story: stories.StoryFactory
    stays: bool
    trouble: tuple[str, dict[str, Any]] | None = None

    def __str__(self) -> str:
        what = self.point or f"{self.trouble}"
        return f"{what}, {getattr(self.make_story, '__name__', '')}, who {'repeats' if self.stays else 'leaves'}"


CONFIRM = "/v1/payment_intents/*/confirm"
# The bank performs the payment and answers none of the three attempts of Stripe's client; or it hangs.
TROUBLES = (
    ("stripe", {"lose_answer_rate": 1, "path": CONFIRM, "times": 3}),
    ("stripe", {"hang_rate": 1, "path": CONFIRM, "times": 1}),
)


# Each answer of the bank requires different work.
MANIFOLD = ("pay:confirm:asked",)


def all_cases(full: bool) -> list[Case]:
    """Return every point: if `full`, with every story that passes it and both kinds of shopper, else with one of each
    in turn."""
    found: list[Case] = []
    names = sorted({point for module in points.declared().values() for point in module})
    for number, point in enumerate(names):
        factories = stories.passing(point)
        if full:
            found += [Case(point, factory, stays) for factory in factories for stays in (True, False)]
        elif point in MANIFOLD:
            found += [Case(point, factory, (number + turn) % 2 == 0) for turn, factory in enumerate(factories)]
        else:
            found.append(Case(point, factories[number // 2 % len(factories)], number % 2 == 0))
    # Mixed, so that the cases that wear out one service do not all run together.
    return [*found[::3], *found[1::3], *found[2::3]]


def troubled_cases() -> list[Case]:
    """Return the cases with a provider's fault during the payment."""
    return [Case(None, stories.Pays, stays, trouble) for trouble in TROUBLES for stays in (True, False)]


@dataclass
class Ending:
    """The outcome of a case.

    Attributes:
        seconds: from the last crash of its wave until everything was correct; infinite unless that was seen.
        own: from the crash at the story's own point until then.
        wrong: what was wrong, or None.
    """

    case: Case
    seconds: float = math.inf
    own: float = math.inf
    wrong: str | None = None


@dataclass
class CaseRun:
    """One run of a case: its story, its crash, and its outcome.

    Attributes:
        ending: the outcome so far.
        story: None when it could not be started.
        died: Unix seconds of its crash, or of the end of its provider's fault; 0 when that did not happen.
    """

    ending: Ending
    story: Story | None = None
    died: float = 0.0


def waves(cases: Sequence[Case], size: int) -> Iterator[list[Case]]:
    """Yield the cases in waves; no two of a wave crash at the same point, or have a fault of the same provider."""
    left = list(cases)
    while left:
        wave: list[Case] = []
        taken: set[str | None] = set()
        for case in left:
            wanted = {case.trouble[0]} if case.trouble else {case.point, stories.before(case.point or "")} - {None}
            if len(wave) < size and not wanted & taken:
                wave.append(case)
                taken |= wanted
        left = [case for case in left if not any(case is each for each in wave)]
        yield wave


@dataclass
class CrashPoints:
    """Kills the processes of a shop at one point after the other. The shop has at least two copies of each service.

    Attributes:
        front: the shop.
        databases: its databases, read to find unfinished work.
        folder: where the shop looks for the points to crash at (CRASH_POINTS).
        say: called with every outcome.
    """

    front: Front
    databases: Databases
    folder: Path
    say: Callable[[str], None] = print
    killed: dict[str, list[float]] = field(default_factory=dict)

    def run(self, cases: Sequence[Case], concurrent_stories: int = CONCURRENT_STORIES) -> list[Ending]:
        """Run all cases; return their outcomes."""
        runs: list[CaseRun] = []
        with self._watch(), ThreadPoolExecutor(concurrent_stories) as pool:
            for wave in waves(cases, concurrent_stories):
                wave_runs = list(pool.map(self._run_case, wave))
                last = max(each.died for each in wave_runs)
                list(pool.map(lambda each, last=last: self._settle(each, last), wave_runs))
                runs += wave_runs
        for each in runs:
            # Checked once more after everything is quiet, because a duplicate may arrive late.
            if each.ending.wrong is None and each.story is not None:
                each.ending.wrong = self._wrong(each.story)
        return [each.ending for each in runs]

    def _run_case(self, case: Case) -> CaseRun:
        """Run the story up to the crash at its point, or past its provider's fault."""
        run = CaseRun(Ending(case))
        try:
            run.story = case.make_story(self.front, case.stays)
            run.story.begin()
            if case.point is None:
                run.died = self._troubled(case, run.story)
            else:
                run.died = self._die(case.point, run.story)
                if not run.died:
                    run.ending.wrong = "nobody reached it"
        except Exception as error:
            run.ending.wrong = f"{type(error).__name__}: {error}"
        return run

    def _die(self, point: str, story: Story) -> float:
        """Return when a process crashed there; 0 when none did."""
        first = stories.before(point)
        for name in (first, point):
            if name is not None:
                self._arm(name)
        began = time.time()
        try:
            story.act()
            return self._await_death(point, began, story)
        finally:
            for name in (first, point):
                if name is not None:
                    self._file(name).unlink(missing_ok=True)

    def _troubled(self, case: Case, story: Story) -> float:
        """Return when the fault was over."""
        assert case.trouble is not None
        provider, fault = case.trouble
        self.front.fault(provider, **fault)
        try:
            story.act()
        finally:
            self.front.fault(provider)
        return time.time()

    def _settle(self, run: CaseRun, last: float) -> None:
        """Wait until everything is correct, counted from the last crash of the wave (Unix seconds)."""
        ending, story = run.ending, run.story
        first = True
        while ending.wrong is None and story is not None:
            wrong = "something is still to be done" if self._open(story) else self._wrong(story)
            now = time.time()
            if wrong is None:
                ending.own = now - run.died
                # A story that settled before the last crash cannot be timed from that crash.
                ending.seconds = ending.own if first else now - last
                break
            if now - last > LATEST:
                ending.wrong = f"not after {now - last:.0f} s: {wrong}; {self._row(story)}"
                break
            first = False
            time.sleep(LOOK_INTERVAL_S)
        wrong = f": {ending.wrong}" if ending.wrong else ""
        self.say(f"{ending.seconds:5.1f} s  {ending.own:5.1f} s  {ending.case}{wrong}")

    def _open(self, story: Story) -> bool:
        return story.order_id in unsettled(self.databases)

    def _wrong(self, story: Story) -> str | None:
        row = self._row(story)
        return story.wrong(str(row.get("status")), mails=1 + self._uncertain(story))

    def _uncertain(self, story: Story) -> int:
        """Return how often its mail was sent again although it may have been sent before: the sender crashed, and there
        is no way to find out."""
        query = "SELECT uncertain FROM messages WHERE key = :key"
        found = self.databases.rows("notifications", query, key=f"{story.order_id}:email")
        return int(found[0]["uncertain"]) if found else 0

    def _row(self, story: Story) -> dict[str, Any]:
        query = "SELECT id, status, attempt, payment, stock_key, claimed_until, due_at FROM orders WHERE id = :id"
        found = self.databases.rows("cart", query, id=story.order_id)
        return found[0] if found else {}

    def _was_cut_off(self, story: Story) -> bool:
        """Whether another crash of the wave ended a payment before it reached the point, and its shopper has left."""
        return isinstance(story, stories.Pays) and not story.stays and self._row(story).get("status") == stories.CREATED

    # Arming, and detecting crashes

    def _file(self, point: str) -> Path:
        return self.folder / point.replace(":", "-")

    def _arm(self, point: str) -> None:
        self._file(point).touch()

    def _await_death(self, point: str, since: float, story: Story) -> float:
        """Wait for a crash at the point, and return its time; 0 when none happened."""
        began = time.monotonic()
        again = began + AGAIN_AFTER_S
        while self._file(point).exists():
            now = time.monotonic()
            if now > began + REACHED_WITHIN:
                return 0.0
            if now > again and self._was_cut_off(story):
                story.act()
                again = now + AGAIN_AFTER_S
            time.sleep(0.02)
        time.sleep(0.05)
        return max((at for at in self.killed.get(point, []) if at >= since), default=time.time())

    @contextmanager
    def _watch(self) -> Iterator[None]:
        """Record when the file of a point disappears."""
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
    """Return what the gateway reports as a bug in its logs in that folder: no request may be answered with 500."""
    lines = [
        line
        for log in sorted(logs.glob("gateway*.log*"))
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
    ]
    return [line[-800:] for line in lines if '"event":"bug"' in line]


def settled_within(endings: Sequence[Ending], seconds: float) -> float:
    """Return the share of the cases that settled within that many seconds after the last crash of their wave; a case
    that was never seen to settle counts as not settled."""
    return sum(1 for ending in endings if ending.wrong is None and ending.seconds <= seconds) / max(1, len(endings))


def summary(endings: Sequence[Ending]) -> str:
    """Return the settling times in one line."""
    if not endings:
        return "nothing was killed"
    within = settled_within(endings, BARS[0][1])
    wrong = sum(1 for ending in endings if ending.wrong)
    return (
        f"{len(endings)} deaths: settled {_spread([ending.seconds for ending in endings])} after the last death"
        f" ({within:.0%} within {BARS[0][1]:.0f} s), {_spread([ending.own for ending in endings])} after their own;"
        f" {wrong} wrong"
    )


def _spread(seconds: list[float]) -> str:
    settled = Settled(seconds)
    return " / ".join(f"{settled.percentile(share):.1f} s" for share in (50, 95, 100))

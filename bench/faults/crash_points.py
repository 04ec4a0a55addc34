"""Every named point: the process that reaches it is killed there, and the story is finished by whatever survives."""

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

# How many stories are told side by side, each with a death of its own; the next ones are told when all of these have
# come to their end, so that the time which that takes can be counted from the last of these deaths.
TELLERS = 5
# When all of it must be settled (seconds after the last death), and how often that is looked at.
LATEST = BARS[-1][1]
LOOK = 0.4
# How long a point that was armed may wait for somebody to reach it (seconds): what is told by a timer takes a while.
REACHED_WITHIN = 60.0
# When a shopper comes back to pay an order that another death of the wave has opened again (seconds).
AGAIN_AFTER = 10.0


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
        seconds: from the last death of its wave until all was right; infinite unless that was seen.
        own: from the death at the story's own point until then.
        wrong: what was wrong, or None.
    """

    case: Case
    seconds: float = math.inf
    own: float = math.inf
    wrong: str | None = None


@dataclass
class Told:
    """A case whose death has happened, and whose story is still to be settled.

    Attributes:
        ending: so far.
        story: None when it could not even be begun.
        died: Unix seconds of its death, or when its provider's trouble was over; 0 when that did not come.
    """

    ending: Ending
    story: Story | None = None
    died: float = 0.0


def waves(cases: Sequence[Case], size: int) -> Iterator[list[Case]]:
    """The cases, so many at a time; no two of a wave die at one point, or have trouble with one provider."""
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

    def run(self, cases: Sequence[Case], tellers: int = TELLERS) -> list[Ending]:
        """How each case ended."""
        told: list[Told] = []
        with self._watch(), ThreadPoolExecutor(tellers) as pool:
            for wave in waves(cases, tellers):
                struck = list(pool.map(self._tell, wave))
                last = max(each.died for each in struck)
                list(pool.map(lambda each, last=last: self._settle(each, last), struck))
                told += struck
        for each in told:
            # Once more when all is quiet: what came twice may have come late.
            if each.ending.wrong is None and each.story is not None:
                each.ending.wrong = self._wrong(each.story)
        return [each.ending for each in told]

    def _tell(self, case: Case) -> Told:
        told = Told(Ending(case))
        try:
            told.story = case.telling(self.front, case.stays)
            told.story.begin()
            if case.point is None:
                told.died = self._troubled(case, told.story)
            else:
                told.died = self._die(case.point, told.story)
                if not told.died:
                    told.ending.wrong = "nobody reached it"
        except Exception as error:
            told.ending.wrong = f"{type(error).__name__}: {error}"
        return told

    def _die(self, point: str, story: Story) -> float:
        """When somebody died there; 0 when nobody did."""
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
        """When the trouble was over."""
        assert case.trouble is not None
        provider, fault = case.trouble
        self.front.fault(provider, **fault)
        try:
            story.act()
        finally:
            self.front.fault(provider)
        return time.time()

    def _settle(self, told: Told, last: float) -> None:
        """Wait until all is right, counted from the last death of the wave (Unix seconds)."""
        ending, story = told.ending, told.story
        first = True
        while ending.wrong is None and story is not None:
            wrong = "something is still to be done" if self._open(story) else self._wrong(story)
            now = time.time()
            if wrong is None:
                ending.own = now - told.died
                # Who had come to an end before that cannot be timed by a death that came later.
                ending.seconds = ending.own if first else now - last
                break
            if now - last > LATEST:
                ending.wrong = f"not after {now - last:.0f} s: {wrong}; {self._row(story)}"
                break
            first = False
            time.sleep(LOOK)
        wrong = f": {ending.wrong}" if ending.wrong else ""
        self.say(f"{ending.seconds:5.1f} s  {ending.own:5.1f} s  {ending.case}{wrong}")

    def _open(self, story: Story) -> bool:
        return story.order_id in unsettled(self.databases)

    def _wrong(self, story: Story) -> str | None:
        row = self._row(story)
        return story.wrong(str(row.get("status")), mails=1 + self._uncertain(story))

    def _uncertain(self, story: Story) -> int:
        """How often its mail was sent again although it may have been sent before: whoever sent it died meanwhile, and
        nobody can find out."""
        query = "SELECT uncertain FROM messages WHERE key = :key"
        found = self.databases.rows("notifications", query, key=f"{story.order_id}:email")
        return int(found[0]["uncertain"]) if found else 0

    def _row(self, story: Story) -> dict[str, Any]:
        query = "SELECT id, status, attempt, payment, stock_key, lease FROM orders WHERE id = :id"
        found = self.databases.rows("cart", query, id=story.order_id)
        return found[0] if found else {}

    def _was_cut_off(self, story: Story) -> bool:
        """Whether another death of the wave ended a payment before it came to the point, and its shopper has left."""
        return isinstance(story, stories.Pays) and not story.stays and self._row(story).get("status") == stories.CREATED

    # Arming, and seeing who died

    def _file(self, point: str) -> Path:
        return self.folder / point.replace(":", "-")

    def _arm(self, point: str) -> None:
        self._file(point).touch()

    def _await_death(self, point: str, since: float, story: Story) -> float:
        """When somebody died there, at last; 0 when nobody did."""
        began = time.monotonic()
        again = began + AGAIN_AFTER
        while self._file(point).exists():
            now = time.monotonic()
            if now > began + REACHED_WITHIN:
                return 0.0
            if now > again and self._was_cut_off(story):
                story.act()
                again = now + AGAIN_AFTER
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


def settled_within(endings: Sequence[Ending], seconds: float) -> float:
    """The share of the cases that were seen to be settled so many seconds after the last death of their wave; what was
    never seen settled counts as never."""
    return sum(1 for ending in endings if ending.wrong is None and ending.seconds <= seconds) / max(1, len(endings))


def summary(endings: Sequence[Ending]) -> str:
    """How long it took to settle, in one line."""
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

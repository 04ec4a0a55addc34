"""Every named point: the process that reaches it is killed there, and the story is finished by whatever survives."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bench.faults import points, stories
from bench.faults.front import Front
from bench.faults.records import Databases
from bench.faults.settling import BARS, Settled, unsettled
from bench.faults.stories import Story
from chassis.presence import BEAT, GONE

# How many stories are told side by side. A kill hits one of them, and whatever else its process had in hand.
TELLERS = 10
# When all of it must be settled (seconds after the kill), and how often that is looked at.
LATEST = BARS[-1][1]
LOOK = 0.4
# How often it is noted who is at work on which order (seconds): some hold one for no longer than that, but whoever dies
# over one is in the books until somebody else may take it up, `GONE` seconds later.
WATCH = 0.25
HELD = {
    "cart": """
        SELECT id AS work, holder FROM orders WHERE claim IS NOT NULL AND holder IS NOT NULL
        UNION SELECT order_id, holder FROM owed WHERE state = 'owed' AND claim IS NOT NULL AND holder IS NOT NULL
        UNION SELECT order_id, holder FROM refunds WHERE state = 'asked' AND claim IS NOT NULL AND holder IS NOT NULL
    """,
    # These keep their last holder's name when they are done.
    "notifications": "SELECT key AS work, holder FROM messages WHERE state IN ('new', 'began') AND holder IS NOT NULL",
    "shipping": """
        SELECT order_id AS work, holder FROM labels JOIN shipments ON shipment_id = object_id
        WHERE labels.state IN ('new', 'began') AND labels.holder IS NOT NULL
    """,
}
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
        seconds: from the last kill that the story itself met until all was right; infinite unless that was seen.
        own: from the kill at the story's own point until then, whatever it met in between.
        wrong: what was wrong, or None.
    """

    case: Case
    seconds: float = math.inf
    own: float = math.inf
    wrong: str | None = None


@dataclass
class Deaths:
    """Who died over which order: a kill of a process that was at work on another one's is none of a story's business.

    Attributes:
        held: order id -> who was at work on it (as the service calls its copies) -> Unix seconds when that was seen.
        seen: copy -> Unix seconds at which it last said that it was there.
    """

    held: dict[str, dict[str, float]] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)

    def look(self, databases: Databases) -> None:
        """Note who is at work, and who is there."""
        seen: dict[str, float] = {}
        for service, query in HELD.items():
            held = databases.rows(service, query)
            now = time.time()
            for row in held:
                order_id = row["work"].partition(":")[0]  # a message's key begins with it
                self.held.setdefault(order_id, {})[row["holder"]] = now
            seen |= {row["holder"]: row["seen"] for row in databases.rows(service, "SELECT * FROM presence")}
        self.seen = seen

    def last(self, order_id: str, now: float) -> float:
        """When the last one died who was at work on that order (Unix seconds); 0 when nobody did."""
        times = [
            seen
            for holder, at in dict(self.held.get(order_id, {})).items()
            # It had said nothing for longer than the living do, and was at work when it fell silent.
            if (seen := self.seen.get(holder, 0.0)) < now - GONE and at >= seen - BEAT
        ]
        return max(times, default=0.0)


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
    deaths: Deaths = field(default_factory=Deaths)
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
                ending.wrong = self._wrong(story)
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
            wrong = "something is still to be done" if self._open(story) else self._wrong(story)
            now = time.time()
            own, seconds = now - since, now - max(since, self.deaths.last(story.order_id, now))
            if wrong is None:
                ending.own, ending.seconds = own, seconds
                return
            if seconds > LATEST or own > PATIENCE:
                ending.wrong = f"not after {seconds:.0f} s: {wrong}; {self._row(story)}"
                return
            time.sleep(LOOK)

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
        """Note when the file of a point goes, and who is at work on what."""
        stop = threading.Event()
        self.deaths.look(self.databases)  # what cannot be asked at all is not passed over

        def look_who() -> None:
            while not stop.wait(WATCH):
                with suppress(sa.exc.OperationalError):  # the next look tells
                    self.deaths.look(self.databases)

        def look() -> None:
            there: set[str] = set()
            while not stop.wait(0.02):
                now = {path.name for path in self.folder.iterdir()}
                for name in there - now:
                    self.killed.setdefault(name.replace("-", ":"), []).append(time.time())
                there = now

        watchers = [threading.Thread(target=each, daemon=True) for each in (look, look_who)]
        for watcher in watchers:
            watcher.start()
        try:
            yield
        finally:
            stop.set()
            for watcher in watchers:
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
    """The share of the cases that were seen to be settled so many seconds after the last kill they met; what was never
    seen settled counts as never."""
    return sum(1 for ending in endings if ending.wrong is None and ending.seconds <= seconds) / max(1, len(endings))


def summary(endings: Sequence[Ending]) -> str:
    """How long it took to settle, in one line."""
    if not endings:
        return "nothing was killed"
    within = settled_within(endings, BARS[0][1])
    wrong = sum(1 for ending in endings if ending.wrong)
    return (
        f"{len(endings)} deaths: settled {_spread([ending.seconds for ending in endings])} after the last kill they met"
        f" ({within:.0%} within {BARS[0][1]:.0f} s), {_spread([ending.own for ending in endings])} after the first;"
        f" {wrong} wrong"
    )


def _spread(seconds: list[float]) -> str:
    settled = Settled(seconds)
    return " / ".join(f"{settled.percentile(share):.1f} s" for share in (50, 95, 100))

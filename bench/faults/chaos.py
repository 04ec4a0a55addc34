"""The run: concurrent shoppers, a storm of faults, lulls to measure how fast the shop settles, and the final check."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

import aiohttp

from bench.faults import books, records, storm
from bench.faults.books import Violation
from bench.faults.catalogue import Catalogue, stocked
from bench.faults.client import TIMEOUT, Client
from bench.faults.journal import Journal
from bench.faults.judges import Books
from bench.faults.outages import LASTS, STEP_S, Outages
from bench.faults.quiet import quiet, tracking_poll
from bench.faults.records import Databases
from bench.faults.settling import BARS, Settled, settle
from bench.faults.shopper import Shopper
from bench.faults.storm import Event, Storm, schedule
from launcher.shop import Shop

# How long the shop may take to settle at the end, before unfinished work counts as stuck (seconds).
LAST_WAIT_S = 60.0
MARGIN_S = 60.0  # of clocks
# How long the shop may take to learn of a lost event from the provider's list, and how often to look (seconds).
CATCH_UP_S, CATCH_UP_INTERVAL_S = 180.0, 5.0
STARTING = 180.0  # seconds until the part that was killed last is up again


@dataclass(frozen=True)
class Plan:
    """The parameters of a run.

    Attributes:
        checkouts: orders to place.
        seed: of the schedule and of each shopper's actions.
        shoppers: how many concurrently.
        mean_gap: seconds between two events of the storm; 0: no storm.
        squall: seconds of storm between two lulls.
        restarts: if not 0, the only fault is that many restarts of the broker; shoppers continue until the last one.
        troubles: the faults that occur: "kill", "provider", and names of `bench.faults.outages`.
        outage_share: the share of outages in all events, from 0 to 1.
        aftermath: whether charges are disputed, refunds fail, debits settle later, messages are lost, rates expire, and
            Stripe keeps failures.
    """

    checkouts: int
    seed: int
    shoppers: int = 16
    mean_gap: float = storm.MEAN_GAP
    squall: float = storm.SQUALL
    restarts: int = 0
    troubles: tuple[str, ...] = (storm.KILL, storm.PROVIDER)
    outage_share: float = storm.OUTAGES
    aftermath: bool = False

    @property
    def outages(self) -> tuple[str, ...]:
        """The outages that are to occur, each at least once."""
        return tuple(name for name in self.troubles if name in LASTS) if self.mean_gap and not self.restarts else ()

    def events(self) -> Iterator[Event]:
        """Return a description of the faults."""
        if self.restarts:
            return storm.restarts(self.restarts, self.mean_gap)
        if not self.mean_gap:
            return iter(())
        others = [name for name in self.troubles if name not in LASTS]
        return schedule(self.seed, self.mean_gap, self.squall, self.outages, self.outage_share, others, self.aftermath)


@dataclass
class Outcome:
    """The result of a run.

    Attributes:
        plan: the parameters.
        journal: the answers that shoppers saw.
        violations: of the rules of `books`.
        settled: how long interrupted orders took to settle.
        killed, troubles: the faults, and how often each occurred.
        lulls: the number of measured lulls.
        outages: outage -> seconds after its end until all orders had settled and the shop was ready.
        after_outages: how long the orders that outages interrupted took to settle.
        seconds: how long the shoppers ran; cpu: seconds of one core that they took together.
        orders: status -> orders.
        afterwards: what went wrong after a provider had said yes -> how often.
        strangers: parts other than the broker whose process changed when the broker was restarted.
        timeline: [seconds since the beginning, the fault or the measurement].
    """

    plan: Plan
    journal: Journal = field(default_factory=Journal)
    violations: list[Violation] = field(default_factory=list)
    settled: Settled = field(default_factory=Settled)
    killed: dict[str, int] = field(default_factory=dict)
    troubles: dict[str, int] = field(default_factory=dict)
    lulls: int = 0
    outages: dict[str, list[float]] = field(default_factory=dict)
    after_outages: Settled = field(default_factory=Settled)
    seconds: float = 0.0
    cpu: float = 0.0
    orders: dict[str, int] = field(default_factory=dict)
    afterwards: dict[str, int] = field(default_factory=dict)
    strangers: list[str] = field(default_factory=list)
    timeline: list[tuple[float, str]] = field(default_factory=list)

    @property
    def well(self) -> bool:
        """Whether there is no violation and everything settled in time."""
        settled = self.settled.in_time and not self.slow_outages
        return not self.violations and not self.strangers and settled and self.proven

    @property
    def slow_outages(self) -> dict[str, float]:
        """Return outage -> seconds, for those after which the shop did not settle in time."""
        return {name: max(times) for name, times in self.outages.items() if max(times) > BARS[-1][1]}

    @property
    def proven(self) -> bool:
        """Whether there was something to settle; always true for a storm that is too short for a lull."""
        if not self.plan.mean_gap or self.plan.restarts:
            return True
        # A gap is at most three times the mean, and the event that follows also takes time.
        long_enough = self.seconds > 2 * (self.plan.squall + 3 * self.plan.mean_gap)
        return bool(self.settled.times or self.after_outages.times) if self.lulls or self.outages else not long_enough

    @property
    def rate(self) -> float:
        """Return the orders placed per second."""
        return self.journal.placed / self.seconds if self.seconds else 0.0


Progress = Callable[["Outcome"], None]


@contextlib.asynccontextmanager
async def connections() -> AsyncIterator[aiohttp.ClientSession]:
    """Return the HTTP session that all shoppers share."""
    jar = aiohttp.DummyCookieJar()  # each shopper has a cart cookie of their own, but all share the connections
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=TIMEOUT, connector=connector, cookie_jar=jar) as http:
        yield http


async def run(
    plan: Plan, shop: Shop, databases: Databases, progress: Progress | None = None, outages: Outages | None = None
) -> Outcome:
    """Run `plan` on a running shop, and check the books. The shop must have no orders yet.

    Args:
        outages: causes the outages; required when the plan has any.
    """
    outcome = Outcome(plan)
    async with connections() as http:
        dice = random.Random(f"catalogue {plan.seed}")
        catalogue = await stocked(Client(http, shop.url, -1, dice, Journal()), plan.checkouts, dice)
        weather = Storm(shop, http)
        if plan.mean_gap:
            await weather.shuffle_webhooks(plan.seed)
        if plan.aftermath:
            await weather.hurry_stripe()
        pids = await asyncio.to_thread(_pids, shop)
        began, cpu = time.time(), time.process_time()
        watching = asyncio.create_task(_watch(outcome, progress))
        storming = asyncio.create_task(_storm(plan, weather, databases, outcome, outages))
        try:
            await _shoppers(plan, http, shop, catalogue, outcome, storming)
        finally:
            storming.cancel()
            watching.cancel()
            await asyncio.gather(storming, watching, return_exceptions=True)
            await weather.calm()
        outcome.seconds, outcome.cpu = time.time() - began, time.process_time() - cpu
        await settle(databases, outcome.journal, weather.last, outcome.settled)
        await asyncio.to_thread(shop.wait_ready, STARTING)
        await settle(databases, outcome.journal, time.time(), Settled(), LAST_WAIT_S)
        since = began - (STEP_S + MARGIN_S if plan.outages else 0.0)  # records written under a clock that was behind
        await quiet(databases, shop.sandbox_url, since, tracking_poll(plan.checkouts) + LAST_WAIT_S)
        await weather.leave_webhooks()
        if plan.restarts:
            now = await asyncio.to_thread(_pids, shop)
            outcome.strangers = [part for part in pids if pids[part] != now[part]]
        outcome.killed, outcome.troubles = dict(weather.killed), dict(weather.troubles)
    until = time.monotonic() + (CATCH_UP_S if plan.aftermath else 0.0)
    while await asyncio.to_thread(_check, outcome, shop, databases, catalogue, since):
        if time.monotonic() > until:
            break
        await asyncio.sleep(CATCH_UP_INTERVAL_S)
    return outcome


def _check(outcome: Outcome, shop: Shop, databases: Databases, catalogue: Catalogue, since: float) -> bool:
    """Check the books; return whether there is a violation that may end by itself."""
    found = records.read(shop.url, shop.sandbox_url, databases, since, shop.amqp_uri)
    compared = Books(found, outcome.journal, catalogue, saves_failures=outcome.plan.aftermath)
    outcome.violations = books.check(compared)
    outcome.afterwards = compared.afterwards if outcome.plan.aftermath else {}
    outcome.orders = dict(Counter(order["status"] for order in found.orders.values()))
    return any(violation.rule in books.CATCHES_UP for violation in outcome.violations)


def _pids(shop: Shop) -> dict[str, list[int]]:
    """Return part -> its processes, of every part except the broker."""
    return {part: shop.pids(part) for part in (*records.SERVICES, "gateway", "sandbox")}


async def _shoppers(
    plan: Plan,
    http: aiohttp.ClientSession,
    shop: Shop,
    catalogue: Catalogue,
    outcome: Outcome,
    storming: asyncio.Task[None],
) -> None:
    """Run shoppers until enough orders are placed and, when the broker is restarted, the storm is over."""
    numbers = itertools.count()

    def enough() -> bool:
        if storming.done() and not storming.cancelled() and storming.exception() is not None:
            storming.result()  # an error in the storm ends the run
        over = storming.done() if plan.restarts else set(plan.outages) <= set(outcome.outages)
        return over and outcome.journal.placed >= plan.checkouts

    async def one_after_the_other() -> None:
        while not enough():
            number = next(numbers)
            dice = random.Random(f"shopper {plan.seed} {number}")
            buyer = Client(http, shop.url, number, dice, outcome.journal)
            await Shopper(number, buyer, catalogue, dice, sandbox_url=shop.sandbox_url, aftermath=plan.aftermath).shop()

    await asyncio.gather(*(one_after_the_other() for _ in range(plan.shoppers)))


async def _outage(
    event: Event, weather: Storm, databases: Databases, outcome: Outcome, outages: Outages
) -> tuple[str, float]:
    """Begin and end an outage, and wait until the shop has settled. Return what happened, and the seconds until then;
    infinity: longer than permitted."""
    description, end = await asyncio.to_thread(outages.begin, event.trouble, event.dice)
    try:
        await asyncio.sleep(event.lasts)
    finally:
        await asyncio.to_thread(end)
    await weather.calm()
    weather.last = time.time()
    ready = asyncio.create_task(weather.ready(BARS[-1][1]))
    before = len(outcome.after_outages.times)
    await settle(databases, outcome.journal, weather.last, outcome.after_outages)
    took = max(await ready, max(outcome.after_outages.times[before:], default=0.0))
    outcome.outages.setdefault(event.trouble, []).append(took)
    return description, took


async def _storm(
    plan: Plan, weather: Storm, databases: Databases, outcome: Outcome, outages: Outages | None = None
) -> None:
    began = time.time()

    def note(what: str) -> None:
        outcome.timeline.append((round(time.time() - began, 1), what))

    for event in plan.events():
        await asyncio.sleep(event.after)
        if event.kind == "lull":
            note("lull")
            await weather.calm()
            before, late = len(outcome.settled.times), set(outcome.settled.late)
            await settle(databases, outcome.journal, weather.last, outcome.settled)
            outcome.lulls += 1
            times = outcome.settled.times[before:]
            left = {order_id: what for order_id, what in outcome.settled.late.items() if order_id not in late}
            note(f"{len(times)} settled in {max(times, default=0.0):.1f} s, left: {left}")
        elif event.kind == "outage":
            assert outages is not None
            note(f"outage {event.trouble}")
            description, took = await _outage(event, weather, databases, outcome, outages)
            note(f"{event.trouble} ({description}) over, settled in {took:.1f} s")
        else:
            note(f"{event.kind} {event.target} {event.trouble}".strip())
            await weather.strike(event)
        outcome.killed, outcome.troubles = dict(weather.killed), dict(weather.troubles)


async def _watch(outcome: Outcome, progress: Progress | None) -> None:
    began = time.time()
    while progress is not None:
        outcome.seconds = time.time() - began
        progress(outcome)
        await asyncio.sleep(0.5)

"""The run: concurrent shoppers, a storm over them, lulls to see how fast the shop settles, and the books at the end."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from bench.faults import books, records, storm
from bench.faults.books import Books, Violation
from bench.faults.catalogue import Catalogue, stocked
from bench.faults.client import TIMEOUT, Client
from bench.faults.journal import Journal
from bench.faults.records import Databases
from bench.faults.settling import Settled, settle
from bench.faults.shopper import Habits, Shopper
from bench.faults.storm import Storm, schedule
from launcher.shop import Shop

# How long the shop may take to settle at the end, before what is left counts as stuck (seconds).
LAST_PATIENCE = 60.0
STARTING = 90.0  # seconds: whatever was killed last is up again


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Attributes:
        checkouts: orders to be placed.
        seed: of the schedule, and of what each shopper does.
        shoppers: how many at a time.
        mean_gap: seconds between two events of the storm; 0: no storm.
        squall: seconds of storm between two lulls.
    """

    checkouts: int
    seed: int
    shoppers: int = 16
    mean_gap: float = storm.MEAN_GAP
    squall: float = storm.SQUALL


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        plan: what was run.
        journal: what shoppers saw.
        violations: of the rules of `books`.
        settled: how long interrupted orders took.
        killed, troubles: what was done to the shop, and how often.
        lulls: how many were measured.
        seconds: how long the shoppers were at it.
        orders: status -> orders.
        paid: orders whose money was taken, returned ones included.
    """

    plan: Plan
    journal: Journal = field(default_factory=Journal)
    violations: list[Violation] = field(default_factory=list)
    settled: Settled = field(default_factory=Settled)
    killed: dict[str, int] = field(default_factory=dict)
    troubles: dict[str, int] = field(default_factory=dict)
    lulls: int = 0
    seconds: float = 0.0
    orders: dict[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Orders placed per second."""
        return self.journal.placed / self.seconds if self.seconds else 0.0


Progress = Callable[["Outcome", int], None]


@contextlib.asynccontextmanager
async def connections() -> AsyncIterator[aiohttp.ClientSession]:
    """What all shoppers send through."""
    jar = aiohttp.DummyCookieJar()  # the cart's cookie is one shopper's, the connections are everybody's
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=TIMEOUT, connector=connector, cookie_jar=jar) as http:
        yield http


def client(http: aiohttp.ClientSession, shop: Shop, number: int, dice: random.Random, journal: Journal) -> Client:
    return Client(http, shop.url, number, dice, journal)


async def run(plan: Plan, shop: Shop, databases: Databases, progress: Progress | None = None) -> Outcome:
    """Run `plan` on a shop that stands, and check the books. The shop must have no orders yet."""
    outcome = Outcome(plan)
    async with connections() as http:
        dice = random.Random(f"catalogue {plan.seed}")
        catalogue = await stocked(Client(http, shop.url, -1, dice, Journal()), plan.checkouts, dice)
        habits = await _habits(http, shop.url)
        weather = Storm(shop, http)
        began = time.time()
        shoppers = asyncio.create_task(_shoppers(plan, http, shop, catalogue, habits, outcome))
        storming = asyncio.create_task(_storm(plan, weather, databases, outcome))
        watching = asyncio.create_task(_watch(outcome, progress))
        try:
            await shoppers
        finally:
            for task in (storming, watching):
                task.cancel()
            for task in (storming, watching):
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            await weather.calm()
        outcome.seconds = time.time() - began
        await settle(databases, outcome.journal, weather.last, outcome.settled)
        await asyncio.to_thread(shop.wait_ready, STARTING)
        await settle(databases, outcome.journal, time.time(), Settled(), LAST_PATIENCE)
        outcome.killed, outcome.troubles = dict(weather.killed), dict(weather.troubles)
    await asyncio.to_thread(_check, outcome, shop, databases, catalogue, began)
    return outcome


def _check(outcome: Outcome, shop: Shop, databases: Databases, catalogue: Catalogue, since: float) -> None:
    found = records.read(shop.url, shop.sandbox_url, databases, since)
    outcome.violations = books.check(Books(found, outcome.journal, catalogue))
    for order in found.orders.values():
        outcome.orders[order["status"]] = outcome.orders.get(order["status"], 0) + 1


async def _shoppers(
    plan: Plan, http: aiohttp.ClientSession, shop: Shop, catalogue: Catalogue, habits: Habits, outcome: Outcome
) -> None:
    numbers: Iterator[int] = iter(range(10 * plan.checkouts))

    async def one_after_the_other() -> None:
        for number in numbers:
            if outcome.journal.placed >= plan.checkouts:
                return
            dice = random.Random(f"shopper {plan.seed} {number}")
            buyer = client(http, shop, number, dice, outcome.journal)
            await Shopper(number, buyer, catalogue, dice, habits).shop()

    await asyncio.gather(*(one_after_the_other() for _ in range(plan.shoppers)))


async def _storm(plan: Plan, weather: Storm, databases: Databases, outcome: Outcome) -> None:
    if not plan.mean_gap:
        return
    for event in schedule(plan.seed, plan.mean_gap, plan.squall):
        await asyncio.sleep(event.after)
        if event.kind == "lull":
            await weather.calm()
            await settle(databases, outcome.journal, weather.last, outcome.settled)
            outcome.lulls += 1
        else:
            await weather.strike(event)
        outcome.killed, outcome.troubles = dict(weather.killed), dict(weather.troubles)


async def _watch(outcome: Outcome, progress: Progress | None) -> None:
    began = time.time()
    while progress is not None:
        outcome.seconds = time.time() - began
        progress(outcome, outcome.plan.checkouts)
        await asyncio.sleep(0.5)


async def _habits(http: aiohttp.ClientSession, url: str) -> Habits:
    """What the shop under test can do, as its routes tell."""

    async def has(route: str) -> bool:
        async with http.post(f"{url}/api/orders/or_none/{route}/", json={}) as answer:
            return bool((await answer.json()).get("detail") != "There is nothing here.")

    return Habits(cancels=await has("cancel"), refunds=await has("refund"))


def copies_of(plan_copies: int) -> dict[str, int]:
    """Service -> processes, for a shop with so many copies of each."""
    return dict.fromkeys(records.SERVICES, plan_copies)


def place_of(folder: Path) -> Path:
    """Where the shop under test keeps its data."""
    return folder / "var"

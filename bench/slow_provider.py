"""How cart reads are affected while Stripe takes five seconds for every answer and dozens of shoppers pay.

`./install_run_project bench slow-provider` starts a whole shop on free ports and reads a cart at a fixed rate, without
waiting for the last answer, alternately with a healthy and a slow Stripe. It prints by how much the p99 of the reads
grew, the answers to the payers, and the processes' memory. Exit status 1 when the p99 more than doubled, when a read
failed, when an error had no Retry-After, or when the memory grew.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from bench.rpc import machine
from launcher import screen
from launcher.place import ROOT
from launcher.problem import Problem
from launcher.shop import Shop

RESULT = Path(__file__).resolve().parent / "results" / "slow-provider.md"
GOAL = 2.0  # times the p99 of a shop with healthy providers
FLAT = 1.15  # times the memory after the first slow round
LATENCY_MS = 5000
SETTLE = 2.0  # seconds between two legs
MEASURED = ("gateway", "cart")
PRODUCT = {
    "name": "Wally bone",
    "price": 50,
    "package_dimensions": {"height": 5, "length": 5, "weight": 5, "width": 5},
    "metadata": {"category": "food"},
    "inventory": {"type": "infinite"},
}
CUSTOMER = {
    "email": "shopper@example.com",
    "phone": "+14155550142",
    "name": "Chloe Taylor",
    "address": {
        "line1": "1092 Indian Summer Ct",
        "city": "San Jose",
        "state": "CA",
        "country": "US",
        "postal_code": "95122",
    },
}


@dataclass
class Reads:
    """The readers' results in a leg: milliseconds from when each read was due, and statuses."""

    took: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def quantile(self, share: float) -> float:
        """Return the milliseconds within which that share of the reads was answered."""
        ordered = sorted(self.took)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@dataclass
class Payers:
    """The answers to the payers of all slow legs."""

    statuses: Counter[int] = field(default_factory=Counter)
    unguided: int = 0  # errors without Retry-After
    refused_after: list[float] = field(default_factory=list)  # seconds


class Bench:
    """One shop under measurement.

    Args:
        shop: the shop.
        session: the HTTP session.
        options: the command's options.
    """

    def __init__(self, shop: Shop, session: aiohttp.ClientSession, options: argparse.Namespace) -> None:
        self._shop = shop
        self._session = session
        self._options = options
        self.payers = Payers()
        self.memory: list[dict[str, int]] = []  # MB, after the first leg and after each slow one

    async def run(self) -> list[tuple[Reads, Reads]]:
        """Run all rounds: in each, reads with a healthy Stripe, and with a slow one."""
        product = (await self._ask("POST", "/api/products/", json=PRODUCT))["id"]
        reader = {"Cart-Id": (await self._ask("POST", "/api/cart/"))["cart_id"]}
        await self._ask("POST", f"/api/cart/{product}/buy/", headers=reader, json={"quality": 3})
        await self._read(reader, 3.0)  # warm
        rounds = []
        for number in range(1, self._options.rounds + 1):
            orders = await self._orders(product)
            await asyncio.sleep(SETTLE)
            well = await self._read(reader, self._options.seconds)
            if not self.memory:
                self.memory.append(self._resident())
            slow = await self._slow(reader, orders)
            self.memory.append(self._resident())
            rounds.append((well, slow))
            both = {"well": well, "slow": slow}
            percentiles = " ".join(
                f"{name} {leg.quantile(0.5):.1f}/{leg.quantile(0.99):.1f} ms" for name, leg in both.items()
            )
            payers = dict(sorted(self.payers.statuses.items()))
            said = (
                f"round {number}/{self._options.rounds}  p50/p99 {percentiles}; payers so far {payers};"
                f" MB {self.memory[-1]}"
            )
            print(said, flush=True)
        return rounds

    async def _slow(self, reader: dict[str, str], orders: list[tuple[dict[str, str], str]]) -> Reads:
        fault = f"{self._shop.sandbox_url}/sandbox/faults/stripe"
        async with self._session.put(fault, json={"latency_ms": LATENCY_MS}) as answer:
            answer.raise_for_status()
        over = asyncio.Event()
        paying = [asyncio.create_task(self._pay(cart, order, over)) for cart, order in orders]
        try:
            await asyncio.sleep(1.0)  # all of them have sent a request by then
            reads = await self._read(reader, self._options.seconds)
        finally:
            over.set()
            async with self._session.delete(fault) as answer:
                answer.raise_for_status()
            await asyncio.gather(*paying)
        return reads

    async def _read(self, reader: dict[str, str], seconds: float) -> Reads:
        """Send requests at the fixed rate; a late answer delays no other request, and is timed from when its request
        was due."""
        reads = Reads()
        began = time.perf_counter()

        async def one(due: float) -> None:
            try:
                async with self._session.get(f"{self._shop.url}/api/cart/", headers=reader) as answer:
                    await answer.read()
                    reads.statuses[answer.status] += 1
            except (TimeoutError, aiohttp.ClientError):
                reads.statuses[0] += 1
            reads.took.append((time.perf_counter() - due) * 1000)

        tasks = []
        for number in range(int(seconds * self._options.rate)):
            due = began + number / self._options.rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(one(due)))
        await asyncio.gather(*tasks)
        return reads

    async def _pay(self, cart: dict[str, str], order: str, over: asyncio.Event) -> None:
        """Pay as a real client does: retry after Retry-After, until paid or until the leg is over."""
        while not over.is_set():
            began = time.perf_counter()
            form = {"order_id": order, "cart": "tok_mastercard"}
            async with self._session.post(f"{self._shop.url}/api/cart/paid/", headers=cart, json=form) as answer:
                await answer.read()
                self.payers.statuses[answer.status] += 1
                if answer.status < 500:
                    return
                wait = answer.headers.get("Retry-After")
            if wait is None:
                self.payers.unguided += 1
            if answer.status == 503:
                self.payers.refused_after.append(time.perf_counter() - began)
            try:
                await asyncio.wait_for(over.wait(), float(wait or 1))
            except TimeoutError:
                continue

    async def _orders(self, product: str) -> list[tuple[dict[str, str], str]]:
        """Create as many carts with an order as there will be payers."""
        few = asyncio.Semaphore(4)

        async def one() -> tuple[dict[str, str], str]:
            async with few:
                cart = {"Cart-Id": (await self._ask("POST", "/api/cart/"))["cart_id"]}
                await self._ask("POST", f"/api/cart/{product}/buy/", headers=cart, json={"quality": 1})
                customer = {**CUSTOMER, "email": f"{uuid.uuid4().hex}@example.com"}
                return cart, (await self._ask("POST", "/api/cart/checkout/", headers=cart, json=customer))["id"]

        return list(await asyncio.gather(*(one() for _ in range(self._options.payers))))

    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        async with self._session.request(method, f"{self._shop.url}{path}", **options) as answer:
            if answer.status >= 400:
                raise Problem(f"{method} {path} was answered {answer.status}.", (await answer.text())[:1000])
            return await answer.json()

    def _resident(self) -> dict[str, int]:
        """Return the memory of the measured parts in MB."""
        found = {}
        for part in MEASURED:
            processes = [psutil.Process(pid) for pid in self._shop.pids(part)]
            processes += [child for process in processes for child in process.children(recursive=True)]
            found[part] = round(sum(process.memory_info().rss for process in set(processes)) / 2**20)
        return found


def main(arguments: Sequence[str]) -> int:
    """Measure and print; return the exit status."""
    options = _options(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="shop-bench-") as folder:
            env = {"AMQP_URI": None, "LOG_LEVEL": "WARNING"}
            with Shop.on_free_ports(Path(folder) / "var", env=env) as shop:
                about = machine.about("a private RabbitMQ")
                rounds, bench = asyncio.run(_measured(shop, options))
    except Problem as problem:
        screen.errors.print(f"{problem.detail}\n{problem}".strip(), markup=False)
        return 1
    text, good = _report(rounds, bench, options, about)
    print(f"\n{text}")
    if options.save:
        RESULT.write_text(f"{text}\n", encoding="utf-8")
        print(f"\nWritten to {RESULT.relative_to(ROOT)}.")
    return 0 if good else 1


async def _measured(shop: Shop, options: argparse.Namespace) -> tuple[list[tuple[Reads, Reads]], Bench]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
        bench = Bench(shop, session, options)
        return await bench.run(), bench


def _report(
    rounds: list[tuple[Reads, Reads]], bench: Bench, options: argparse.Namespace, about: dict[str, Any]
) -> tuple[str, bool]:
    """Return the result as Markdown, and whether it is good."""
    well, slow = ([pair[side].quantile(0.99) for pair in rounds] for side in (0, 1))
    ratio = statistics.median(slow) / statistics.median(well)
    failed = sum(count for pair in rounds for leg in pair for status, count in leg.statuses.items() if status != 200)
    first, last = bench.memory[1], bench.memory[-1]
    flat = all(last[part] <= first[part] * FLAT for part in MEASURED)
    payers = bench.payers
    waited = f", after {max(payers.refused_after):.1f} s at most" if payers.refused_after else ""
    lines = [
        "# Reading carts while Stripe takes 5 s for each answer",
        "",
        f"{about['cores']} cores of {about['processor']}, {about['system']}, load {about['load_before']} before;"
        f" Python {about['python']}; commit {about['commit']}; {options.rate:g} reads of a cart a second,"
        f" {options.seconds:g} s a leg, {options.payers} shoppers paying at once; gateway of 2 processes, one of each"
        " service.",
        "",
        "| round | Stripe | p50 ms | p99 ms | slowest ms | reads |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    for number, pair in enumerate(rounds, 1):
        for name, leg in zip(("well", "slow"), pair, strict=True):
            lines.append(
                f"| {number} | {name} | {leg.quantile(0.5):.1f} | {leg.quantile(0.99):.1f} | {max(leg.took):.1f}"
                f" | {len(leg.took)} |"
            )
    statuses = ", ".join(f"{count} times {status}" for status, count in sorted(payers.statuses.items()))
    lines += [
        "",
        f"The p99 of reading became {ratio:.2f} times what it was (medians of the rounds); the goal of at most {GOAL:g}"
        f" is {'reached' if ratio <= GOAL else 'NOT reached'}. {failed or 'No'} reads failed.",
        "",
        f"The payers received {statuses}; every 503 said when to come back{waited}."
        if not payers.unguided
        else f"{payers.unguided} refusals did NOT say when to come back ({statuses}).",
        "",
        "Memory in MB, before the first slow leg and after each: "
        + "; ".join(f"{part} {' '.join(str(each[part]) for each in bench.memory)}" for part in MEASURED)
        + f" ({'flat' if flat else 'NOT flat'}).",
    ]
    return "\n".join(lines), ratio <= GOAL and not failed and not payers.unguided and flat


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./install_run_project bench slow-provider",
        description="Reads a cart at a fixed rate, in turn with a healthy Stripe and one that takes 5 s per answer.",
    )
    parser.add_argument("--rate", type=float, default=40.0, metavar="N", help="reads a second (40)")
    parser.add_argument("--seconds", type=float, default=15.0, metavar="S", help="of each leg (15)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds, each of both legs (3)")
    parser.add_argument("--payers", type=int, default=60, metavar="N", help="shoppers who pay at once (60)")
    parser.add_argument("--save", action="store_true", help="write the result to bench/results/ as well")
    return parser.parse_args(arguments)

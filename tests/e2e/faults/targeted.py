"""Short storms, each aimed at one guard. A storm leaves a violation in the books only if the guard is missing."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp

from bench.faults import books, records
from bench.faults.books import Books, Violation
from bench.faults.catalogue import Article, Catalogue, put_out, put_up
from bench.faults.chaos import connections
from bench.faults.client import Client
from bench.faults.journal import Journal
from bench.faults.settling import Settled, settle
from bench.faults.shopper import Shopper
from bench.faults.stage import Stage

CONFIRM = "/v1/payment_intents/*/confirm"
RECORD_TAX = "/v1/tax/transactions/create_from_calculation"
# For how long a shop may settle.
SETTLE_TIMEOUT_S = 90.0
POLL_INTERVAL_S = 0.05


class Scene:
    """One storm: its shoppers, their journal, and faults for the providers.

    Args:
        stage: the shop.
        http: the session that sends all requests.
    """

    def __init__(self, stage: Stage, http: aiohttp.ClientSession) -> None:
        self.stage = stage
        self.http = http
        self.journal = Journal()
        self.articles: list[Article] = []
        self.codes: list[str] = []
        self._count = 0

    async def article(self, pieces: int | None = None) -> Article:
        """Put up a new article."""
        self.articles += await put_up(self.shopper().client, "Proof", [500], pieces)
        return self.articles[-1]

    async def code(self, redemptions: int) -> str:
        """Put out a discount code for so many orders."""
        self.codes.append(await put_out(self.shopper().client, 10, redemptions))
        return self.codes[-1]

    def shopper(self, again: float = 0.0) -> Shopper:
        """A new shopper, who repeats the share `again` of all requests."""
        self._count += 1
        dice = random.Random(f"{time.time()} {self._count}")
        client = Client(self.http, self.stage.shop.url, self._count, dice, self.journal, again)
        return Shopper(self._count, client, Catalogue(self.articles, []), dice, behaviour="pays")

    @contextlib.asynccontextmanager
    async def trouble(self, provider: str, **fault: Any) -> AsyncIterator[None]:
        """Apply a fault to a provider inside the block."""
        await self.sandbox("PUT", f"faults/{provider}", fault)
        try:
            yield
        finally:
            await self.sandbox("DELETE", f"faults/{provider}")

    async def hit(self, provider: str, times: int = 1) -> None:
        """Wait until that many requests have met the provider's fault. Raises AssertionError after a minute."""
        until = time.monotonic() + 60
        while (await self.sandbox("GET", f"faults/{provider}"))["hits"] < times:
            assert time.monotonic() < until, f"too few requests met the fault of {provider}"
            await asyncio.sleep(POLL_INTERVAL_S)

    async def sandbox(self, method: str, path: str, body: Any = None) -> Any:
        """Call a control route of the sandbox."""
        url = f"{self.stage.shop.sandbox_url}/sandbox/{path}"
        async with self.http.request(method, url, json=body) as answer:
            answer.raise_for_status()
            return await answer.json()


Storm = Callable[[Scene], Awaitable[None]]


async def repeated_requests(scene: Scene) -> None:
    """A shopper sends every request twice under one idempotency key."""
    shopper = scene.shopper(again=1.0)
    order = await shopper.order([(await scene.article(), 1)])
    assert order is not None
    await shopper.pay(order, "tok_visa")


async def two_payment_windows(scene: Scene) -> None:
    """A shopper pays in two windows with two cards, while Stripe is slow with the first.

    The first window pays only once. A repetition would repair the order by the keys of its attempt.
    """
    shopper = scene.shopper()
    order = await shopper.order([(await scene.article(), 1)])
    assert order is not None
    async with scene.trouble("stripe", latency_ms=4000, path=CONFIRM, times=1):
        first = asyncio.create_task(shopper.pay(order, "tok_visa", patience=0))
        await scene.hit("stripe")
        await shopper.pay(order, "tok_mastercard", patience=40)
        await first


async def race_for_the_last_pieces(scene: Scene) -> None:
    """Five shoppers pay at the same time, each for one of two pieces."""
    article = await scene.article(pieces=2)
    shoppers = [scene.shopper() for _ in range(5)]
    orders = await asyncio.gather(*(shopper.order([(article, 1)]) for shopper in shoppers))
    assert None not in orders
    pays = (shopper.pay(order, "tok_visa", patience=40) for shopper, order in zip(shoppers, orders, strict=True))
    await asyncio.gather(*pays)


async def race_for_the_last_redemptions(scene: Scene) -> None:
    """Five shoppers pay at the same time with a code that two of them may redeem."""
    article = await scene.article()
    code = await scene.code(redemptions=2)
    shoppers = [scene.shopper() for _ in range(5)]
    orders = await asyncio.gather(*(shopper.order([(article, 1)], code) for shopper in shoppers))
    assert None not in orders
    pays = (shopper.pay(order, "tok_visa", patience=40) for shopper, order in zip(shoppers, orders, strict=True))
    await asyncio.gather(*pays)


async def mail_outage(scene: Scene) -> None:
    """A shopper pays while SendGrid fails."""
    shopper = scene.shopper()
    order = await shopper.order([(await scene.article(), 1)])
    assert order is not None
    async with scene.trouble("sendgrid", error_rate=1, error_status=500):
        await shopper.pay(order, "tok_visa")


async def lost_tax_answer(scene: Scene) -> None:
    """Stripe records the tax, and its client's three attempts get no answer. Then the shopper wants the money back."""
    shopper = scene.shopper()
    order = await shopper.order([(await scene.article(), 1)])
    assert order is not None
    async with scene.trouble("stripe", lose_answer_rate=1, path=RECORD_TAX, times=3):
        await shopper.pay(order, "tok_visa")
        await scene.hit("stripe", times=3)
    await shopper.refund(order, None)


async def lost_payment_answer(scene: Scene) -> None:
    """Stripe takes the money, but its answer and its webhook are lost. The shopper never returns."""
    shopper = scene.shopper()
    order = await shopper.order([(await scene.article(pieces=3), 1)])
    assert order is not None
    await scene.sandbox("PUT", "webhooks/stripe", {"enabled": False})
    try:
        async with scene.trouble("stripe", lose_answer_rate=1, path=CONFIRM):
            assert await shopper.pay(order, "tok_visa", patience=0) is None
    finally:
        await scene.sandbox("DELETE", "webhooks/stripe")


def violations_after(stage: Stage, storm: Storm, patience: float = SETTLE_TIMEOUT_S) -> tuple[list[Violation], float]:
    """The violations after a storm, and the seconds that the shop took to settle, at most `patience`."""
    began = time.time()

    async def weather() -> tuple[Scene, float]:
        async with connections() as http:
            scene = Scene(stage, http)
            await storm(scene)
            over = time.time()
            await settle(stage.databases, scene.journal, over, Settled(), patience)
            return scene, time.time() - over

    scene, took = asyncio.run(weather())
    written = records.read(stage.shop.url, stage.shop.sandbox_url, stage.databases, began, stage.shop.amqp_uri)
    assert written.orders
    return books.check(Books(written, scene.journal, Catalogue(scene.articles, [], scene.codes))), took

"""Short storms, each aimed at one guard: with the guard they leave no violation, and without it they surely do."""

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
from bench.faults.catalogue import Article, Catalogue, put_up
from bench.faults.chaos import connections
from bench.faults.client import Client
from bench.faults.journal import Journal
from bench.faults.settling import Settled, settle
from bench.faults.shopper import Shopper
from bench.faults.stage import Stage

CONFIRM = "/v1/payment_intents/*/confirm"
# For how long a shop may settle (seconds).
PATIENCE = 90.0
LOOK = 0.05


class Scene:
    """One storm: its shoppers, what they saw, and the providers to trouble.

    Args:
        stage: the shop.
        http: what all of it is sent through.
    """

    def __init__(self, stage: Stage, http: aiohttp.ClientSession) -> None:
        self.stage = stage
        self.http = http
        self.journal = Journal()
        self.articles: list[Article] = []
        self._count = 0

    async def article(self, pieces: int | None = None) -> Article:
        """Something to buy."""
        self.articles.append(await put_up(self.shopper().client, "Proof", 500, pieces))
        return self.articles[-1]

    def shopper(self, again: float = 0.0) -> Shopper:
        """A new shopper, who sends so many of all requests once more."""
        self._count += 1
        dice = random.Random(f"{time.time()} {self._count}")
        client = Client(self.http, self.stage.shop.url, self._count, dice, self.journal, again)
        return Shopper(self._count, client, Catalogue(self.articles, []), dice, behaviour="pays")

    @contextlib.asynccontextmanager
    async def trouble(self, provider: str, **fault: Any) -> AsyncIterator[None]:
        """A provider's trouble, for as long as this lasts."""
        await self.sandbox("PUT", f"faults/{provider}", fault)
        try:
            yield
        finally:
            await self.sandbox("DELETE", f"faults/{provider}")

    async def hit(self, provider: str) -> None:
        """Wait until the provider's trouble has met somebody. Raises AssertionError after a minute."""
        until = time.monotonic() + 60
        while not (await self.sandbox("GET", f"faults/{provider}"))["hits"]:
            assert time.monotonic() < until, f"nobody met the trouble of {provider}"
            await asyncio.sleep(LOOK)

    async def sandbox(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the sandbox's own routes."""
        url = f"{self.stage.shop.sandbox_url}/sandbox/{path}"
        async with self.http.request(method, url, json=body) as answer:
            answer.raise_for_status()
            return await answer.json()


Storm = Callable[[Scene], Awaitable[None]]


async def everything_twice(scene: Scene) -> None:
    """A shopper whose every request is sent twice under its key."""
    shopper = scene.shopper(again=1.0)
    order = await shopper.order([(await scene.article(), 1)])
    assert order is not None
    await shopper.pay(order, "tok_visa")


async def two_windows(scene: Scene) -> None:
    """A shopper pays in two windows, by two cards, while the bank is slow with the first, which asks only once: paying
    again would repair the order, by the keys of its attempt."""
    shopper = scene.shopper()
    order = await shopper.order([(await scene.article(), 1)])
    assert order is not None
    async with scene.trouble("stripe", latency_ms=4000, path=CONFIRM, times=1):
        first = asyncio.create_task(shopper.pay(order, "tok_visa", patience=0))
        await scene.hit("stripe")
        await shopper.pay(order, "tok_mastercard", patience=40)
        await first


async def the_last_pieces(scene: Scene) -> None:
    """Five shoppers pay for one of two pieces, all at once."""
    article = await scene.article(pieces=2)
    shoppers = [scene.shopper() for _ in range(5)]
    orders = await asyncio.gather(*(shopper.order([(article, 1)]) for shopper in shoppers))
    assert None not in orders
    pays = (shopper.pay(order, "tok_visa", patience=40) for shopper, order in zip(shoppers, orders, strict=True))
    await asyncio.gather(*pays)


async def a_mailbox_away(scene: Scene) -> None:
    """A shopper pays while mail cannot be sent."""
    shopper = scene.shopper()
    order = await shopper.order([(await scene.article(), 1)])
    assert order is not None
    async with scene.trouble("sendgrid", error_rate=1, error_status=500):
        await shopper.pay(order, "tok_visa")


async def a_silent_bank(scene: Scene) -> None:
    """The bank takes the money and says nothing, also by webhook; the shopper goes away, and does not come back."""
    shopper = scene.shopper()
    order = await shopper.order([(await scene.article(pieces=3), 1)])
    assert order is not None
    await scene.sandbox("PUT", "webhooks/stripe", {"enabled": False})
    try:
        async with scene.trouble("stripe", lose_answer_rate=1, path=CONFIRM):
            assert await shopper.pay(order, "tok_visa", patience=0) is None
    finally:
        await scene.sandbox("DELETE", "webhooks/stripe")


def found(stage: Stage, storm: Storm, patience: float = PATIENCE) -> tuple[list[Violation], float]:
    """What the books say after a storm, and how long the shop took to settle, at most `patience` (seconds)."""
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
    return books.check(Books(written, scene.journal, Catalogue(scene.articles, []))), took

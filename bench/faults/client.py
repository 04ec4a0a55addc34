"""A shopper's HTTP client, as a storefront should have one: every POST has an Idempotency-Key, and is repeated under it
until there is a definitive answer."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from bench.faults.journal import Journal, Lost, Sight, told

# Longer than the gateway's own longest deadline (30 s), so that it is the gateway that answers.
TIMEOUT = aiohttp.ClientTimeout(total=40, connect=5)
# How long a shopper goes on asking for one thing (seconds), and the bounds of the pause between two tries.
PATIENCE = 60.0
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 4.0
TROUBLE = (aiohttp.ClientError, asyncio.TimeoutError, OSError)


@dataclass(frozen=True)
class Seen:
    """A definitive answer."""

    status: int
    body: Any

    @property
    def good(self) -> bool:
        return self.status < 300


class Client:
    """One shopper's way to the shop.

    Args:
        http: shared by all shoppers.
        url: the gateway's.
        shopper: the shopper's number.
        dice: the shopper's own; keys and pauses come from it.
        journal: where answers are noted.
    """

    def __init__(
        self, http: aiohttp.ClientSession, url: str, shopper: int, dice: random.Random, journal: Journal
    ) -> None:
        self._http = http
        self._url = url
        self._shopper = shopper
        self._dice = dice
        self._journal = journal
        self.cart_id = ""

    def key(self) -> str:
        """A new Idempotency-Key."""
        return str(uuid.UUID(int=self._dice.getrandbits(128), version=4))

    async def post(
        self,
        what: str,
        path: str,
        body: dict[str, Any],
        key: str | None = None,
        patience: float = PATIENCE,
        admin: bool = False,
        **about: Any,
    ) -> Seen | None:
        """POST until there is a definitive answer; None, and noted as lost, when patience ran out.

        Args:
            what: what it is for, see `journal`.
            body: sent as JSON.
            key: the Idempotency-Key; a new one when None.
            admin: an operator's request, without a cart.
            about: what else tells the request, for the journal.
        """
        key = key or self.key()
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        if self.cart_id and not admin:
            headers["Cart-Id"] = self.cart_id
        asked = {**body, **about}
        sent, until = 0, time.monotonic() + patience
        while True:
            sent += 1
            status, answer, given = await self._send("POST", path, orjson.dumps(body), headers)
            if _definitive(status, given):
                replayed = given.get("Idempotent-Replayed") == "true"
                sight = Sight(
                    time.time(), self._shopper, what, self.cart_id, key, asked, status, told(answer), sent, replayed
                )
                self._journal.sights.append(sight)
                return Seen(status, answer)
            pause = self._pause(sent, given)
            if time.monotonic() + pause > until:
                self.lose(
                    what, key, asked, f"no definitive answer in {patience:g} s, at last {status}: {answer!s:.200}"
                )
                return None
            await asyncio.sleep(pause)

    def lose(self, what: str, key: str, asked: dict[str, Any], why: str) -> None:
        """Note that the end of a request will never be known."""
        self._journal.lost.append(Lost(self._shopper, what, self.cart_id, key, asked, why))

    async def ask(self, method: str, path: str, patience: float = PATIENCE) -> Seen | None:
        """A request that may be repeated as it is (GET, DELETE), until there is a definitive answer."""
        headers = {"Cart-Id": self.cart_id} if self.cart_id else {}
        sent, until = 0, time.monotonic() + patience
        while True:
            sent += 1
            status, answer, given = await self._send(method, path, None, headers)
            if _definitive(status, given):
                return Seen(status, answer)
            pause = self._pause(sent, given)
            if time.monotonic() + pause > until:
                return None
            await asyncio.sleep(pause)

    async def answer_bank(self, url: str, result: str) -> None:
        """Answer the bank's question ("succeed" or "fail") on the page at `url`; its provider is never killed."""
        for _ in range(20):
            try:
                async with self._http.post(url, json={"result": result}) as answer:
                    await answer.read()
                    if answer.status in (200, 409):  # 409: the payment was called off, or answered, before
                        self._journal.answered[url.rsplit("/", 1)[-1]] = (time.time(), result)
                        return
            except TROUBLE as trouble:
                self._journal.heard[type(trouble).__name__] += 1
            await asyncio.sleep(0.2)

    async def _send(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, Any, dict[str, str]]:
        """Status (0: no answer), parsed body, headers of one try."""
        try:
            async with self._http.request(method, self._url + path, data=body, headers=headers) as response:
                text = await response.read()
        except TROUBLE as trouble:
            self._journal.heard[type(trouble).__name__] += 1
            return 0, f"{type(trouble).__name__}: {trouble}", {}
        if response.status >= 400:
            self._journal.heard[str(response.status)] += 1
        try:
            return response.status, orjson.loads(text), dict(response.headers)
        except orjson.JSONDecodeError:
            return 0, f"{response.status} with a body that is no JSON", {}

    def _pause(self, sent: int, headers: dict[str, str]) -> float:
        asked_for = headers.get("Retry-After", "")
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(sent, 10))
        return (float(asked_for) if asked_for.isdigit() else 0.0) + self._dice.uniform(0, longest)


def _definitive(status: int, headers: dict[str, str]) -> bool:
    """Whether repeating would say nothing new: a 2xx, or a 4xx that does not ask to come again."""
    return 200 <= status < 500 and status != 429 and not (status == 409 and "Retry-After" in headers)

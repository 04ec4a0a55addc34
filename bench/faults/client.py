"""A shopper's HTTP client, as a storefront should have one: every POST has an Idempotency-Key, and is retried with it
until there is a definitive answer."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from bench.faults.front import ANSWER_WAIT_S
from bench.faults.journal import CART, LOOK, WALKED_AWAY, Journal, Lost, Sight, Unlike, compared_parts

# Longer than the gateway's own longest deadline (30 s), so that the gateway answers first.
TIMEOUT = aiohttp.ClientTimeout(total=40, connect=5)
# The limits of the pause between two attempts (seconds).
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 4.0
# The share of definitively answered requests that are sent once more, to check that the answer is the same.
SENT_AGAIN = 0.1
TROUBLE = (aiohttp.ClientError, asyncio.TimeoutError, OSError)


# A longer wait comes from a rate limit, which no shopper here waits for (seconds).
LONGEST_RETRY = 20


@dataclass(frozen=True)
class Seen:
    """An answer. status: 0 when there was none; text: the raw body; headers: by their usual names."""

    status: int
    text: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    trouble: str = ""

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300

    @property
    def body(self) -> Any:
        return orjson.loads(self.text)

    @property
    def definitive(self) -> bool:
        """Whether a repeat would give the same answer: a 2xx, or a 4xx that does not ask for an early retry."""
        later = self.headers.get("Retry-After", "1" if self.status == 429 else "")
        comes_back = self.status in (409, 429) and later.isdigit() and int(later) <= LONGEST_RETRY
        return 200 <= self.status < 500 and not comes_back

    @property
    def kept(self) -> bool:
        """Whether every repeat with its key must give this answer: any definitive answer except to an invalid request,
        a rate limit, or a pending bank authentication."""
        asks = self.status == 402 and "next_action" in self.body
        return self.definitive and self.status != 400 and not asks and "Retry-After" not in self.headers

    def __str__(self) -> str:
        return f"{self.status} {self.text.decode(errors='replace')[:300]}{self.trouble}"


class Client:
    """One shopper's access to the shop.

    Args:
        http: shared by all shoppers.
        url: the gateway's.
        shopper: the shopper's number.
        dice: the shopper's own random generator, also for keys.
        journal: where answers are recorded.
        again: the share of definitively answered requests that are sent once more, from 0 to 1.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        shopper: int,
        dice: random.Random,
        journal: Journal,
        again: float = SENT_AGAIN,
    ) -> None:
        self._http = http
        self._url = url
        self._shopper = shopper
        self._dice = dice
        # The seed does not determine how often a shopper has to retry, so pauses must not use the shopper's random
        # generator.
        self._pauses = random.Random(dice.getrandbits(64))
        self._journal = journal
        self._again = again
        self.cart_id = ""

    def key(self) -> str:
        """Return a new Idempotency-Key."""
        return str(uuid.UUID(int=self._dice.getrandbits(128), version=4))

    async def post(
        self,
        what: str,
        path: str,
        body: dict[str, Any],
        key: str | None = None,
        patience: float = ANSWER_WAIT_S,
        admin: bool = False,
        **about: Any,
    ) -> Seen | None:
        """POST until there is a definitive answer. When patience runs out, return None, and record the request as lost;
        without any patience, record that the shopper walked away.

        Args:
            what: the purpose of the request, see `journal`.
            body: sent as JSON.
            key: the Idempotency-Key; a new one when None.
            admin: an operator's request, without a cart.
            about: what else identifies the request, for the journal.
        """
        key = key or self.key()
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        if self.cart_id and not admin:
            headers["Cart-Id"] = self.cart_id
        asked = {**body, **about}
        text = orjson.dumps(body)
        again = self._dice.random() < self._again  # drawn here: the random series must not depend on answers
        seen, sent = await self._until_definitive("POST", path, text, headers, patience)
        if not seen.definitive:
            why = f"no definitive answer in {patience:g} s, at last {seen}"
            self.lose(what, key, asked, why if patience else WALKED_AWAY)
            return None
        self._see(what, key, asked, seen, sent)
        named = self.cart_id or admin  # without either, a key has no effect: each answer is a new cart
        if again and seen.kept and named:
            second, _ = await self._until_definitive("POST", path, text, headers, patience)
            same = (second.status, second.text) == (seen.status, seen.text)
            replayed = same and second.headers.get("Idempotent-Replayed") == "true"
            # A client without a cart never receives another client's, even with the same key.
            if second.definitive and replayed == (what == CART and "Cart-Id" not in headers):
                self._journal.unlike.append(Unlike(what, key, str(seen), str(second)))
        return seen

    def lose(self, what: str, key: str, asked: dict[str, Any], why: str) -> None:
        """Record that the outcome of a request will never be known."""
        self._journal.lost.append(Lost(self._shopper, what, self.cart_id, key, asked, why))

    def _see(self, what: str, key: str, asked: dict[str, Any], seen: Seen, sent: int) -> None:
        replayed = seen.headers.get("Idempotent-Replayed") == "true"
        answer = compared_parts(seen.body)
        self._journal.see(
            Sight(time.time(), self._shopper, what, self.cart_id, key, asked, seen.status, answer, sent, replayed)
        )

    async def look(self, order_id: str) -> Seen | None:
        """Return the current order; None when patience ran out."""
        seen = await self.ask("GET", f"/api/orders/{order_id}", order_id=order_id)
        if seen is not None:
            self._see(LOOK, "", {"order_id": order_id}, seen, 1)
        return seen

    async def ask(self, method: str, path: str, patience: float = ANSWER_WAIT_S, **about: Any) -> Seen | None:
        """Send an idempotent request (GET, DELETE) until there is a definitive answer. When patience runs out, return
        None, and record the request as lost."""
        headers = {"Cart-Id": self.cart_id} if self.cart_id else {}
        seen, _ = await self._until_definitive(method, path, None, headers, patience)
        if seen.definitive:
            return seen
        self.lose(f"{method} {path}", "", about, f"no definitive answer in {patience:g} s, at last {seen}")
        return None

    async def answer_bank(self, url: str, result: str) -> None:
        """Answer the bank's authentication ("succeed" or "fail") on the page at `url`; its provider is never killed."""
        for _ in range(20):
            try:
                async with self._http.post(url, json={"result": result}) as answer:
                    await answer.read()
                    if answer.status in (200, 409):  # 409: the payment was canceled, or answered, before
                        self._journal.answered[url.rsplit("/", 1)[-1]] = (time.time(), result)
                        return
            except TROUBLE as trouble:
                self._journal.heard[type(trouble).__name__] += 1
            await asyncio.sleep(0.2)

    async def decide(self, sandbox_url: str, path: str, body: dict[str, Any], method: str = "POST") -> Any:
        """Let a carrier, a bank or a mailbox act, by the sandbox's control API, which no fault affects; return its
        answer. Raises `aiohttp.ClientResponseError` when it refuses, as when a label was returned meanwhile."""
        async with self._http.request(method, f"{sandbox_url}/sandbox/{path}", json=body) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def _until_definitive(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], patience: float
    ) -> tuple[Seen, int]:
        """Return the last answer, definitive unless patience ran out, and the number of attempts."""
        sent, until = 0, time.monotonic() + patience
        while True:
            sent += 1
            seen = await self._send(method, path, body, headers)
            pause = self._pause(sent, seen.headers)
            if seen.definitive or time.monotonic() + pause > until:
                return seen, sent
            await asyncio.sleep(pause)

    async def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Seen:
        try:
            async with self._http.request(method, self._url + path, data=body, headers=headers) as response:
                seen = Seen(response.status, await response.read(), response.headers)
        except TROUBLE as trouble:
            self._journal.heard[type(trouble).__name__] += 1
            return Seen(0, trouble=f"{type(trouble).__name__}: {trouble}")
        try:
            seen.body  # noqa: B018 - what cannot be read is no answer
        except orjson.JSONDecodeError:
            self._journal.heard[f"{seen.status} without JSON"] += 1
            return Seen(0, trouble=f"no JSON: {seen}")
        if seen.status >= 400:
            self._journal.heard[str(seen.status)] += 1
        if seen.status == 500:
            self._journal.bugs.append(f"{method} {path}: {seen}")
        return seen

    def _pause(self, sent: int, headers: Mapping[str, str]) -> float:
        asked_for = headers.get("Retry-After", "")
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(sent, 10))
        return (float(asked_for) if asked_for.isdigit() else 0.0) + self._pauses.uniform(0, longest)

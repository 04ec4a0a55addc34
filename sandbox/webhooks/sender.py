"""Sends the waiting webhooks in the background, and retries those that are not accepted."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

import aiohttp

from sandbox.settings import SandboxSettings
from sandbox.state import State
from sandbox.webhooks.signing import headers
from sandbox.webhooks.waiting import Outcome, Waiting, Webhooks

# The maximum number of concurrent requests, and the timeout of one (seconds).
AT_ONCE = 8
ANSWER_TIMEOUT_S = 10.0
# SendGrid reports up to this many mails in one request.
MAILS_AT_ONCE = 100
# The pause before a retry doubles from the first to the longest (seconds); after this many tries it is given up.
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 30.0
TRIES = 12
# While the gateway is down, only one webhook at a time is tried, with a growing pause (seconds).
LONGEST_AWAY = 5.0
# How often due webhooks are looked for without a notification (seconds).
LOOK_INTERVAL_S = 1.0

log = logging.getLogger("sandbox.webhooks")


class Sender:
    """The sending task.

    webhooks, state: the waiting webhooks, and the sandbox's time. settings: the target and the signing secrets.
    """

    def __init__(self, webhooks: Webhooks, state: State, settings: SandboxSettings) -> None:
        self._webhooks = webhooks
        self._state = state
        self._settings = settings
        self._wake = asyncio.Event()
        self._under_way: set[int] = set()
        self._requests: set[asyncio.Task[None]] = set()
        self._away = 0  # consecutive failed connections
        self._quiet_until = 0.0
        webhooks.noticed = self._wake.set

    async def run(self) -> None:
        """Send until cancelled; a request in flight at that time is sent again at the next start."""
        # Its own connections, without the machine's proxies: the gateway is local.
        timeout, connector = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S), aiohttp.TCPConnector(limit=AT_ONCE)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
            try:
                while True:
                    self._wake.clear()
                    self._start(http)
                    await self._until_next()
            finally:
                for request in self._requests:
                    request.cancel()
                await asyncio.gather(*self._requests, return_exceptions=True)

    async def flush(self, provider: str, patience: float = ANSWER_TIMEOUT_S) -> int:
        """Send what is held back, and wait until each was tried once; return how many there were."""
        held = self._webhooks.hurry(provider)
        self._quiet_until = 0.0
        self._wake.set()
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        while loop.time() < until:
            now = self._webhooks.tries(provider)
            if not any(now.get(seq) == tries for seq, tries in held.items()):
                break
            await asyncio.sleep(0.02)
        return len(held)

    async def _until_next(self) -> None:
        due, loop = self._webhooks.next_due(), asyncio.get_running_loop()
        wait: float | None = None
        if due is not None:
            wait = min(LOOK_INTERVAL_S, max(due - self._state.now(), self._quiet_until - loop.time(), 0.0))
            if len(self._requests) >= self._room() or (self._under_way and wait == 0.0):
                wait = LOOK_INTERVAL_S  # a returning request wakes it
        # Not wait_for: until Python 3.12 it loses a cancellation that arrives just as the wait ends.
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._wake.wait()

    def _room(self) -> int:
        return 1 if self._away else AT_ONCE

    def _start(self, http: aiohttp.ClientSession) -> None:
        if asyncio.get_running_loop().time() < self._quiet_until:
            return
        free = self._room() - len(self._requests)
        if free <= 0:
            return
        waiting = self._webhooks.due(free + MAILS_AT_ONCE, self._under_way)
        mails = [one for one in waiting if one.provider == "sendgrid"]
        batches: list[Sequence[Waiting]] = [[one] for one in waiting if one.provider != "sendgrid"]
        if mails:
            batches.insert(0, mails)
        for batch in batches[:free]:
            self._under_way.update(one.seq for one in batch)
            request = asyncio.create_task(self._send(http, batch))
            self._requests.add(request)
            request.add_done_callback(self._returned)

    def _returned(self, request: asyncio.Task[None]) -> None:
        self._requests.discard(request)
        if not request.cancelled() and request.exception() is not None:
            log.error("a webhook could not be handled: a bug of the sandbox", exc_info=request.exception())
            self._quiet_until = asyncio.get_running_loop().time() + LONGEST_AWAY
        self._wake.set()

    async def _send(self, http: aiohttp.ClientSession, batch: Sequence[Waiting]) -> None:
        first = batch[0]
        body = b"[" + b",".join(one.body for one in batch) + b"]" if first.provider == "sendgrid" else first.body
        path = urlsplit(first.url).path or f"/api/webhooks/{first.provider}/"
        try:
            self._webhooks.counts[first.provider]["sent"] += len(batch)
            outcome = await self._post(http, f"{self._settings.webhook_url}{path}", first, body)
            if outcome.accepted:
                self._webhooks.done(batch, "delivered", outcome)
                return
            for one in batch:
                if one.tries + 1 >= TRIES:
                    self._webhooks.done([one], "given_up", outcome)
                else:
                    pause = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2**one.tries) * random.uniform(0.75, 1.25)  # noqa: S311
                    self._webhooks.put_off([one], pause, outcome)
        finally:
            self._under_way.difference_update(one.seq for one in batch)

    async def _post(self, http: aiohttp.ClientSession, target: str, first: Waiting, body: bytes) -> Outcome:
        proof = headers(first.provider, first.url, body, self._settings, self._state)
        try:
            async with http.post(target, data=body, headers=proof, allow_redirects=False) as answer:
                await answer.read()
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            self._nobody_there(error)
            return Outcome(error="nobody answers there")
        except TimeoutError:
            log.debug("%s %s: no answer", first.provider, first.kind)
            return Outcome(error=f"no answer within {ANSWER_TIMEOUT_S:.0f} s")
        except aiohttp.ClientError as error:
            log.debug("%s %s: %s", first.provider, first.kind, error)
            return Outcome(error="the connection was lost")
        if self._away:
            log.info("webhooks are taken again")
            self._away = 0
        outcome = Outcome(answer.status)
        if outcome.accepted:
            self._webhooks.last[first.provider] = (proof, body)
        else:
            log.debug("%s %s: answered %s", first.provider, first.kind, answer.status)
        return outcome

    def _nobody_there(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._quiet_until:
            return  # another request in flight has found this out already
        if not self._away:
            log.info("nobody takes webhooks at %s; they wait", self._settings.webhook_url)
        pause = min(LONGEST_AWAY, FIRST_RETRY_S * 2 ** min(self._away, 10))
        self._away += 1
        self._quiet_until = now + pause

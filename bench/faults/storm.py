"""What goes wrong, and when: a schedule that a seed determines, and the class that carries it out."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import psutil

from bench.faults.outages import LASTS
from launcher.shop import Shop

# The relative frequency with which each part is killed. A broker crash affects all parts, so it is killed more rarely.
PARTS = {"cart": 5, "products": 3, "shipping": 3, "notifications": 3, "gateway": 2, "rabbitmq": 1}
BROKER = "rabbitmq"
STRIPE = "stripe"
PROVIDERS = (STRIPE, "shippo", "twilio", "sendgrid")
# Half of Stripe's troubles are those of its taxes alone: payments go on without them.
TAX_ROUTES = "/v1/tax/*"
TROUBLES: dict[str, dict[str, Any]] = {
    "hang": {"hang_rate": 0.5},
    "500": {"error_rate": 0.7, "error_status": 500},
    "429": {"error_rate": 0.7, "error_status": 429},
    "answer lost": {"lose_answer_rate": 0.5},
}
# With an aftermath also these: Stripe keeps them under the call's key, and replays them; half are done all the same.
KEPT: dict[str, dict[str, Any]] = {"500 kept": {"saved_error_rate": 0.3, "saved_error_done_rate": 0.3}}
WEBHOOKS = {"loss_rate": 0.2, "duplicate_rate": 0.2, "reorder_rate": 0.2}
KILLS = 0.6  # share of all events except outages
# The share of outages (`bench.faults.outages`) in all events, each kind in turn. The settling time after each is
# measured.
OUTAGES = 0.1
KILL, PROVIDER = "kill", "provider"
# Seconds: the mean between two events, the duration of a provider's fault, and the length of a squall before the next
# lull.
MEAN_GAP = 3.0
TROUBLE_LASTS = (2.0, 6.0)
SQUALL = 30.0
BROKER_WAIT_S = 180.0
DEBIT_S = 3.0  # seconds


@dataclass(frozen=True)
class Event:
    """One event of the schedule. after: seconds since the previous event. kind: "kill", "trouble", "lull" (a pause in
    which the settling time is measured), "outage" (`trouble` is its name) or "restart" (of the broker, by `trouble`:
    "kill" or "stop")."""

    after: float
    kind: str
    target: str = ""
    trouble: str = ""
    lasts: float = 0.0
    dice: int = 0


def schedule(
    seed: int,
    mean_gap: float = MEAN_GAP,
    squall: float = SQUALL,
    outages: Sequence[str] = (),
    share: float = OUTAGES,
    others: Sequence[str] = (KILL, PROVIDER),
    kept: bool = False,
) -> Iterator[Event]:
    """Yield the events of `seed`, without end.

    Args:
        outages: their names. share: the share of outages in all events, from 0 to 1.
        others: which of `KILL` and `PROVIDER` also occur.
        kept: whether Stripe also keeps failures under a call's key.
    """
    dice = random.Random(f"storm {seed}")
    kills = 1.0 if PROVIDER not in others else 0.0 if KILL not in others else KILLS
    share = 1.0 if outages and not others else share
    passed, turn = 0.0, itertools.cycle(dice.sample(list(outages), len(outages)))
    while True:
        gap = min(max(dice.expovariate(1 / mean_gap), mean_gap / 6), mean_gap * 3)
        passed += gap
        if outages and dice.random() < share:
            name = next(turn)
            yield Event(gap, "outage", trouble=name, lasts=dice.uniform(*LASTS[name]), dice=dice.getrandbits(30))
            passed = 0.0  # the shop has settled after it
        elif (passed > squall and KILL in others) or dice.random() < kills:
            target = dice.choices(list(PARTS), list(PARTS.values()))[0]
            yield Event(gap, "kill", target, dice=dice.getrandbits(30))
            if passed > squall:  # at once, so that quick and slow work interrupted by this kill counts
                passed = 0.0
                yield Event(0.0, "lull")
        else:
            target = dice.choice(PROVIDERS)
            trouble = dice.choice([*TROUBLES, *(KEPT if kept and target == STRIPE else ())])
            yield Event(gap, "trouble", target, trouble, dice.uniform(*TROUBLE_LASTS), dice.getrandbits(30))


def restarts(count: int, gap: float) -> Iterator[Event]:
    """Yield that many restarts of the broker, killed and stopped alternately, each `gap` seconds after the shop has
    recovered from the previous one."""
    for number in range(count):
        yield Event(gap, "restart", BROKER, "stop" if number % 2 else "kill")


@dataclass
class Storm:
    """Carries out a schedule on a running shop.

    Attributes:
        killed: part -> processes that were killed (a gateway or a broker counts once).
        troubles: "provider: trouble" -> how often.
        last: Unix seconds at which the last event was over.
    """

    shop: Shop
    http: aiohttp.ClientSession
    killed: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    last: float = 0.0
    _ends: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def strike(self, event: Event) -> None:
        """Carry out one event."""
        if event.kind == "kill":
            if await asyncio.to_thread(self._kill, event):
                self.killed[event.target] += 1
        elif event.kind == "restart":
            await asyncio.to_thread(self._restart, event)
            self.killed[event.target] += 1
        else:
            await self._trouble(event)
        self.last = time.time()

    async def shuffle_webhooks(self, seed: int) -> None:
        """From now on a fifth of all webhooks is lost, a fifth is duplicated, and a fifth is overtaken by later
        ones."""
        for provider in PROVIDERS:
            await self._ask("PUT", f"webhooks/{provider}", {**WEBHOOKS, "seed": seed})

    async def hurry_stripe(self) -> None:
        """From now on a bank debit takes seconds, not days."""
        await self._ask("PUT", "options/stripe", {"settle_after_s": DEBIT_S})

    async def leave_webhooks(self) -> None:
        """From now on every webhook is delivered once and in order, and a bank debit takes as long as ever."""
        for provider in PROVIDERS:
            await self._ask("DELETE", f"webhooks/{provider}")
        await self._ask("DELETE", "options/stripe")

    async def calm(self) -> None:
        """End every fault of the providers; killed processes restart automatically."""
        lasting = any(not task.done() for task in self._ends.values())
        for task in self._ends.values():
            task.cancel()
        self._ends.clear()
        for provider in PROVIDERS:
            await self._ask("DELETE", f"faults/{provider}")
        if lasting:
            self.last = time.time()

    async def ready(self, patience: float) -> float:
        """Return the seconds until the shop reports that it is ready; infinity when not within `patience`."""
        began = time.monotonic()
        while (passed := time.monotonic() - began) < patience:
            try:
                async with self.http.get(f"{self.shop.url}/health/ready/") as answer:
                    if answer.status == 200:
                        return passed
            except (TimeoutError, aiohttp.ClientError, OSError):
                pass
            await asyncio.sleep(0.2)
        return math.inf

    def _kill(self, event: Event) -> bool:
        """`kill -9` one copy of the part, including its children; return whether there was one."""
        try:
            pids = sorted(self.shop.pids(event.target))
        except OSError:
            return False
        if not pids:
            return False  # it is being started already
        with contextlib.suppress(psutil.Error):
            leader = psutil.Process(pids[event.dice % len(pids)])
            for process in [leader, *leader.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            return True
        return False

    def _restart(self, event: Event) -> None:
        """Restart the broker, and wait until the shop has reconnected. Raises Problem when it does not in time."""
        if event.trouble == "kill":
            before = self.shop.pids(event.target)
            self.shop.kill(event.target)
            end = time.monotonic() + BROKER_WAIT_S
            while self.shop.pids(event.target) in ([], before) and time.monotonic() < end:
                time.sleep(0.1)
        else:
            self.shop.halt(event.target)
            self.shop.resume(event.target)
        self.shop.wait_ready(BROKER_WAIT_S)

    async def _trouble(self, event: Event) -> None:
        if (task := self._ends.pop(event.target, None)) is not None:
            task.cancel()
        fault, what = {**TROUBLES, **KEPT}[event.trouble] | {"seed": event.dice}, event.target
        if event.target == STRIPE and event.dice % 2:
            fault, what = {**fault, "path": TAX_ROUTES}, "stripe taxes"
        await self._ask("PUT", f"faults/{event.target}", fault)
        self.troubles[f"{what}: {event.trouble}"] += 1
        self._ends[event.target] = asyncio.create_task(self._end(event.target, event.lasts))

    async def _end(self, provider: str, lasts: float) -> None:
        await asyncio.sleep(lasts)
        await self._ask("DELETE", f"faults/{provider}")
        self.last = time.time()

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        url = f"{self.shop.sandbox_url}/sandbox/{path}"
        async with self.http.request(method, url, json=body) as answer:
            answer.raise_for_status()

"""Clients that send half a request, thousands at once from one address, while others browse, buy and pay."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from bench.abuse.attacker import OPENED_PER_SECOND
from bench.abuse.files import raise_limit
from bench.abuse.target import GOOD_CARD, Target
from launcher.place import ROOT

STRANGER = "127.0.0.2"
GOAL = 3.0  # times the p99 of others' POSTs without the attack
# The time within which half-sent requests must be answered or closed; the deadline is 10 s.
ENDED_WITHIN_S = 15.0
SHOPPERS = 4
PAUSE_S = 0.05  # between two requests of a shopper; without this pause the machine would be the limit
SPARE_FILES = 500
SETTLE_S = 1.5
IDLE_S = 1.0  # of a leg without attackers, where the ratio is not judged
END_WAIT_S = 60.0  # time for the attacker to close its connections
SHOPPER_TIMEOUT = aiohttp.ClientTimeout(total=45, connect=10)


@dataclass
class Leg:
    """What shoppers measured: milliseconds of POSTs and of GETs, and failures."""

    posts: list[float] = field(default_factory=list)
    gets: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)

    def add(self, other: Leg) -> None:
        self.posts += other.posts
        self.gets += other.gets
        self.failed += other.failed


@dataclass
class Strangers:
    """The result. heads: how many half heads were possible. attack: how the attackers' connections ended."""

    idle: Leg = field(default_factory=Leg)
    attacked: Leg = field(default_factory=Leg)
    bodies: int = 0
    heads: int = 0
    wanted_heads: int = 0
    attacks: list[dict[str, Any]] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Return the p99 of POSTs under attack, divided by the one without."""
        return quantile(self.attacked.posts, 0.99) / max(0.001, quantile(self.idle.posts, 0.99))


def quantile(times: list[float], share: float) -> float:
    """Return the milliseconds within which that share was answered; 0 without any."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


async def run(
    target: Target,
    say: Callable[[str], None],
    bodies: int = 200,
    heads: int = 8000,
    rounds: int = 3,
    seconds: float = 15.0,
    judge_ratio: bool = True,
) -> Strangers:
    """Let shoppers shop alternately without and with attackers, `rounds` times `seconds` each.

    judge_ratio: whether a p99 over `GOAL` is a finding; on a busy machine it means little.
    """
    possible = max(0, raise_limit() - SPARE_FILES - bodies)
    found = Strangers(bodies=bodies, heads=min(heads, possible), wanted_heads=heads)
    if found.heads < heads:
        say(f"The limit of open files allows only {found.heads} half heads instead of {heads}.")
    product = (await target.product())["id"]
    await _leg(target, product, 2.0, 0)  # warm
    for number in range(1, rounds + 1):
        await asyncio.sleep(SETTLE_S)
        found.idle.add(await _leg(target, product, seconds if judge_ratio else IDLE_S, number))
        attacked, attack = await _attacked(target, product, seconds, number, bodies, found.heads)
        found.attacked.add(attacked)
        found.attacks.append(attack)
        say(
            f"strangers, round {number} of {rounds}: p99 of others' POSTs {quantile(found.idle.posts, 0.99):.0f} ms"
            f" idle, {quantile(found.attacked.posts, 0.99):.0f} ms attacked; {attack}"
        )
    _judge(found, judge_ratio)
    return found


async def _attacked(
    target: Target, product: str, seconds: float, number: int, bodies: int, heads: int
) -> tuple[Leg, dict[str, Any]]:
    command = [sys.executable, "-m", "bench.abuse.attacker", str(target.port), STRANGER, str(bodies), str(heads)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        await asyncio.sleep(SETTLE_S + heads / OPENED_PER_SECOND)  # until all are connected
        leg = await _leg(target, product, seconds, number)
        said, _ = await asyncio.to_thread(process.communicate, b"", END_WAIT_S)
        return leg, json.loads(said)
    finally:
        process.kill()
        process.wait()


async def _leg(target: Target, product: str, seconds: float, number: int) -> Leg:
    leg, until = Leg(), time.monotonic() + seconds
    shoppers = (
        _shopper(target, product, f"127.0.0.{70 + place}", leg, until, random.Random(f"shopper {number} {place}"))
        for place in range(SHOPPERS)
    )
    await asyncio.gather(*shoppers)
    return leg


async def _shopper(target: Target, product: str, source: str, leg: Leg, until: float, dice: random.Random) -> None:
    """Browse, buy, check out and pay from one address until the time is over."""
    connector = aiohttp.TCPConnector(local_addr=(source, 0))
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, timeout=SHOPPER_TIMEOUT, cookie_jar=jar) as http:

        async def ask(verb: str, path: str, body: Any = None, cart: str = "") -> Any:
            await asyncio.sleep(dice.uniform(0, 2 * PAUSE_S))
            began = time.perf_counter()
            headers = {"Cart-Id": cart} if cart else {}
            url = f"http://127.0.0.1:{target.port}{path}"
            try:
                async with http.request(verb, url, json=body, headers=headers) as answer:
                    text, status = await answer.read(), answer.status
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                leg.failed[f"{verb} {path.split('?')[0]}: {type(error).__name__}"] += 1
                return None
            (leg.posts if verb == "POST" else leg.gets).append((time.perf_counter() - began) * 1000)
            if status >= 400:
                leg.failed[f"{verb} {path.split('?')[0]}: {status}"] += 1
                return None
            return json.loads(text)

        while time.monotonic() < until:
            await ask("GET", "/api/products/?category=food&limit=10")
            cart = (await ask("POST", "/api/cart/") or {}).get("cart_id")
            if not cart or await ask("POST", f"/api/cart/{product}/buy/", {"quality": 1}, cart) is None:
                continue
            await ask("GET", "/api/cart/", cart=cart)
            order = await ask("POST", "/api/cart/checkout/", target.customer(), cart)
            if order is not None:
                await ask("POST", "/api/cart/paid/", {"order_id": order["id"], "cart": GOOD_CARD}, cart)


def _judge(found: Strangers, judge_ratio: bool) -> None:
    for name, leg in (("without strangers", found.idle), ("under attack", found.attacked)):
        for what, count in leg.failed.items():
            found.findings.append(f"{name}, {count} times: {what}")
    if not found.attacked.posts:
        found.findings.append("nobody was answered under attack")
    if judge_ratio and found.ratio > GOAL:
        found.findings.append(
            f"others' POSTs have {found.ratio:.1f} times the p99 of idle; at most {GOAL:g} are allowed"
        )
    for attack in found.attacks:
        for kind, ends in attack["ends"].items():
            if held := ends.get("held", 0):
                found.findings.append(f"{held} half-sent requests ({kind}) were held for over {ENDED_WITHIN_S:.0f} s")
            for end, count in ends.items():
                if end.isdigit() and end not in ("408", "429", "503"):
                    found.findings.append(f"{count} half-sent requests ({kind}) were answered {end}")

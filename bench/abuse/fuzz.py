"""Fuzzed requests: mutations of every route's valid request, truncated bodies, and bytes that are not HTTP."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psutil

from bench.abuse import contract, mutations, wire
from bench.abuse.samples import Ids, Route, routes
from bench.abuse.target import Target, Unexpected
from bench.abuse.wire import Answer

# Kind -> relative frequency.
KINDS = {
    "values": 30,
    "bytes": 12,
    "headers": 14,
    "path": 8,
    "query": 6,
    "verb": 4,
    "large": 4,
    "truncated": 12,
    "chunks": 4,
    "head": 3,
    "garbage": 3,
}
LARGE = (60_000, 70_000, 300_000, 1_000_000, 1_100_000, 3_000_000)
CONCURRENT = 8
# The time for a half-closed connection to be answered or closed, the body's deadline included (seconds).
END_WITHIN_S = 20.0
READY_WITHIN_S = 30.0
# The permitted growth of all gateway workers together, after the first tenth of the requests.
MEMORY_GROWTH_BYTES = 96 * 2**20
MARK = "truncated"  # the trace of a truncated request: in a product's category, and in mail addresses
MAIL = f"{MARK}@example.com"
PHONE = "+14155559999"
MAX_EXAMPLES = 40


@dataclass(frozen=True)
class Case:
    """One request. must_answer: whether the server has to answer it, or may just close the connection."""

    number: int
    kind: str
    route: Route
    sent: bytes
    source: str
    head: bool = False
    half_close: bool = False
    must_answer: bool = True


@dataclass
class Fuzzed:
    """The result of a run.

    Attributes:
        statuses: status -> answers; 0: none.
        findings: one line each.
        counted: event -> how often.
    """

    requests: int = 0
    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    memory_mb: tuple[float, float] = (0.0, 0.0)

    def find(self, what: str, example: str = "") -> None:
        """Record a finding; only the first few examples of equal ones are kept."""
        self.counted[what] += 1
        if self.counted[what] <= 2 and len(self.findings) < MAX_EXAMPLES:
            self.findings.append(f"{what}{': ' if example else ''}{example}")


class Fuzzer:
    """Generates the cases of a seed.

    Args:
        ids: objects of mutated requests. canary: objects of truncated requests; nothing else touches them.
    """

    def __init__(self, seed: int, target: Target, ids: Ids, canary: Ids) -> None:
        self._seed = seed
        self._target = target
        self._ids = ids
        self._canary = canary
        self._routes = routes()

    def case(self, number: int) -> Case:
        """Return the case with that number."""
        dice = random.Random(f"fuzz {self._seed} {number}")
        kind = dice.choices(list(KINDS), list(KINDS.values()))[0]
        choices = [route for route in self._routes if route.takes_body] if kind in ("values", "bytes") else self._routes
        route = dice.choice(choices)
        made: Case = getattr(self, f"_{kind}")(dice, number, kind, route)
        return made

    def _case(self, dice: random.Random, number: int, kind: str, route: Route, sent: bytes, **more: Any) -> Case:
        return Case(number, kind, route, sent, f"127.0.1.{1 + number % 200}", **more)

    def _whole(self, route: Route, raw: bytes | None, path: str = "", headers: Any = None, verb: str = "") -> bytes:
        given = self._ids.headers(self._target, route, raw) if headers is None else headers
        return wire.request(verb or route.verb, path or self._ids.path(route), given, raw)

    def _raw(self, route: Route) -> bytes | None:
        return encoded(self._ids.body(route))

    def _values(self, dice: random.Random, number: int, kind: str, route: Route) -> Case:
        body = self._ids.body(route)
        if isinstance(body, str):
            return self._bytes(dice, number, kind, route)
        raw = _dumped(mutations.document(dice, body))
        return self._case(dice, number, kind, route, self._whole(route, raw))

    def _bytes(self, dice: random.Random, number: int, kind: str, route: Route) -> Case:
        raw = mutations.mangled(dice, self._raw(route) or b"{}")
        return self._case(dice, number, kind, route, self._whole(route, raw))

    def _headers(self, dice: random.Random, number: int, kind: str, route: Route) -> Case:
        raw = self._raw(route)
        given = mutations.headers(dice, self._ids.headers(self._target, route, raw))
        # Each wrong admin key comes from its own address, because the shop may rightly block that address.
        source = f"127.{dice.randrange(2, 250)}.{dice.randrange(250)}.{dice.randrange(1, 250)}"
        sent = self._whole(route, raw, headers=given)
        # The announced length may exceed what is sent: closing the sending side ends the request.
        longer = any(name.lower() in ("content-length", "transfer-encoding", "expect") for name, _ in given)
        return Case(number, kind, route, sent, source, False, longer, must_answer=_is_http(given))

    def _path(self, dice: random.Random, number: int, kind: str, route: Route) -> Case:
        raw, path = self._raw(route), mutations.path(dice, self._ids.path(route))
        return self._case(dice, number, kind, route, self._whole(route, raw, path=path), must_answer=" " not in path)

    def _query(self, dice: random.Random, number: int, kind: str, route: Route) -> Case:
        path = f"{self._ids.path(route).partition('?')[0]}?{mutations.query(dice)}"
        return self._case(dice, number, kind, route, self._whole(route, self._raw(route), path=path))

    def _verb(self, dice: random.Random, number: int, kind: str, route: Route) -> Case:
        verb = dice.choice(mutations.VERBS)
        sent = self._whole(route, self._raw(route), verb=verb)
        proper = verb.isascii() and verb.isupper() and verb.isalpha() and len(verb) < 20
        return self._case(
            dice, number, kind, route, sent, head=verb == "HEAD", must_answer=proper and verb != "CONNECT"
        )

    def _large(self, dice: random.Random, number: int, kind: str, route: Route) -> Case:
        raw = mutations.large(dice, dice.choice(LARGE))
        return self._case(dice, number, kind, route, self._whole(route, raw))

    def _truncated(self, dice: random.Random, number: int, kind: str, route: Route) -> Case:
        """Return a body about the canary that ends too early; it may or may not be valid JSON up to there."""
        body = self._canary.body(route)
        if isinstance(body, dict):
            body = _marked(route, body)
        raw = encoded(body if body is not None else {}) or b"{}"
        headers = self._canary.headers(self._target, route, raw)
        if dice.random() < 0.3:
            headers.append(("Idempotency-Key", f"fuzz-{self._seed}-{number}"))
        cut = raw[: dice.choice((0, len(raw) // 2, len(raw) - 1, len(raw)))]
        if dice.random() < 0.5:
            length = len(raw) + dice.choice((1, 5, 1000))
            sent = wire.request(route.verb, self._canary.path(route), [*headers, ("Content-Length", str(length))], cut)
        else:
            coded = wire.chunked(cut, last=False) + dice.choice((b"", b"0", b"0\r\n", b"5\r\n{", b"ff"))
            given = [*headers, ("Transfer-Encoding", "chunked")]
            sent = wire.request(route.verb, self._canary.path(route), given, coded)
        return self._case(dice, number, kind, route, sent, half_close=True)

    def _chunks(self, dice: random.Random, number: int, kind: str, route: Route) -> Case:
        raw = self._raw(route) or b"{}"
        coded = mutations.mangled(dice, wire.chunked(raw[:3], raw[3:9], raw[9:]))
        headers = [*self._ids.headers(self._target, route, raw), ("Transfer-Encoding", "chunked")]
        return self._case(dice, number, kind, route, self._whole(route, coded, headers=headers), half_close=True)

    def _head(self, dice: random.Random, number: int, kind: str, route: Route) -> Case:
        # Only GET: the remains of a mangled head must not change anything.
        valid = wire.request("GET", "/api/products/?limit=2", self._target.headers(self._ids.cart))
        sent = mutations.mangled(dice, valid)
        return self._case(dice, number, kind, route, sent, half_close=True, must_answer=False)

    def _garbage(self, dice: random.Random, number: int, kind: str, route: Route) -> Case:
        sent = bytes(dice.randrange(256) for _ in range(dice.choice((1, 20, 500, 20_000)))) + b"\r\n\r\n"
        return self._case(dice, number, kind, route, sent, half_close=True, must_answer=False)


async def run(target: Target, seed: int, requests: int, say: Callable[[str], None], first: int = 0) -> Fuzzed:
    """Send the cases `first` … `first + requests - 1` of `seed`, and check the shop afterwards."""
    found = Fuzzed(requests=requests)
    canary = await Ids.made(target, name="Canary", metadata={"category": "canary"})
    fuzzer = Fuzzer(seed, target, await Ids.made(target), canary)
    before = await _snapshot(target, canary)
    processes = {process.pid for process in [*target.workers(), *target.services()]}
    numbers = iter(range(first, first + requests))
    began, said, warm = time.monotonic(), time.monotonic(), first + max(1, requests // 10)
    memory = 0

    async def one_after_the_other() -> None:
        nonlocal said, memory
        for number in numbers:
            if number == warm:
                memory = _resident(target)
            case = fuzzer.case(number)
            await _sent(target, case, found)
            if time.monotonic() - said > 5:
                said = time.monotonic()
                say(f"fuzz {number - first} of {requests}: {len(found.counted)} kinds of finding")

    await asyncio.gather(*(one_after_the_other() for _ in range(CONCURRENT)))
    found.seconds = time.monotonic() - began
    await _ready(target, found)
    now = {process.pid for process in [*target.workers(), *target.services()]}
    if now != processes:
        found.find(f"{len(processes - now)} processes died")
    memory_after = _resident(target)
    found.memory_mb = (round(memory / 2**20, 1), round(memory_after / 2**20, 1))
    if memory and memory_after - memory > MEMORY_GROWTH_BYTES:
        found.find(f"the gateway grew from {found.memory_mb[0]} to {found.memory_mb[1]} MB")
    await _unchanged(target, canary, before, found)
    return found


async def _sent(target: Target, case: Case, found: Fuzzed) -> None:
    example = f"request {case.number} ({case.kind}, {case.route}) {case.sent[:120]!r}"
    try:
        answer = await wire.exchange(
            target.port, case.sent, case.source, case.half_close, case.head, timeout=wire.ANSWER_TIMEOUT_S
        )
    except (TimeoutError, OSError) as error:
        answer = Answer(0)
        example += f" {type(error).__name__}"
    found.statuses[answer.status] += 1
    found.kinds[case.kind] += 1
    if answer.status == 0:
        if case.must_answer or answer.raw:
            found.find(f"no whole answer to {case.kind}", f"{example} → {answer.raw[:80]!r}")
        elif not answer.ended:
            found.find(f"{case.kind} is left hanging", example)
        return
    for complaint in contract.complaints(answer, case.head):
        found.find(f"{complaint} to {case.kind}", f"{example} → {answer}")
    if case.kind == "truncated" and case.route.verb != "GET" and answer.status < 400:
        found.find(f"a truncated {case.route} was answered {answer.status}", example)
    if answer.seconds > END_WITHIN_S and answer.status != 504:
        found.find(f"{case.kind} was answered after more than {END_WITHIN_S:.0f} s", example)


async def _snapshot(target: Target, canary: Ids) -> dict[str, Any]:
    """Return the state of everything in the shop that truncated requests concern."""
    looks = {
        "order": ("GET", f"/api/orders/{canary.order}"),
        "paid order": ("GET", f"/api/orders/{canary.paid}"),
        "cart": ("GET", "/api/cart/"),
        "product": ("GET", f"/api/products/{canary.product}"),
        "products": ("GET", f"/api/products/?category={MARK}"),
        "orders": ("GET", f"/api/orders/?email={MAIL}"),
    }
    found = {}
    for name, (verb, path) in looks.items():
        shown = await target.done(verb, path, cart=canary.cart, admin=True)
        found[name] = _settled(shown)
    found["mail"] = [mail for mail in target.ledger("emails") if MAIL in json.dumps(mail)]
    found["sms"] = [sms for sms in target.ledger("sms") if PHONE in json.dumps(sms)]
    return found


def _settled(shown: Any) -> Any:
    """Remove what changes over time: the delivery status of mail, SMS and parcel."""
    if isinstance(shown, dict) and shown.get("object") == "order":
        kept = ("id", "amount", "amount_returned", "status", "charge", "items", "email", "selected_shipping_method")
        return {name: shown.get(name) for name in kept}
    return shown


async def _unchanged(target: Target, canary: Ids, before: dict[str, Any], found: Fuzzed) -> None:
    try:
        after = await _snapshot(target, canary)
    except (Unexpected, OSError) as error:
        found.find("the canary cannot be read", str(error))
        return
    for name, was in before.items():
        if after[name] != was:
            found.find(f"truncated requests changed the {name}", f"{str(was)[:200]} → {str(after[name])[:200]}")


async def _ready(target: Target, found: Fuzzed) -> None:
    until = time.monotonic() + READY_WITHIN_S
    while True:
        answer = await target.ask("GET", "/health/ready/")
        if answer.status == 200:
            return
        if time.monotonic() > until:
            found.find("the shop is not ready afterwards", str(answer))
            return
        await asyncio.sleep(0.5)


def _resident(target: Target) -> int:
    total = 0
    for process in target.workers():
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total


def encoded(body: Any) -> bytes | None:
    """Return a body's bytes: JSON, or a text unchanged; None for no body."""
    if body is None:
        return None
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def _dumped(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _marked(route: Route, body: dict[str, Any]) -> dict[str, Any]:
    """Return the body, marked so that what it creates can be found."""
    name = str(route)
    if name == "POST /api/products":
        return {**body, "name": MARK, "metadata": {"category": MARK}}
    if name == "PUT /api/products/{product_id}":
        return {**body, "name": MARK}
    if name == "POST /api/cart/checkout":
        return {**body, "email": MAIL, "phone": PHONE}
    if name.endswith("/email"):
        return {**body, "to_email": MAIL}
    if name.endswith("/sms"):
        return {**body, "number": PHONE}
    return body


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def _is_http(headers: list[tuple[str, str]]) -> bool:
    """Whether RFC 9110 allows these headers; requests with others may be answered by closing the connection."""
    return all(_TOKEN.fullmatch(name) and _VALUE.fullmatch(value) for name, value in headers)

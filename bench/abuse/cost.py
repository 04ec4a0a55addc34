"""CPU time of the gateway's workers for the most expensive requests, one at a time, for every route."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psutil

from bench.abuse import signing, wire
from bench.abuse.fuzz import encoded
from bench.abuse.samples import Ids, Route, routes
from bench.abuse.target import Target

LIMIT_MS = 50.0
SIZES = (64 * 1024, 1024 * 1024)
# An expensive request is repeated and the minimum counts, because the figure also contains other work of the machine.
REPEATS, SUSPICIOUS_MS = 5, 30.0
# A worker may continue after its answer: it is watched until it was idle for REST_S, at most for WATCH_S.
REST_S, WATCH_S = 0.02, 20.0
REST_CPU_S = 0.001
STRANGER = "127.0.0.61"

Bodies = dict[str, bytes]


@dataclass(frozen=True)
class Attack:
    """One expensive request; unset parts are those of the route's valid request.

    kind: what is expensive about it. query: appended to the path. headers: added. body: replaces the valid one.
    """

    kind: str
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    query: str = ""


@dataclass
class Costs:
    """route -> (CPU milliseconds, kind, status) of its worst request; findings: one line each."""

    requests: int = 0
    worst: dict[str, tuple[float, str, int]] = field(default_factory=dict)
    services: dict[str, tuple[float, str, int]] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)


def bodies(size: int) -> Bodies:
    """Return expensive bodies of about `size` bytes, as JSON and as forms."""
    pairs = b"&".join(b"k%d=v" % number for number in range(size // 10))
    found: dict[str, Any] = {
        "unknown fields": "{" + _repeated(size, lambda k: f'"field_{k}":{k}') + "}",
        "unknown fields of objects": "{" + _repeated(size, lambda k: f'"f{k}":{{"a":1}}') + "}",
        "strings in a list": '{"attributes":[' + _repeated(size, lambda _: '"x"') + '],"images":[]}',
        "distinct strings in a list": '{"images":[' + _repeated(size, lambda k: f'"http://a/{k}"') + "]}",
        "objects in a list": '{"items":[' + _repeated(size, lambda k: f'{{"type":"sku","quantity":{k}}}') + "]}",
        "metadata keys": '{"metadata":{' + _repeated(size, lambda k: f'"key{k}":"v"') + "}}",
        "values of attributes": '{"attributes_sku":{' + _repeated(size, lambda k: f'"key{k}":1') + "}}",
        "an order's unknown members": '{"order":{' + _repeated(size, lambda k: f'"key{k}":1') + "}}",
        "deep objects": '{"a":' * (size // 6) + "1" + "}" * (size // 6),
        "deep lists": '{"a":' + "[" * (size // 2) + "]" * (size // 2) + "}",
        "deep lists without end": "[" * size,
        "wide and deep": '{"a":[' + _repeated(size, lambda _: "[[[[[[1]]]]]]") + "]}",
        "one string": json.dumps({"name": "x" * size}),
        "strings in every field": _in_every_field(size),
        "line breaks in a string": '{"name":"' + "\\n" * (size // 2) + '"}',
        "escaped characters": '{"name":"' + "\\u00e9" * (size // 6) + '"}',
        "escaped NULs": '{"name":"' + "\\u0000" * (size // 6) + '"}',
        "characters of four bytes": '{"name":"' + "💣" * (size // 4) + '"}',
        "a quote that is not closed": '{"order_id":"' + '\\"' * (size // 2),
        "quotes and colons": '"order_id":"a"' * (size // 14),
        "a huge number": '{"price":1' + "0" * size + "}",
        "a huge fraction": '{"price":0.' + "3" * size + "}",
        "huge numbers": '{"items":[' + _repeated(size, lambda _: "1" + "0" * 300) + "]}",
        "one key again and again": "{" + _repeated(size, lambda _: '"a":1') + "}",
        "two keys in turn": "{" + _repeated(size, lambda k: f'"{"ab"[k % 2]}":1') + "}",
        "white space": " " * size + "{}",
        "commas": "," * size,
        "form pairs": pairs,
        "one form name": b"a=b&" * (size // 4),
        "percent signs": b"%" * size,
        "encoded form": b"a=" + b"%f0%9f%92%a3" * (size // 12),
        "bytes of no text": b"\xff" * size,
        "NUL bytes": b"\0" * size,
        "mail addresses": json.dumps({"email": "a" * (size // 2) + "@" + "a." * (size // 4) + "com"}),
        "an address of dots": json.dumps({"to_email": "a@" + "." * size}),
        "a telephone number": json.dumps({"phone": "+" + "1" * size, "number": "+" + "1 " * (size // 2)}),
        "a letter of tags": json.dumps({"to_email": "a@example.com", "subject": "s", "content": "<" * size}),
    }
    return {kind: body if isinstance(body, bytes) else body.encode() for kind, body in found.items()}


def heads(admin: str) -> Iterator[Attack]:
    """Return expensive queries and headers."""
    yield Attack("query parameters", query="&".join(f"p{number}=x" for number in range(5000)))
    yield Attack("a query of separators", query="&" * 30_000)
    yield Attack("an encoded query", query="q=" + "%F0%9F%92%A3" * 2500)
    yield Attack("a long query", query="category=" + "a" * 60_000)
    yield Attack("90 headers", headers=tuple((f"X-Header-{number}", "x" * 80) for number in range(90)))
    yield Attack("2 000 headers", headers=tuple((f"X-Header-{number}", "x") for number in range(2000)))
    yield Attack("a header of 1 MiB", headers=(("X-Header", "x" * 2**20),))
    yield Attack("a wrong admin key of 1 MiB", headers=(("Authorization", "Bearer " + "x" * 2**20),))
    yield Attack("a wrong admin key of 6 kB", headers=(("Authorization", "Bearer " + "x" * 6000),))
    yield Attack("an Idempotency-Key of 6 kB", headers=(("Idempotency-Key", "k" * 6000),))
    yield Attack("cookies", headers=(("Cookie", "; ".join(f"c{number}=x" for number in range(1000))),))
    yield Attack("a Cart-Id of 6 kB", headers=(("Cart-Id", "a" * 6000),))
    yield Attack("a content type of parameters", headers=(("Content-Type", "application/json" + ";a=b" * 1500),))
    yield Attack("forwarded addresses", headers=(("X-Forwarded-For", ", ".join(["10.0.0.1"] * 800)),))
    yield Attack("a signature of commas", headers=tuple((name, "," * 6000) for name in SIGNATURES))
    yield Attack("a signature of digits", headers=tuple((name, f"t={'9' * 4000},v1=x") for name in SIGNATURES))


SIGNATURES = (
    "Stripe-Signature",
    "Shippo-Auth-Signature",
    "X-Twilio-Signature",
    "X-Twilio-Email-Event-Webhook-Signature",
)


async def run(target: Target, say: Callable[[str], None], short: bool = False) -> Costs:
    """Send every attack to every route and measure. short: only the smaller size, and each kind to one route."""
    found = Costs()
    ids = await Ids.made(target)
    # Routes that remove something come last, because an attack on a removed object is cheap.
    served = sorted(routes(), key=lambda route: route.verb == "DELETE" or route.template.endswith("/cancel"))
    for place, route in enumerate(served):
        attacks = list(_attacks(target, short))
        if short:  # each kind meets one route, and each route some kinds
            attacks = attacks[place % len(served) :: len(served)]
        for attack in attacks:
            await _measured(target, ids, route, attack, found)
        worst = found.worst.get(str(route))
        say(f"{route}: " + (f"{worst[0]:.1f} ms at most ({worst[1]}, {worst[2]})" if worst else "no attack"))
    for route in served:
        if route.provider and not short:
            await _forwarded(target, route, found)
    return found


def _attacks(target: Target, short: bool) -> Iterator[Attack]:
    for size in SIZES[:1] if short else SIZES:
        for kind, body in bodies(size).items():
            yield Attack(f"{kind}, {size // 1024} KiB", body)
        bomb = gzip.compress(b'{"a":"' + b"x" * (size * 100) + b'"}')[:size]
        yield Attack(f"a gzip bomb, {size // 1024} KiB", bomb, (("Content-Encoding", "gzip"),))
    yield from heads(target.admin_key)


async def _measured(target: Target, ids: Ids, route: Route, attack: Attack, found: Costs) -> None:
    least, status = float("inf"), 0
    for _ in range(REPEATS):
        spent, status = await _cost(target, _request(target, ids, route, attack), target.workers())
        found.requests += 1
        least = min(least, spent)
        if least < SUSPICIOUS_MS:
            break
    _note(found.worst, str(route), least, attack.kind, status)
    if least > LIMIT_MS:
        found.findings.append(f"{route}: {least:.0f} ms of CPU for {attack.kind} (answered {status or 'nothing'})")


async def _forwarded(target: Target, route: Route, found: Costs) -> None:
    """Do the same for the services, which parse webhook bodies: with an invalid signature, and with a valid one."""
    for size in (64 * 1024,):
        for kind, body in bodies(size).items():
            for signed in (False, True):
                headers = signing.headers(target, route.provider, body)
                if not signed:
                    headers = [(name, "t=1,v1=x" if "ignature" in name else value) for name, value in headers]
                whole = wire.request(route.verb, f"{route.template}/", headers, body)
                least, status = float("inf"), 0
                for _ in range(REPEATS):
                    spent, status = await _cost(target, whole, target.services())
                    least = min(least, spent)
                    if least < SUSPICIOUS_MS:
                        break
                title = f"{kind}, {'signed' if signed else 'unsigned'}"
                _note(found.services, str(route), least, title, status)
                if least > LIMIT_MS:
                    found.findings.append(f"{route}: {least:.0f} ms of the services' CPU for {title}")


def _request(target: Target, ids: Ids, route: Route, attack: Attack) -> bytes:
    raw = attack.body if attack.body is not None else encoded(ids.body(route))
    replaced = {name.lower() for name, _ in attack.headers}
    headers = [pair for pair in ids.headers(target, route, None) if pair[0].lower() not in replaced]
    path = ids.path(route).partition("?")[0]
    return wire.request(
        route.verb, f"{path}?{attack.query}" if attack.query else path, [*headers, *attack.headers], raw
    )


async def _cost(target: Target, whole: bytes, processes: list[psutil.Process]) -> tuple[float, int]:
    """Return the CPU milliseconds that the processes spent on a request until they are idle again, and its status."""
    before = _spent(processes)
    try:
        answer = await wire.exchange(target.port, whole, STRANGER)
        status = answer.status
    except (TimeoutError, OSError):
        status = 0
    until, last = time.monotonic() + WATCH_S, _spent(processes)
    while time.monotonic() < until:
        await asyncio.sleep(REST_S)
        now = _spent(processes)
        if now - last < REST_CPU_S:
            break
        last = now
    return (last - before) * 1000, status


def _spent(processes: list[psutil.Process]) -> float:
    return sum(cpu_seconds(process) for process in processes)


def cpu_seconds(process: psutil.Process) -> float:
    """Return user and system CPU seconds of a process and its threads, including ended ones; in nanoseconds where the
    kernel can."""
    try:
        # The clock id of another process, built as in clock_getcpuclockid(3), because psutil's resolution is 10 ms.
        return time.clock_gettime((~process.pid) << 3 | 2)
    except (OSError, AttributeError, OverflowError):
        pass
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _note(table: dict[str, tuple[float, str, int]], route: str, spent: float, kind: str, status: int) -> None:
    if spent > table.get(route, (-1.0, "", 0))[0]:
        table[route] = (spent, kind, status)


def _repeated(size: int, one: Callable[[int], str]) -> str:
    """Return as many comma-separated items as fit into about `size` bytes."""
    length = len(one(1000)) + 1
    return ",".join(one(number) for number in range(max(1, size // length)))


def _in_every_field(size: int) -> str:
    names = (
        "name",
        "description",
        "email",
        "phone",
        "order_id",
        "cart",
        "shipping_id",
        "to_email",
        "subject",
        "content",
    )
    return json.dumps({name: "x" * (size // len(names)) for name in names})

"""Mutations of valid requests, all drawn from one random generator, so that a seed reproduces them."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

SCALARS: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 0.5, -0.0, 1e308, 10**18, 2**63, -(2**63) - 1, 10**40),
    *(
        "",
        " ",
        "\t",
        "0",
        "null",
        "true",
        "x",
        "é",
        "\u202e",
        "\u2028",
        "\x00",
        "\x1b[31m",
        "a\r\nb: c",
        "💣",
        "\ufeff",
    ),
    *("'; DROP TABLE orders; --", "{{7*7}}", "../../etc/passwd", "%00", "<script>alert(1)</script>", "or_x", "sku_x"),
    *("x" * 300, "é" * 5000, "+14155550142", "tok_mastercard", "1" * 5000),
)
HEADERS = (
    *("Content-Type", "Content-Encoding", "Content-Length", "Transfer-Encoding", "Expect", "Accept", "Host", "Cookie"),
    *("Cart-Id", "Idempotency-Key", "Authorization", "X-Request-ID", "X-Forwarded-For", "X-Forwarded-Proto", "Range"),
    *("Connection", "Upgrade", "Sec-Fetch-Site", "Origin", "Forwarded", "If-None-Match", "Prefer", "Order-Token"),
)
HEADER_VALUES = (
    *("", " ", "x", "é", "a" * 300, "a" * 9000, "\x01", "a\tb", ",", ";", "=", '"', "%00", "0", "-1", "1" * 400, "1e3"),
    *("chunked", "gzip", "gzip, chunked", "identity", "100-continue", "application/json", "text/plain", "text/html"),
    *(
        "application/json; charset=utf-16",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "Bearer",
        "Basic x",
    ),
    *("Bearer " + "x" * 2000, "Upgrade", "close", "keep-alive", "websocket", "h2c", "cart_id=x; cart_id=y", "cart_id"),
    *("127.0.0.1", "::1", "for=unknown", "cross-site", "null", "https://elsewhere.example", "respond-async", "*"),
)
VERBS = (
    *(
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "DELETE",
        "PATCH",
        "OPTIONS",
        "TRACE",
        "CONNECT",
        "PROPFIND",
        "get",
        "Post",
        "QUERY",
    ),
    *("X" * 200, "P\u00d6ST", "G-T"),
)
SEGMENTS = (
    *("", ".", "..", "%2e%2e", "%2F", "%00", "%", "%zz", "%ff", "%c3%a9", "é", " ", "a" * 101, "a" * 3000, "*", ";x=1"),
    *("prod_x", "or_x", "shp_x", "usd", "null", "-1", "0", "{id}", "paid", "checkout", "buy", "#", "a?b", "%0d%0aX:y"),
)
QUERY_NAMES = ("limit", "starting_after", "order_by", "category", "status", "email", "q", "token", "x", "", "limit[]")
QUERY_VALUES = (
    *("", "0", "1", "-1", "101", "1e9", "x", "%00", "%ff", "é", "name", "-price", "paid", "a" * 600, "a" * 3000, "%"),
    *("or_x", "%F0%9F%92%A3", "a@example.com", "1" * 400, "created", "metadata.x", "..", "%25"),
)


def value(dice: random.Random, depth: int = 0) -> Any:
    """Return any JSON value; mostly one that no field accepts."""
    roll = dice.random()
    if depth < 3 and roll < 0.12:
        return [value(dice, depth + 1) for _ in range(dice.randrange(4))]
    if depth < 3 and roll < 0.24:
        return {text(dice): value(dice, depth + 1) for _ in range(dice.randrange(4))}
    if roll < 0.3:
        return text(dice, dice.choice((5, 60, 2000)))
    return dice.choice(SCALARS)


def text(dice: random.Random, length: int = 8) -> str:
    """Return some characters from all of Unicode except the surrogates."""
    ranges = ((32, 126), (32, 126), (0, 31), (0x80, 0x24F), (0x4E00, 0x9FFF), (0x1F300, 0x1F6FF), (0x2000, 0x206F))
    return "".join(chr(dice.randint(*dice.choice(ranges))) for _ in range(dice.randrange(length + 1)))


def document(dice: random.Random, valid: Any) -> Any:
    """Return a JSON document similar to the valid one: some members replaced, dropped, added, or nested deeper."""
    changed = copy.deepcopy(valid)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        changed = _one_change(dice, changed)
    return changed


def _one_change(dice: random.Random, whole: Any) -> Any:
    places = list(_places(whole))
    if not places or dice.random() < 0.05:
        return value(dice)
    holder, name = dice.choice(places)
    change = dice.choice((_replace, _replace, _replace, _drop, _add, _wrap, _many))
    change(dice, holder, name)
    return whole


def _places(node: Any) -> Any:
    names: Any = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for name in names:
        yield node, name
        yield from _places(node[name])


def _replace(dice: random.Random, holder: Any, name: Any) -> None:
    holder[name] = value(dice)


def _drop(dice: random.Random, holder: Any, name: Any) -> None:
    del holder[name]


def _add(dice: random.Random, holder: Any, name: Any) -> None:
    if isinstance(holder, dict):
        holder[text(dice)] = value(dice)
    else:
        holder.append(value(dice))


def _wrap(dice: random.Random, holder: Any, name: Any) -> None:
    for _ in range(dice.choice((1, 2, 40))):
        holder[name] = {"x": holder[name]} if dice.random() < 0.5 else [holder[name]]


def _many(dice: random.Random, holder: Any, name: Any) -> None:
    holder[name] = [holder[name]] * dice.choice((2, 60, 600))


def mangled(dice: random.Random, raw: bytes) -> bytes:
    """Return the bytes with a few of them changed, removed, duplicated or inserted."""
    found = bytearray(raw)
    for _ in range(dice.choice((1, 1, 2, 5, 20))):
        place = dice.randrange(len(found) + 1)
        how = dice.randrange(4)
        if how == 0:
            found[place:place] = bytes(dice.randrange(256) for _ in range(dice.choice((1, 1, 4))))
        elif how == 1 and found:
            found[place % len(found)] = dice.randrange(256)
        elif how == 2:
            del found[place : place + dice.choice((1, 2, 10))]
        else:
            found[place:place] = found[place : place + dice.choice((1, 5, 30))]
    return bytes(found)


def large(dice: random.Random, size: int) -> bytes:
    """Return a JSON document of about `size` bytes, in one of the forms that are expensive to parse."""
    makers: tuple[Callable[[int], str], ...] = (
        lambda n: "{" + ",".join(f'"f{k}":{k}' for k in range(n // 12)) + "}",
        lambda n: '{"attributes":[' + ",".join('"x"' for _ in range(n // 4)) + "]}",
        lambda n: '{"name":"' + "x" * n + '"}',
        lambda n: '{"name":"' + "\\u00e9" * (n // 6) + '"}',
        lambda n: '{"a":' * (n // 6) + "1" + "}" * (n // 6),
        lambda n: "[" * n,
        lambda n: '{"price":' + "9" * n + "}",
        lambda n: "{" + ",".join('"a":1' for _ in range(n // 6)) + "}",
        lambda n: " " * n + "{}",
        lambda n: json.dumps({"content": "é" * (n // 2)}, ensure_ascii=False),
    )
    return dice.choice(makers)(size).encode()


def query(dice: random.Random) -> str:
    """Return a query string of a few parameters."""
    count = dice.choice((1, 1, 2, 3, 30))
    return "&".join(f"{dice.choice(QUERY_NAMES)}={dice.choice(QUERY_VALUES)}" for _ in range(count))


def path(dice: random.Random, valid: str) -> str:
    """Return the path with one or two segments changed."""
    parts = valid.split("?")[0].split("/")
    for _ in range(dice.choice((1, 1, 2))):
        parts[dice.randrange(1, len(parts))] = dice.choice(SEGMENTS)
    if dice.random() < 0.2:
        parts.append(dice.choice(SEGMENTS))
    return "/".join(parts) or "/"


def headers(dice: random.Random, valid: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers with a few changed, dropped, duplicated or added."""
    found = list(valid)
    for _ in range(dice.choice((1, 1, 2, 3))):
        roll = dice.random()
        if roll < 0.2 and found:
            found.pop(dice.randrange(len(found)))
        elif roll < 0.3 and found:
            found.append(dice.choice(found))
        elif roll < 0.35:
            found += [(f"X-{number}", "x") for number in range(dice.choice((60, 101, 400)))]
        elif roll < 0.4:
            found.append((mangled(dice, b"X-Name").decode("latin-1"), "x"))
        else:
            found.append((dice.choice(HEADERS), dice.choice(HEADER_VALUES)))
    return found

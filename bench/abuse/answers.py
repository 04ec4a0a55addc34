"""The correct answer to every known attack: one row each, named after its entry in the list of findings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from bench.abuse import contract, wire
from bench.abuse.target import BANK_CARD, DECLINED_CARD, GOOD_CARD, HOME, Target, Unexpected
from bench.abuse.wire import Answer

Check = Callable[[Target], Awaitable[None]]

DECLINES_PER_ORDER, DECLINES_PER_CART, UNCONFIRMED_HOLDS = 5, 10, 2
BODY_DEADLINE_S, DEADLINE_SLACK_S = 10.0, 5.0
WRONG_KEYS = 40
# Addresses of the attacks that get their address blocked; no other attack uses them.
GUESSER, CALM_ADMIN = "127.0.0.41", "127.0.0.42"


@dataclass(frozen=True)
class Row:
    """One attack. entry: in the list of findings. fact: what must hold. check: raises Unexpected when it does not."""

    entry: str
    fact: str
    check: Check

    def __str__(self) -> str:
        return f"{self.entry}: {self.fact}"


@dataclass(frozen=True)
class Result:
    """The result of a row; finding is "" when the answer was correct."""

    row: Row
    finding: str


ROWS: list[Row] = []


def row(entry: str, fact: str) -> Callable[[Check], Check]:
    """Add a check to the table."""

    def note(check: Check) -> Check:
        ROWS.append(Row(entry, fact, check))
        return check

    return note


async def run(target: Target, say: Callable[[str], None], rows: list[Row] | None = None) -> list[Result]:
    """Run all rows sequentially."""
    results = []
    for each in ROWS if rows is None else rows:
        try:
            await each.check(target)
            finding = ""
        except Exception as error:  # a wrong answer can raise anything, and the next row must still run
            finding = f"{error}" if isinstance(error, Unexpected) else f"{type(error).__name__}: {error}"
        say(f"{each}: {finding or 'right'}")
        results.append(Result(each, finding))
    return results


def expect(answer: Answer, *statuses: int, what: str = "") -> Answer:
    """Raise Unexpected unless the answer has one of the statuses and the documented shape."""
    about = f"{what}: " if what else ""
    if answer.status not in statuses:
        wanted = " or ".join(map(str, statuses))
        raise Unexpected(f"{about}answered {answer} instead of {wanted}")
    wrong = contract.complaints(answer)
    if wrong:
        raise Unexpected(f"{about}{', '.join(wrong)}: {answer}")
    return answer


def require(fact: bool, otherwise: str) -> None:
    """Raise Unexpected with the text `otherwise` unless `fact` is true."""
    if not fact:
        raise Unexpected(otherwise)


def limited(answer: Answer, what: str) -> int:
    """Return the seconds that a 429 asks the client to wait. Raises Unexpected unless it has all three headers."""
    expect(answer, 429, what=what)
    for name in ("ratelimit", "ratelimit-policy"):
        require(bool(answer.header(name)), f"{what}: 429 without {name}")
    wait = answer.header("retry-after") or ""
    require(wait.isdigit(), f"{what}: Retry-After is {wait!r}")
    return int(wait)


# --- S1: bounded work


@row("S1", "a body with 4 000 unknown fields is 400 with at most 50 errors")
async def unknown_fields(target: Target) -> None:
    product = (await target.product())["id"]
    many = {f"f{number}": 1 for number in range(4000)}
    answer = await target.ask("POST", f"/api/cart/{product}/buy/", many, cart=await target.cart())
    expect(answer, 400)


# --- S2: whole requests only


@row("S2", "a refund whose body never comes is 400 and refunds nothing")
async def truncated_refund(target: Target) -> None:
    product = (await target.product())["id"]
    _, order = await target.paid(product)
    path, headers = f"/api/orders/{order['id']}/refund/", target.headers(admin=True)
    for title, whole in _truncated("POST", path, headers, b'{"all": true}'):
        expect(await wire.exchange(target.port, whole, half_close=True), 400, what=title)
    returned = (await target.look(order["id"])).get("amount_returned") or 0
    require(returned == 0, f"{returned} was refunded")


@row("S2", "after a truncated refund its Idempotency-Key still works")
async def truncated_key(target: Target) -> None:
    product = (await target.product())["id"]
    _, order = await target.paid(product)
    path, body = f"/api/orders/{order['id']}/refund/", b'{"amount": 10}'
    headers = target.headers(admin=True, key=f"truncated-{order['id']}")
    for title, whole in _truncated("POST", path, headers, body):
        expect(await wire.exchange(target.port, whole, half_close=True), 400, what=title)
    expect(await wire.exchange(target.port, wire.request("POST", path, headers, body)), 200, what="the honest retry")
    returned = (await target.look(order["id"])).get("amount_returned")
    require(returned == 10, f"{returned} was refunded instead of 10")


@row("S2", 'a refund with an empty body is 400; {"all": true} refunds all')
async def refund_asked_for(target: Target) -> None:
    product = (await target.product())["id"]
    _, order = await target.paid(product)
    path = f"/api/orders/{order['id']}/refund/"
    for title, raw in (("no body", None), ("an empty body", b""), ("an empty object", b"{}"), ("null", b"null")):
        expect(await target.ask("POST", path, raw=raw, admin=True), 400, what=title)
    for title, body in (
        ("all: false", {"all": False}),
        ("all: 1", {"all": 1}),
        ("all and amount", {"all": True, "amount": 1}),
    ):
        expect(await target.ask("POST", path, body, admin=True), 400, what=title)
    require(not (await target.look(order["id"])).get("amount_returned"), "an unclear request refunded money")
    answer = expect(await target.ask("POST", path, {"all": True}, admin=True), 200, what="all: true")
    require(answer.json["status"] == "returned", f"all was refunded, and the order is {answer.json['status']}")


@row("S2", "a truncated cancel, payment, purchase or clear changes nothing")
async def truncated_others(target: Target) -> None:
    product = (await target.product())["id"]
    cart = await target.cart()
    order = await target.order(cart, product)
    before = await target.done("GET", "/api/cart/", cart=cart)
    pay = b'{"order_id": "%s", "cart": "%s"}' % (order["id"].encode(), GOOD_CARD.encode())
    for method, path, body in (
        ("POST", f"/api/orders/{order['id']}/cancel/", b"{}"),
        ("POST", "/api/cart/paid/", pay),
        ("POST", f"/api/cart/{product}/buy/", b'{"quality": 5}'),
        ("PUT", f"/api/cart/{product}/", b'{"quality": 7}'),
        ("DELETE", f"/api/cart/{product}/", b"{}"),
        ("DELETE", "/api/cart/", b"{}"),
    ):
        for title, whole in _truncated(method, path, target.headers(cart), body):
            answer = await wire.exchange(target.port, whole, half_close=True)
            expect(answer, 400, what=f"{method} {path}, {title}")
    require((await target.look(order["id"]))["status"] == "created", "the order is no longer as it was")
    require(await target.done("GET", "/api/cart/", cart=cart) == before, "the cart is no longer as it was")


def _truncated(method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> Iterator[tuple[str, bytes]]:
    """Requests whose body ends too early, some after what is valid JSON."""
    length = ("Content-Length", str(len(body)))
    coded = ("Transfer-Encoding", "chunked")
    yield "no byte of the body", wire.request(method, path, [*headers, length], b"")
    yield "half of the body", wire.request(method, path, [*headers, length], body[: len(body) // 2])
    yield (
        "valid JSON, shorter than announced",
        wire.request(method, path, [*headers, ("Content-Length", str(len(body) + 5))], body),
    )
    yield "no chunk", wire.request(method, path, [*headers, coded], b"")
    yield "no last chunk", wire.request(method, path, [*headers, coded], wire.chunked(body, last=False))
    yield "a cut chunk", wire.request(method, path, [*headers, coded], b"40\r\n" + body)


# --- S3: slow clients


@row("S3", "a body that stays away is 408 after 10 s, a head 408 or closed")
async def slow_request(target: Target) -> None:
    cart = await target.cart()
    whole = wire.request("POST", "/api/cart/", [*target.headers(cart), ("Content-Length", "10")], b"", close=False)
    limit = BODY_DEADLINE_S + DEADLINE_SLACK_S
    body, head, dripped = await asyncio.gather(
        wire.exchange(target.port, whole, timeout=limit, read_to_end=True),
        wire.exchange(target.port, b"GET /api/cart/ HTTP/1.1\r\nHost: a\r\nX-", timeout=limit, read_to_end=True),
        _dripped(target, whole, limit),
    )
    for title, answer in (("half a body", body), ("a body in drips", dripped)):
        expect(answer, 408, what=title)
        require(answer.ended, f"{title}: the connection is still open after {answer.seconds:.1f} s")
        require(answer.seconds > BODY_DEADLINE_S / 2, f"{title}: refused after {answer.seconds:.1f} s already")
    require(head.ended, f"half a head: still open after {head.seconds:.1f} s")
    if head.status:
        expect(head, 408, what="half a head")


async def _dripped(target: Target, head: bytes, limit: float) -> Answer:
    """Return the answer to a body sent byte by byte, with no single byte late."""
    reader, writer = await asyncio.open_connection(wire.HOST, target.port)
    loop = asyncio.get_running_loop()
    began, got = loop.time(), b""
    writer.write(head)
    try:
        while loop.time() - began < limit:
            try:
                part = await asyncio.wait_for(reader.read(wire.READ_SIZE), 2.0)
            except TimeoutError:
                writer.write(b" ")
                continue
            got += part
            if not part:
                found = wire.parse(got, ended=True) or Answer(0, raw=got)
                return Answer(found.status, found.headers, found.raw, loop.time() - began, ended=True)
    except ConnectionError:
        found = wire.parse(got, ended=True) or Answer(0, raw=got)
        return Answer(found.status, found.headers, found.raw, loop.time() - began, ended=True)
    finally:
        writer.close()
    found = wire.parse(got) or Answer(0, raw=got)
    return Answer(found.status, found.headers, found.raw, loop.time() - began)


# --- S6: holds


@row("S6", "unconfirmed payments never hold all of the stock")
async def hold_of_all(target: Target) -> None:
    product = (await target.product(pieces=5))["id"]
    for _ in range(3):
        cart = await target.cart()
        order = await target.order(cart, product, 5)
        expect(await target.pay(cart, order["id"], BANK_CARD), 402, 409, 429)
    for _ in range(5):
        cart = await target.cart()
        order = await target.order(cart, product, 1)
        expect(await target.pay(cart, order["id"], BANK_CARD), 402, 409, 429)
    await target.paid(product)


@row("S6", "a cart has at most 2 unconfirmed holds")
async def holds_per_cart(target: Target) -> None:
    product = (await target.product(pieces=100))["id"]
    cart = await target.cart()
    answers = []
    for number in range(UNCONFIRMED_HOLDS + 2):
        order = await target.order(cart, product, 1, name=f"Chloe {'I' * (number + 1)}")
        answers.append(await target.pay(cart, order["id"], BANK_CARD))
    for answer in answers[:UNCONFIRMED_HOLDS]:
        expect(answer, 402, what="one of the first holds")
    for answer in answers[UNCONFIRMED_HOLDS:]:
        expect(answer, 409, 429, what="one hold too many")


# --- S7: limits


@row("S7", "after 5 declines an order takes no card for a while")
async def declines_per_order(target: Target) -> None:
    product = (await target.product(pieces=100))["id"]
    cart = await target.cart()
    order = await target.order(cart, product)
    for number in range(DECLINES_PER_ORDER):
        expect(await target.pay(cart, order["id"], DECLINED_CARD), 402, what=f"decline {number + 1}")
    for card in (DECLINED_CARD, GOOD_CARD):
        wait = limited(await target.pay(cart, order["id"], card), f"{card} after the declines")
        require(0 < wait <= 3600, f"Retry-After is {wait} s")
    require((await target.look(order["id"]))["status"] == "created", "the order was paid all the same")


@row("S7", "after 10 declines a cart takes no card for a while")
async def declines_per_cart(target: Target) -> None:
    product = (await target.product(pieces=100))["id"]
    cart = await target.cart()
    for number in range(DECLINES_PER_CART):
        if number % (DECLINES_PER_ORDER - 1) == 0:
            order = await target.order(cart, product, name=f"Chloe {'I' * (number + 1)}")
        expect(await target.pay(cart, order["id"], DECLINED_CARD), 402, what=f"decline {number + 1}")
    order = await target.order(cart, product, name="Chloe the last")
    limited(await target.pay(cart, order["id"], GOOD_CARD), "a new order of that cart")


@row("S7", "wrong admin keys are 429 with a growing wait, for that address only")
async def wrong_keys(target: Target) -> None:
    guess = [("Authorization", f"Bearer {'x' * 32}")]
    first = await target.ask("GET", "/api/orders/", more=guess, source=GUESSER)
    expect(first, 403, what="the first wrong key")
    waits = []
    for number in range(WRONG_KEYS):
        more = [("Authorization", f"Bearer {number:032d}")]
        answer = expect(await target.ask("GET", "/api/orders/", more=more, source=GUESSER), 403, 429)
        if answer.status == 429:
            waits.append(limited(answer, "a wrong key"))
            if len(waits) < 3:  # the delay grows only for an attacker who does not wait
                await asyncio.sleep(waits[-1])
    require(bool(waits), f"{WRONG_KEYS} wrong keys were all answered 403")
    # The maximum instead of the last one, because each gateway process counts separately.
    require(max(waits) > waits[0], f"the waits do not grow: {waits}")
    expect(await target.ask("GET", "/api/orders/", admin=True, source=CALM_ADMIN), 200, what="another address")


# --- S9, S10: carts


@row("S9", "one Idempotency-Key of two clients makes two carts")
async def two_carts(target: Target) -> None:
    made = [await target.ask("POST", "/api/cart/", key="the-same-key", source=f"127.0.0.{51 + n}") for n in range(2)]
    ids = [expect(answer, 201).json["cart_id"] for answer in made]
    require(ids[0] != ids[1], "both clients got the same cart")
    own = await target.ask("GET", "/api/cart/", cart=ids[0])
    expect(own, 200, what="the first cart")


@row("S10", "a cart id that the shop did not issue is 400")
async def unissued_cart(target: Target) -> None:
    issued = await target.cart()
    swapped = issued[:-1] + ("A" if issued[-1] != "A" else "B")
    product = (await target.product())["id"]
    for cart in ("alice", "default", swapped, issued[::-1], issued + "x", issued.upper(), ""):
        for more in ([("Cart-Id", cart)], [("Cookie", f"cart_id={cart}")]):
            expect(await target.ask("GET", "/api/cart/", more=more), 400, what=f"{more[0][0]} {cart!r}")
            body = {"quality": 1}
            expect(await target.ask("POST", f"/api/cart/{product}/buy/", body, more=more), 400, what=f"buy as {cart!r}")
    expect(await target.ask("GET", "/api/cart/"), 400, what="no cart")
    expect(await target.ask("GET", "/api/cart/", cart=issued), 200, what="the issued cart")


# --- S11: texts

LINE_BREAKS = ("Chloe\r\nBcc: victim@example.com", "Chloe\nTaylor", "Chloe\rTaylor", "Chloe\u2028T", "Chloe\u0085T")
CONTROLS = ("\x1b[31mChloe", "Chloe\x07", "Chloe\x7f", "Chloe\u0000", "Chloe\x9b31m")
BIDIRECTIONAL = ("\u202eeolhC", "Chloe\u2066T", "\u200fChloe", "Chloe\u061cT")


@row("S11", "line breaks, control and bidi characters in one-line fields are 400")
async def one_line_fields(target: Target) -> None:
    product, cart = (await target.product())["id"], await target.cart()
    await target.done("POST", f"/api/cart/{product}/buy/", {"quality": 1}, cart=cart)
    for text in (*LINE_BREAKS, *CONTROLS, *BIDIRECTIONAL):
        bodies = [{**target.customer(), "name": text}]
        bodies += [{**target.customer(), "address": {**HOME, name: text}} for name in ("line1", "line2", "city")]
        for body in bodies:
            answer = expect(await target.ask("POST", "/api/cart/checkout/", body, cart=cart), 400, what=repr(text))
            require(bool(answer.json.get("errors")) or text == "Chloe\u0000", f"{text!r}: no field is named")
    mail = {"to_email": "operator@example.com", "subject": "S", "content": "C"}
    for text in (*LINE_BREAKS, *CONTROLS):
        answer = await target.ask("POST", "/api/notifications/email/", {**mail, "subject": text}, admin=True)
        expect(answer, 400, what=f"subject {text!r}")


@row("S11", "telephone numbers that belong to no country are 400")
async def numbers_of_no_country(target: Target) -> None:
    product, cart = (await target.product())["id"], await target.cart()
    await target.done("POST", f"/api/cart/{product}/buy/", {"quality": 1}, cart=cart)
    for number in ("+88213300000", "+8835100012345", "+979123456789", "+1415", "+0123456789"):
        body = {**target.customer(), "phone": number}
        expect(await target.ask("POST", "/api/cart/checkout/", body, cart=cart), 400, what=number)


# --- S12: shipments


@row("S12", "label, tracking and rates are for the order's cart and an admin")
async def shipment_of_another(target: Target) -> None:
    product = (await target.product())["id"]
    cart, order = await target.paid(product)
    stranger, shipment = await target.cart(), order["upstream_id"]
    for part in ("label", "tracking", "rates/usd"):
        path = f"/api/shipments/{shipment}/{part}/"
        expect(await target.ask("GET", path, cart=stranger), 404, what=f"{part} for another cart")
        expect(await target.ask("GET", path), 400, 404, what=f"{part} without a cart")
        expect(await target.ask("GET", path, cart=cart), 200, what=f"{part} for its own cart")
        expect(await target.ask("GET", path, admin=True), 200, what=f"{part} for an admin")


# --- S15: malformed HTTP


@row("S15", "malformed HTTP is refused with a problem body")
async def malformed_http(target: Target) -> None:
    cart = target.headers(await target.cart())
    port = target.port
    many = [*cart, *((f"X-Header-{number}", "x") for number in range(101))]
    for title, whole, statuses in (
        ("a header with byte 0x7f", wire.request("GET", "/api/cart/", [*cart, ("X-A", "a\x7fb")]), (400,)),
        ("a header with byte 0x00", wire.request("GET", "/api/cart/", [*cart, ("X-A", "a\0b")]), (400,)),
        ("101 headers", wire.request("GET", "/api/cart/", many), (200, 431)),
        ("2 000 headers", wire.request("GET", "/api/cart/", many * 20), (431,)),
        ("a header of 100 kB", wire.request("GET", "/api/cart/", [*cart, ("X-A", "a" * 100_000)]), (431,)),
        ("a query of 70 kB", wire.request("GET", f"/api/products/?category={'a' * 70_000}", cart), (400, 414, 431)),
        ("a path of 70 kB", wire.request("GET", f"/api/{'a' * 70_000}", cart), (404, 414, 431)),
        ("two Hosts", wire.request("GET", "/api/cart/", [("Host", "a"), ("Host", "b"), *cart]), (400,)),
        ("no Host", b"GET /api/cart/ HTTP/1.1\r\nConnection: close\r\n\r\n", (400,)),
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (400,)),
        ("two lengths", wire.request("POST", "/api/cart/", [("Content-Length", "2"), ("Content-Length", "3")]), (400,)),
        ("a length that is none", wire.request("POST", "/api/cart/", [("Content-Length", "-1")]), (400,)),
        (
            "a length and chunks",
            wire.request("POST", "/api/cart/", [("Content-Length", "2"), ("Transfer-Encoding", "chunked")], b"{}"),
            (400,),
        ),
        (
            "chunks of garbage",
            wire.request("POST", "/api/cart/", [("Transfer-Encoding", "chunked")], b"zz\r\n"),
            (400,),
        ),
    ):
        expect(await wire.exchange(port, whole, half_close=True), *statuses, what=title)


@row("S15", "OPTIONS names the verbs of every route, as 405 does")
async def options(target: Target) -> None:
    for path in ("/api/cart/", "/api/products/prod_x/", "/api/orders/", "/api/cart/paid/", "/health/ready/"):
        asked = await target.ask("OPTIONS", path)
        require(asked.status in (200, 204), f"OPTIONS {path}: {asked}")
        require(not contract.complaints(asked), f"OPTIONS {path}: {contract.complaints(asked)}")
        refused = expect(await target.ask("PATCH", path), 405, what=f"PATCH {path}")
        verbs = [set((each.header("allow") or "").replace(" ", "").split(",")) for each in (asked, refused)]
        require(verbs[0] == verbs[1] and len(verbs[0]) > 1, f"Allow of {path}: {verbs}")
    expect(await target.ask("OPTIONS", "/api/nothing/here"), 404, what="OPTIONS of nothing")


@row("S15", "a POST from another site is 403")
async def cross_site(target: Target) -> None:
    cart = await target.cart()
    for method, path, body in (
        ("POST", "/api/cart/", None),
        ("POST", "/api/cart/prod_x/buy/", {"quality": 1}),
        ("PUT", "/api/cart/prod_x/", {"quality": 1}),
        ("DELETE", "/api/cart/", None),
    ):
        more = [("Sec-Fetch-Site", "cross-site"), ("Origin", "https://elsewhere.example")]
        expect(await target.ask(method, path, body, cart=cart, more=more), 403, what=f"{method} {path}")
    same_site = await target.ask("POST", "/api/cart/", more=[("Sec-Fetch-Site", "same-site")])
    expect(same_site, 403, what="another origin of the same site")
    for site in ("same-origin", "none"):
        expect(await target.ask("POST", "/api/cart/", more=[("Sec-Fetch-Site", site)]), 201, what=site)

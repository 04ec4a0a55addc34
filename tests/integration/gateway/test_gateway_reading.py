"""The gateway refuses unreadable and invalid requests, and nests the errors like the fields of the caller."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.integration.gateway.asking import Running, assert_problem
from tests.integration.gateway.routes import (
    CHANGES,
    CHECKOUT,
    CHOICE,
    DISCOUNT,
    EMAIL,
    ORDER,
    PAYMENT,
    PRODUCT,
    SKU,
    SMS,
    VARIANTS,
    WITH_BODY,
    Route,
)

KIB, MIB = 1024, 1024 * 1024
UNREADABLE = {
    "empty": b"",
    "blank": b"  \n",
    "cut off": b'{"quality": ',
    "no json": b"quality=5",
    "a list": b'[{"quality": 5}]',
    "a string": b'"quality"',
    "a number": b"5",
    "null": b"null",
    "bad UTF-8": b'{"quality": "\xff\xfe"}',
    "UTF-16": '{"quality": 5}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"quality": 5}',
    "NaN": b'{"quality": NaN}',
    "Infinity": b'{"quality": -Infinity}',
    "beyond a double": b'{"quality": 1e999}',
    "a lone surrogate": b'{"quality": "\\ud800"}',
    "a NUL": b'{"quality": "a\\u0000b"}',
    "a NUL in a name": b'{"qual\\u0000ity": 5}',
    "a raw NUL": b'{"quality": "a\x00b"}',
    "a name twice": b'{"quality": 5, "quality": 5}',
    "a name twice below": b'{"address": {"city": "a", "city": "b"}}',
    "two documents": b'{"quality": 5} {"quality": 5}',
    "a trailing comma": b'{"quality": 5,}',
    "a comment": b'{"quality": 5 /* five */}',
    "deep lists": b'{"quality": ' + b"[" * 900 + b"]" * 900 + b"}",
    "deeper lists": b'{"quality": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "deep objects": b'{"a": ' * 900 + b"1" + b"}" * 900,
    "deeper objects": b'{"a": ' * 9_000 + b"1" + b"}" * 9_000,
    "a long integer": b'{"quality": ' + b"9" * 5000 + b"}",
}
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE.keys())
@pytest.mark.parametrize("route", WITH_BODY, ids=str)
def test_unreadable_body_is_refused(shop: Running, route: Route, raw: bytes) -> None:
    assert_problem(shop.ask(route.method, route.path, raw=raw, headers=JSON), 400)


@pytest.mark.parametrize("route", [route for route in WITH_BODY if route.call != "cart.quote_order"], ids=str)
def test_an_unknown_field_is_refused(shop: Running, route: Route) -> None:
    problem = assert_problem(shop.ask(route.method, route.path, {**route.body, "sur-prise": 1}), 400)
    assert problem["errors"] == {"sur-prise": ["unknown field"]}


@pytest.mark.parametrize("route", WITH_BODY, ids=str)
def test_a_body_over_its_routes_limit_is_refused(shop: Running, route: Route) -> None:
    over = b"{" + b" " * limit_of(route) + b"}"
    assert_problem(shop.ask(route.method, route.path, raw=over, headers=JSON), 413)
    chunks = iter([b"{", *[b" " * 8192] * (limit_of(route) // 8192), b"}"])
    assert_problem(shop.ask(route.method, route.path, raw=chunks, headers=JSON), 413)


@pytest.mark.parametrize("route", WITH_BODY, ids=str)
def test_a_body_of_its_routes_limit_is_read(shop: Running, route: Route) -> None:
    raw = json.dumps(route.body).encode()
    raw = raw[:-1] + b" " * (limit_of(route) - len(raw)) + b"}"
    assert len(raw) == limit_of(route)
    assert shop.ask(route.method, route.path, raw=raw, headers=JSON).status == route.status


def limit_of(route: Route) -> int:
    """Return the limit that docs/api/errors.md states, in bytes."""
    return MIB if route.path in ("/api/notifications/email/", "/api/shipments/") else 64 * KIB


def test_much_too_long_body_is_answered_413(shop: Running) -> None:
    assert_problem(shop.ask("POST", "/api/products/", raw=b"x" * (5 * MIB), headers=JSON), 413)


def test_huge_content_length_is_refused_before_the_body(shop: Running) -> None:
    headers = {**JSON, "Content-Length": str(10**12), "Connection": "close"}
    assert_problem(shop.ask("POST", "/api/products/", raw=b"{", headers=headers), 413)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": "json"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json; charset=klingon"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
    ids=str,
)
@pytest.mark.parametrize("route", WITH_BODY, ids=str)
def test_unsupported_content_headers_are_refused(shop: Running, route: Route, headers: dict[str, str]) -> None:
    assert_problem(shop.ask(route.method, route.path, raw=json.dumps(route.body).encode(), headers=headers), 415)


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy of `document` with the value at the path ``a.b.0.c`` replaced, or removed if `value` is `...`."""
    whole = copy.deepcopy(document)
    *parents, last = path.split(".")
    parent: Any = whole
    for name in parents:
        parent = parent[int(name)] if isinstance(parent, list) else parent[name]
    if value is ...:
        del parent[last]
    else:
        parent[int(last) if isinstance(parent, list) else last] = value
    return whole


WRONG: list[tuple[str, str, dict[str, Any], str, list[Any]]] = [
    # method, path, valid body, field, values that the gateway must refuse (... = missing)
    ("POST", "/api/products/", PRODUCT, "name", [..., "", "  ", None, 5, "x" * 251]),
    ("POST", "/api/products/", PRODUCT, "price", [..., 0, -1, 100_000_000, 50.0, 49.9, "50", True, None, 2**70]),
    ("POST", "/api/products/", PRODUCT, "package_dimensions", [..., None, [], {}, 5]),
    ("POST", "/api/products/", PRODUCT, "package_dimensions.height", [..., 0, -1, "5", True, None, 10**6, 1e308]),
    ("POST", "/api/products/", PRODUCT, "package_dimensions.depth", [1]),
    ("POST", "/api/products/", PRODUCT, "metadata", [..., None, [], {str(n): "x" for n in range(46)}]),
    ("POST", "/api/products/", PRODUCT, "metadata.category", [..., "", " ", 5, None, "x" * 501]),
    ("POST", "/api/products/", PRODUCT, "metadata." + "k" * 41, ["x"]),
    ("POST", "/api/products/", PRODUCT, "metadata.a[b]", ["x"]),
    ("POST", "/api/products/", PRODUCT, "metadata.for", [None, 5, True, [], {}, "x" * 501]),
    (
        "POST",
        "/api/products/",
        PRODUCT,
        "attributes",
        ["manufacturer", {}, ["a", "a"], [str(n) for n in range(21)]],
    ),
    ("POST", "/api/products/", PRODUCT, "attributes.0", ["", 5, None, "x" * 101, ["a"]]),
    ("POST", "/api/products/", PRODUCT, "attributes_sku", [[], "x", None]),
    ("POST", "/api/products/", PRODUCT, "attributes_sku.material", [5, None, ""]),
    ("POST", "/api/products/", PRODUCT, "inventory", [[], "finite", None, {}]),
    ("POST", "/api/products/", PRODUCT, "inventory.type", [..., "barrel", None, 5]),
    ("POST", "/api/products/", PRODUCT, "inventory.quantity", [-1, 1.5, True, "5", 2**31]),
    ("POST", "/api/products/", PRODUCT, "inventory.value", ["plenty", 5]),
    ("POST", "/api/products/", PRODUCT, "shippable", ["no", 0, None]),
    ("POST", "/api/products/", VARIANTS, "skus", [None, {}, [], [5], [{"price": 5}] * 101]),
    ("POST", "/api/products/", VARIANTS, "skus.1.price", [..., None, 0, "5", True]),
    ("POST", "/api/products/", VARIANTS, "skus.1.colour", ["red"]),
    ("POST", "/api/products/", VARIANTS, "skus.1.attributes", [None, [], "m"]),
    ("POST", "/api/products/", VARIANTS, "skus.1.attributes.size", [None, 5, "", "x" * 501]),
    ("POST", "/api/products/", VARIANTS, "skus.1.inventory.type", [..., "barrel"]),
    ("POST", "/api/products/", VARIANTS, "skus.1.image", ["", 5, "ftp://a.b/c", "https://a.b/" + "x" * 500]),
    ("POST", "/api/products/", VARIANTS, "skus.1.package_dimensions", [{"height": 1}, [], 5]),
    ("POST", "/api/products/prod_1/skus/", SKU, "price", [..., 0, None]),
    ("POST", "/api/products/prod_1/skus/", SKU, "currency", ["usd"]),
    ("PUT", "/api/products/prod_1/skus/sku_1/", SKU, "price", [0, None, "5"]),
    ("PUT", "/api/products/prod_1/skus/sku_1/", SKU, "inventory", [5, None, {"type": "x"}]),
    ("POST", "/api/products/", PRODUCT, "currency", ["us", "dollar", 5, None, "u$d"]),
    (
        "POST",
        "/api/products/",
        PRODUCT,
        "images",
        ["http://a.b/c", ["ftp://a.b/c"], [5], ["http://a.b/c"] * 9, ["//a"]],
    ),
    ("POST", "/api/products/", PRODUCT, "active", ["true", 1, None]),
    ("POST", "/api/products/", PRODUCT, "description", [5, "x" * 5001]),
    ("PUT", "/api/products/prod_1/", CHANGES, "name", ["", 5]),
    ("PUT", "/api/products/prod_1/", CHANGES, "metadata.category", ["", " "]),
    ("PUT", "/api/products/prod_1/", CHANGES, "price", [0, True, "5"]),
    ("PUT", "/api/products/prod_1/", CHANGES, "currency", ["usd"]),
    ("PUT", "/api/products/prod_1/", CHANGES, "package_dimensions", [{"height": 1}]),
    ("POST", "/api/cart/prod_1/buy/", {"quality": 5}, "quality", [..., 0, -1, 10_001, 5.0, "5", True, None, [], 2**64]),
    ("POST", "/api/cart/prod_1/buy/", {"quality": 5}, "quantity", [6, 0, True]),
    ("POST", "/api/cart/prod_1/buy/", {"quality": 5}, "sku", ["", None, 5, "a/b"]),
    ("POST", "/api/cart/prod_1/buy/", {"quality": 5}, "attributes", [None, [], {"size": ""}, {"size": 5}]),
    ("PUT", "/api/cart/prod_1/", {"quality": 5}, "quality", [..., 0, 10_001, "5", True]),
    ("PUT", "/api/cart/prod_1/", {"quality": 5}, "sku", ["", None, 5]),
    ("DELETE", "/api/cart/prod_1/", {}, "sku", ["", None, 5]),
    ("DELETE", "/api/cart/prod_1/", {}, "quality", [5]),
    ("PUT", "/api/cart/prod_1/", {"quantity": 5}, "quantity", [0, 10_001, "5", True]),
    (
        "POST",
        "/api/cart/checkout/",
        CHECKOUT,
        "email",
        [..., "", "a", "a@b", "a b@c.de", "a@b.c, d@e.f", "<a@b.c>", None, 5],
    ),
    ("POST", "/api/cart/checkout/", CHECKOUT, "email", ["a@b..c", "a@.b.c", "a@b.c\n", "x" * 250 + "@b.c", "a@@b.c"]),
    (
        "POST",
        "/api/cart/checkout/",
        CHECKOUT,
        "phone",
        [..., "", "79994413746", "+0123456789", "+7 999 441", "+123", 7999],
    ),
    ("POST", "/api/cart/checkout/", CHECKOUT, "phone", ["+1234567890123456", "+٧٩٩٩٤٤١٣", "+79994413746\n", None]),
    ("POST", "/api/cart/checkout/", CHECKOUT, "name", [..., "", " ", None, 5, "x" * 201]),
    ("POST", "/api/cart/checkout/", CHECKOUT, "address", [..., None, "x", [], {}]),
    ("POST", "/api/cart/checkout/", CHECKOUT, "address.line1", [..., "", " ", None]),
    ("POST", "/api/cart/checkout/", CHECKOUT, "address.city", [..., "", None, 5]),
    ("POST", "/api/cart/checkout/", CHECKOUT, "address.country", [..., "", "USA", "U", "1A", None, 5]),
    ("POST", "/api/cart/checkout/", CHECKOUT, "address.state", [..., "", " ", None, 5]),
    ("POST", "/api/cart/checkout/", CHECKOUT, "address.postal_code", [..., "", None, 95122]),
    ("POST", "/api/cart/checkout/", CHECKOUT, "address.planet", ["Earth"]),
    ("POST", "/api/cart/shipping/", CHOICE, "order_id", [..., "", None, 5, "../x", "a/b", "x" * 101]),
    ("PUT", "/api/cart/shipping/", CHOICE, "shipping_id", [..., "", None, 5, "a b"]),
    ("POST", "/api/cart/paid/", PAYMENT, "order_id", [..., "", None, 5]),
    ("POST", "/api/cart/discount/", {"code": "SUMMER"}, "code", [..., "", None, 5, "20 %", "a\n", "x" * 501]),
    ("POST", "/api/discounts/", DISCOUNT, "code", [..., "", None, 5, "20 %", "x" * 501]),
    ("POST", "/api/discounts/", DISCOUNT, "percent_off", [..., 0, -1, 100.5, 10.001, "10", True, None]),
    ("POST", "/api/discounts/", DISCOUNT, "max_redemptions", [0, 1.5, "1", True]),
    ("POST", "/api/cart/paid/", PAYMENT, "cart", ["", None, 5, "4242424242424242", "card_1", "tok_", "tok_a b"]),
    ("POST", "/api/cart/paid/", PAYMENT, "card", ["tok_visa"]),
    ("POST", "/api/orders/or_1/refund/", {"amount": 5}, "amount", [..., 0, -1, 1.5, "5", True, None, 10**8, 2**70]),
    ("POST", "/api/orders/or_1/refund/", {"all": True}, "amount", [5]),
    ("POST", "/api/orders/or_1/refund/", {}, "all", [False, None, 1, "true"]),
    ("POST", "/api/orders/or_1/cancel/", {}, "amount", [5]),
    ("POST", "/api/shipments/", ORDER, "items", [..., None, {}, [], "x", [{"type": "tax"}]]),
    ("POST", "/api/shipments/", ORDER, "items.0.parent", [..., None, "", 5]),
    ("POST", "/api/shipments/", ORDER, "items.0.quantity", [..., None, 0, -1, "2", True, 10_001]),
    ("POST", "/api/shipments/", ORDER, "items.0.type", [..., None, 5]),
    ("POST", "/api/shipments/", ORDER, "items.0", ["x", None]),
    ("POST", "/api/shipments/", ORDER, "shipping", [..., None, []]),
    ("POST", "/api/shipments/", ORDER, "shipping.name", [..., None, "", 5]),
    ("POST", "/api/shipments/", ORDER, "shipping.address", [..., None, "x"]),
    ("POST", "/api/shipments/", ORDER, "shipping.address.country", [..., "USA", None]),
    ("POST", "/api/shipments/", ORDER, "shipping.address.postal_code", [..., None, ""]),
    ("POST", "/api/shipments/", ORDER, "email", ["x", 5]),
    ("POST", "/api/shipments/", {"order": ORDER}, "order.items", [..., []]),
    ("POST", "/api/shipments/", {"order": ORDER}, "order.shipping.address.city", [..., None]),
    ("POST", "/api/shipments/", {"order": ORDER}, "order", [None, [], "x"]),
    ("POST", "/api/shipments/", {"data": {"object": ORDER}}, "data.object.shipping.name", [..., 5]),
    ("POST", "/api/shipments/", {"data": {"object": ORDER}}, "data.object", [..., None]),
    ("POST", "/api/shipments/", {"data": {"object": ORDER}}, "data", [None, 5]),
    ("POST", "/api/notifications/email/", EMAIL, "to_email", [..., "", "x", None]),
    ("POST", "/api/notifications/email/", EMAIL, "from_email", ["", "x", None]),
    ("POST", "/api/notifications/email/", EMAIL, "subject", [..., "", None, "x" * 999]),
    ("POST", "/api/notifications/email/", EMAIL, "content", [..., "", None, 5]),
    ("POST", "/api/notifications/sms/", SMS, "number", [..., "", "79994413746", 0, -5, 12, True, 7.5, None, 10**15]),
    ("POST", "/api/notifications/sms/", SMS, "to_phone", ["+14155550100"]),
    ("POST", "/api/notifications/sms/", SMS, "content", ["", None, 5, "x" * 1601]),
]
HIDDEN = [
    "a\nb",
    "A\r\nBcc: x",
    "\x1b[31m",
    "a\x7f",
    "a\x85b",
    "\u202ea",
    "a\u2066b",
    "a\u200bb",
    "a\u2028b",
    "a\u200e",
]
# Every single-line field, with a valid body.
ONE_LINE = [
    ("/api/products/", PRODUCT, "name"),
    ("/api/products/", PRODUCT, "metadata.category"),
    ("/api/products/", PRODUCT, "attributes.0"),
    ("/api/products/", PRODUCT, "attributes_sku.material"),
    ("/api/products/", {**PRODUCT, "images": ["https://a.b/c"]}, "images.0"),
    *(("/api/cart/checkout/", CHECKOUT, name) for name in ("name", "email", "phone")),
    *(("/api/cart/checkout/", CHECKOUT, f"address.{name}") for name in ("line1", "line2", "city", "state")),
    *(("/api/cart/checkout/", CHECKOUT, f"address.{name}") for name in ("postal_code", "country")),
    *(("/api/cart/shipping/", CHOICE, name) for name in ("order_id", "shipping_id")),
    ("/api/cart/paid/", PAYMENT, "cart"),
    *(("/api/shipments/", ORDER, name) for name in ("shipping.name", "shipping.phone", "email", "items.0.type")),
    *(("/api/shipments/", ORDER, f"shipping.address.{name}") for name in ("line1", "line2", "city", "state")),
    *(("/api/notifications/email/", EMAIL, name) for name in ("to_email", "from_email", "subject")),
    ("/api/notifications/sms/", SMS, "number"),
]
WRONG += [("POST", path, good, field, HIDDEN) for path, good, field in ONE_LINE]
WRONG += [
    ("POST", "/api/products/", PRODUCT, "metadata.a\u202eb", ["x"]),
    ("POST", "/api/products/", PRODUCT, "description", ["\x1b[31m", "a\x07", "\u202ea"]),
    ("POST", "/api/notifications/email/", EMAIL, "content", ["\x1b[31m", "\u202ea"]),
    ("POST", "/api/notifications/sms/", SMS, "content", ["\x1b[31m", "\u202ea"]),
    ("POST", "/api/cart/checkout/", CHECKOUT, "email", ["chloe@-example.com", "chlo\xe9@example.com", "a@shop.test"]),
    ("POST", "/api/cart/checkout/", CHECKOUT, "email", ["a@" + "b." * 120 + "de" + "x" * 20]),
    ("POST", "/api/cart/checkout/", CHECKOUT, "phone", ["+882161234567", "+87810123456789", "+10000000000"]),
    ("POST", "/api/notifications/sms/", SMS, "number", ["+19005551234", "+447012345678", 882161234567]),
]
CASES = [
    pytest.param(method, path, good, field, value, id=f"{method} {path} {field}={str(value)[:24]!r}")
    for method, path, good, field, values in WRONG
    for value in values
]


@pytest.mark.parametrize(("method", "path", "good", "field", "value"), CASES)
def test_error_is_nested_like_the_wrong_field(
    shop: Running, method: str, path: str, good: dict[str, Any], field: str, value: Any
) -> None:
    problem = assert_problem(shop.ask(method, path, changed(good, field, value)), 400)
    found: Any = problem["errors"]
    for name in field.split("."):
        assert isinstance(found, dict), problem["errors"]
        assert name in found, problem["errors"]
        found = found[name]
        if isinstance(found, list):
            break  # the whole value is wrong, so its parts have no messages
    assert_messages(found)


def assert_messages(at: Any) -> None:
    if isinstance(at, dict):
        assert at
        for deeper in at.values():
            assert_messages(deeper)
    else:
        assert at
        assert all(isinstance(message, str) and message for message in at)


def test_all_errors_are_reported_at_once(shop: Running) -> None:
    body = changed(changed(changed(CHECKOUT, "email", ...), "address.city", ...), "address.planet", "Earth")
    assert assert_problem(shop.ask("POST", "/api/cart/checkout/", body), 400)["errors"] == {
        "email": ["required field"],
        "address": {"city": ["required field"], "planet": ["unknown field"]},
    }


@pytest.mark.parametrize("country", ["US", "CA", "AU", "us"])
def test_some_countries_need_state_and_postal_code(shop: Running, country: str) -> None:
    body = changed(CHECKOUT, "address", {"line1": "1 A St", "city": "B", "country": country})
    errors = assert_problem(shop.ask("POST", "/api/cart/checkout/", body), 400)["errors"]
    assert set(errors["address"]) == {"state", "postal_code"}


@pytest.mark.parametrize(("country", "needed"), [("DE", {"postal_code"}), ("GB", {"postal_code"})])
def test_some_countries_need_a_postal_code(shop: Running, country: str, needed: set[str]) -> None:
    body = changed(CHECKOUT, "address", {"line1": "1 A St", "city": "B", "country": country})
    assert set(assert_problem(shop.ask("POST", "/api/cart/checkout/", body), 400)["errors"]["address"]) == needed


@pytest.mark.parametrize("country", ["HK", "IE", "AE"])
def test_some_countries_need_neither_state_nor_postal_code(shop: Running, country: str) -> None:
    body = changed(CHECKOUT, "address", {"line1": "1 A St", "city": "B", "country": country})
    assert shop.ask("POST", "/api/cart/checkout/", body).status == 201


@pytest.mark.parametrize("path", ["/api/products/", "/api/orders/", "/api/shipments/"])
@pytest.mark.parametrize(
    ("query", "field"),
    [
        *(
            (f"limit={bad}", "limit")
            for bad in ("0", "101", "-1", "1.5", "abc", "%D9%A3", "+5", "5%20", "0x5", "1e1", "9" * 30)
        ),
        ("limit=5&limit=6", "limit"),
        ("starting_after=a%2Fb", "starting_after"),
        ("starting_after=%00", "starting_after"),
        ("starting_after=c1.", "starting_after"),
        ("starting_after=c1.a+b", "starting_after"),
        (f"starting_after=c1.{'a' * 2000}", "starting_after"),
        ("surprise=1", "surprise"),
        ("surprise=", "surprise"),
        ("product_id=EVIL", "product_id"),
        ("request=EVIL", "request"),
    ],
)
def test_a_wrong_parameter_is_named(shop: Running, path: str, query: str, field: str) -> None:
    assert field in assert_problem(shop.ask("GET", f"{path}?{query}"), 400)["errors"]


@pytest.mark.parametrize("query", ["category=%FF", "category=%ED%A0%80", "&".join(f"a{n}=1" for n in range(30))])
def test_an_unreadable_query_is_refused(shop: Running, query: str) -> None:
    assert_problem(shop.ask("GET", f"/api/products/?{query}"), 400)


@pytest.mark.parametrize(
    "query", ["category=a%00b", "category=" + "x" * 501, "order_by=--x", "order_by=-", "order_by=a[b]"]
)
def test_a_wrong_search_is_refused(shop: Running, query: str) -> None:
    assert set(assert_problem(shop.ask("GET", f"/api/products/?{query}"), 400)["errors"]) <= {"category", "order_by"}


@pytest.mark.parametrize("query", ["category=a%0Ab", "category=%E2%80%AEa", "order_by=a%1Bb"])
def test_hidden_characters_in_a_query_are_refused(shop: Running, query: str) -> None:
    name = query.partition("=")[0]
    assert set(assert_problem(shop.ask("GET", f"/api/products/?{query}"), 400)["errors"]) == {name}


def test_international_domain_is_accepted(shop: Running) -> None:
    body = {**CHECKOUT, "email": "chloe@m\xfcnchen.de"}
    assert shop.ask("POST", "/api/cart/checkout/", body).json["args"][1]["email"] == "chloe@m\xfcnchen.de"


def test_an_unknown_order_status_is_refused(shop: Running) -> None:
    assert set(assert_problem(shop.ask("GET", "/api/orders/?status=lost"), 400)["errors"]) == {"status"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/products/", {**PRODUCT, "name": "a\0b"}),
        ("/api/products/", {**PRODUCT, "metadata": {"category": "food", "for": "\0"}}),
        ("/api/products/", {**PRODUCT, "metadata": {"category": "food", "a\0b": "c"}}),
        ("/api/products/", {**PRODUCT, "attributes": ["manufacturer", "material", "a\0"]}),
        ("/api/cart/checkout/", changed(CHECKOUT, "address.city", "a\0b")),
        ("/api/shipments/", {**ORDER, "extra": [[{"deep": "a\0b"}]]}),
        ("/api/notifications/sms/", {**SMS, "content": "a\0b"}),
    ],
)
def test_text_with_a_nul_is_refused(shop: Running, path: str, body: dict[str, Any]) -> None:
    assert_problem(shop.ask("POST", path, body), 400)


def test_escaped_backslash_before_u0000_is_accepted(shop: Running) -> None:
    assert shop.ask("POST", "/api/notifications/sms/", {**SMS, "content": "\\u0000"}).status == 201


@pytest.mark.parametrize(("depth", "status"), [(20, 201), (40, 400), (800, 400)])
def test_nesting_of_ignored_fields_is_limited(shop: Running, depth: int, status: int) -> None:
    deep: Any = 1
    for _ in range(depth):
        deep = [deep]
    assert shop.ask("POST", "/api/shipments/", {**ORDER, "extra": deep}).status == status


@pytest.mark.parametrize(
    "inventory",
    [
        {"type": "finite", "quantity": 0, "value": None},
        {"type": "infinite", "quantity": None, "value": None},
        {"type": "bucket", "quantity": None, "value": "limited"},
    ],
    ids=lambda inventory: inventory["type"],
)
def test_inventory_is_accepted_as_it_was_returned(shop: Running, inventory: dict[str, Any]) -> None:
    assert shop.ask("POST", "/api/products/", {**PRODUCT, "inventory": inventory}).status == 201

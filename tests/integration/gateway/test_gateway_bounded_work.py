"""The gateway refuses every costly request cheaply, with any body, headers or query.

The tests compare costs with each other, not with a clock. The reference is the largest valid request, an order of 500
lines.
"""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from contracts.errors import InvalidRequest
from gateway import schemas, shape
from tests.integration.gateway.costly import (
    MIB,
    ROUTES_WITHOUT_FIELDS,
    WEBHOOKS,
    InThread,
    bodies,
    headers,
    largest_honest_order,
    queries,
)
from tests.integration.gateway.routes import CHECKOUT, EMAIL, ORDER, PRODUCT, ROUTES, WITH_BODY, Route

# A refused request may cost this many times the reference. It cost 100 times and more when work grew faster than input.
MAX_COST_RATIO = 1.5
MAX_ANSWER_BYTES = 20_000


@pytest.fixture(scope="module")
def gateway() -> InThread:
    return InThread()


@functools.cache
def highest_cost_s(gateway: InThread) -> float:
    """The CPU seconds that a request may cost. Like them, it is measured without coverage: not in a fixture."""
    order = largest_honest_order()
    assert gateway.ask("POST", "/api/shipments/", order)[0] == 201
    return MAX_COST_RATIO * gateway.cost("POST", "/api/shipments/", order)


@pytest.mark.no_cover
@pytest.mark.parametrize("size", [64 * 1024, MIB])
@pytest.mark.parametrize("route", [*WITH_BODY, *ROUTES_WITHOUT_FIELDS, *WEBHOOKS], ids=str)
def test_no_body_costs_much(gateway: InThread, route: Route, size: int) -> None:
    max_cost_s = highest_cost_s(gateway)
    too_costly = {}
    for name, raw in bodies(route, size):
        cost = gateway.cost(route.method, route.path, raw, max_cost_s=max_cost_s)
        if cost >= max_cost_s:
            too_costly[name] = round(cost / max_cost_s * MAX_COST_RATIO, 1)
        status, answer = gateway.ask(route.method, route.path, raw)
        assert status < 500, (name, answer)
        assert len(answer) < MAX_ANSWER_BYTES, name
    assert not too_costly


@pytest.mark.no_cover
@pytest.mark.parametrize("route", [*ROUTES, *WEBHOOKS], ids=str)
def test_no_header_or_query_costs_much(gateway: InThread, route: Route) -> None:
    max_cost_s = highest_cost_s(gateway)
    raw = json.dumps(route.body).encode() if route.takes_body else b""
    size = 64 * 1024
    requests: list[tuple[str, tuple[Any, ...]]] = [
        *((name, (route.method, route.path, raw, sent)) for name, sent in headers(size)),
        *((name, (route.method, f"{route.path}?{sent}", raw)) for name, sent in queries(size)),
    ]
    for name, request in requests:
        assert gateway.cost(*request, max_cost_s=max_cost_s) < max_cost_s, name
        status, answer = gateway.ask(*request)
        assert status < 500, (name, answer)
        assert len(answer) < MAX_ANSWER_BYTES, name


def error_messages(gateway: InThread, method: str, path: str, body: Any) -> Any:
    status, answer = gateway.ask(method, path, json.dumps(body).encode())
    assert status == 400, answer
    return json.loads(answer).get("errors")


def count_messages(found: Any) -> int:
    return sum(map(count_messages, found.values())) if isinstance(found, dict) else len(found)


WRONG_LINE = {"type": 5, "parent": "/", "quantity": "x", "amount": 0.5}


@pytest.mark.parametrize(
    ("path", "body", "under"),
    [
        ("/api/cart/prod_1/buy/", {f"x{n}": 1 for n in range(400)}, ()),
        ("/api/cart/checkout/", {**CHECKOUT, "address": {f"x{n}": 1 for n in range(400)}}, ("address",)),
        ("/api/shipments/", {**ORDER, "items": [WRONG_LINE] * 500}, ("items",)),
        ("/api/shipments/", {**ORDER, "items": [{"type": "sku"}] * 500}, ("items",)),
        ("/api/shipments/", {"order": {**ORDER, "items": [WRONG_LINE] * 500}}, ("order", "items")),
        ("/api/products/", {**PRODUCT, "metadata": {str(n): 5 for n in range(45)}, "price": "x"}, ()),
    ],
)
def test_at_most_fifty_errors_are_listed(gateway: InThread, path: str, body: Any, under: tuple[str, ...]) -> None:
    found = error_messages(gateway, "POST", path, body)
    assert 40 < count_messages(found) <= shape.MAX_ERRORS
    for name in under:
        assert set(found) == {name}
        found = found[name]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("attributes", ["", 5] * 30, "max length is 20"),
        ("metadata", {f"x[{n}]": 5 for n in range(46)}, "max length is 45"),
        ("images", [5] * 9, "max length is 8"),
        ("name", " " * 251, "max length is 250"),
    ],
)
def test_too_long_value_is_not_examined(gateway: InThread, field: str, value: Any, message: str) -> None:
    assert error_messages(gateway, "POST", "/api/products/", {**PRODUCT, field: value}) == {field: [message]}


def test_long_field_name_is_shortened_in_the_error(gateway: InThread) -> None:
    body = {**EMAIL, "x" * 5_000: 1}
    assert error_messages(gateway, "POST", "/api/notifications/email/", body) == {"x" * 99 + "…": ["unknown field"]}


def test_rejected_value_is_not_quoted(gateway: InThread) -> None:
    found = error_messages(gateway, "POST", "/api/products/", {**PRODUCT, "inventory": {"type": "x" * 5_000}})
    assert found == {"inventory": {"type": ["must be one of finite or infinite or bucket"]}}


def examined_values(length: int, **rules: Any) -> int:
    """Return how many values of a list a shape examines when it rejects each of them."""
    seen = []

    def refuse(field: str, value: Any, error: Any) -> None:
        seen.append(value)
        error(field, "no")

    listed = shape.Shape({"a": {"type": "list", "schema": {"type": "integer", "check_with": refuse}, **rules}})
    with pytest.raises(InvalidRequest):
        listed.check({"a": list(range(length))})
    return len(seen)


def test_a_check_stops_at_fifty_errors() -> None:
    assert examined_values(5_000) == shape.MAX_ERRORS


def test_lengths_are_checked_before_contents() -> None:
    assert examined_values(30, maxlength=20) == 0


@pytest.mark.parametrize("route", WITH_BODY, ids=str)
def test_a_document_of_too_many_values_is_refused(gateway: InThread, route: Route) -> None:
    longer = {"/api/shipments/": schemas.MAX_ORDER_VALUES, "/api/products/": schemas.MAX_PRODUCT_VALUES}
    most = longer.get(route.path, shape.MAX_VALUES)
    extras: list[Any] = [[0] * most, {str(n): 0 for n in range(most // 2)}, [[]] * most, [""] * most]
    for extra in extras:
        status, answer = gateway.ask(route.method, route.path, json.dumps({**route.body, "extra": extra}).encode())
        assert status == 400
        assert f"more than {most} keys and values" in json.loads(answer)["detail"]


def test_punctuation_in_strings_is_not_counted(gateway: InThread) -> None:
    content = ',:[]{}"\\' * 20_000
    body = json.dumps({**EMAIL, "content": content}).encode()
    status, answer = gateway.ask("POST", "/api/notifications/email/", body)
    assert status == 202, answer


def test_duplicate_name_is_found_behind_escapes(gateway: InThread) -> None:
    raw = b'{"a\\\\":1,"b\\"":":","\\u0063":1,"c":2}'
    status, answer = gateway.ask("POST", "/api/cart/", raw)
    assert (status, json.loads(answer)["errors"]) == (400, {"c": ["given twice"]})


@pytest.mark.parametrize("forwarded", ["junk", ",", ";", "=", "for=;", '"', "proto=https,", " "])
def test_malformed_forwarded_header_is_ignored(gateway: InThread, forwarded: str) -> None:
    assert gateway.ask("POST", "/api/cart/", b"", {"Forwarded": forwarded})[0] == 201

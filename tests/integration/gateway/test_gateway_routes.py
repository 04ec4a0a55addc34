"""Each route calls its verb with the right arguments, and no other input of the caller changes the call."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.gateway.asking import HEX32, Answer, Running, assert_problem
from tests.integration.gateway.routes import CHANGES, CHECKOUT, EMAIL, KEY, ORDER, PRODUCT, ROUTES, WITH_BODY, Route

BODILESS = [route for route in ROUTES if not route.takes_body]
IDENTIFIED = [route for route in ROUTES if "_1" in route.path]


def service_call(answer: Answer) -> dict[str, Any]:
    """Return the call that the double of the service reports; in a bare list, its one row reports it."""
    call = answer.json
    if isinstance(call, list):
        [call] = call
    return dict(call)


def same_arguments(given: list[Any], wanted: tuple[Any, ...]) -> bool:
    return len(given) == len(wanted) and all(
        bool(HEX32.fullmatch(str(one))) if other is KEY else one == other
        for one, other in zip(given, wanted, strict=True)
    )


def assert_asks(answer: Answer, route: Route) -> None:
    assert answer.status == route.status, answer.raw
    assert answer.headers["content-type"] == "application/json"
    call = service_call(answer)
    assert f"{call['service']}.{call['verb']}" == route.call
    assert same_arguments(call["args"], route.args), call["args"]
    assert call["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("slash", ["/", ""], ids=["slash", "no-slash"])
@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_route_calls_its_verb(shop: Running, route: Route, slash: str) -> None:
    assert_asks(shop.ask(route.method, route.path.rstrip("/") + slash, route.body), route)


@pytest.mark.parametrize("route", [route for route in ROUTES if not route.query], ids=str)
def test_a_query_overrides_nothing(shop: Running, route: Route) -> None:
    names = ["product_id", "order_id", "shipment_id", "currency", "request", "response", "body", "api_version", "self"]
    query = "&".join(f"{name}=EVIL" for name in names)
    assert_asks(shop.ask(route.method, f"{route.path}?{query}", route.body), route)


@pytest.mark.parametrize("route", [route for route in BODILESS if route.method == "POST"], ids=str)
def test_unexpected_body_of_a_post_is_refused(shop: Running, route: Route) -> None:
    assert_problem(shop.ask("POST", route.path, {"cart_id": "EVIL"}), 400)


@pytest.mark.parametrize(
    "route", [route for route in BODILESS if route.method != "POST" and route.call != "cart.remove"], ids=str
)
def test_unexpected_body_overrides_nothing(shop: Running, route: Route) -> None:
    evil = {"product_id": "EVIL", "order_id": "EVIL", "shipment_id": "EVIL", "currency": "EVIL", "limit": 1}
    assert_asks(shop.ask(route.method, route.path, evil), route)


def test_removal_from_a_cart_may_name_a_sku(shop: Running) -> None:
    route = Route("DELETE", "/api/cart/prod_1/", "cart.remove", ("default", "prod_1", KEY, "sku_1"))
    assert_asks(shop.ask(route.method, route.path, {"sku": "sku_1"}), route)
    problem = assert_problem(shop.ask(route.method, route.path, {"product_id": "EVIL"}), 400)
    assert problem["errors"] == {"product_id": ["unknown field"]}


@pytest.mark.parametrize("route", [route for route in WITH_BODY if "_1" in route.path], ids=str)
def test_a_body_cannot_override_the_path(shop: Running, route: Route) -> None:
    problem = assert_problem(shop.ask(route.method, route.path, {**route.body, "product_id": "EVIL"}), 400)
    assert problem["errors"] == {"product_id": ["unknown field"]}


@pytest.mark.parametrize("route", IDENTIFIED, ids=str)
@pytest.mark.parametrize(
    "bad", ["a.b", "a%2Fb", "..", "%00", "x" * 101, "%F0%9F%8D%8C", "a%20b", "%FF", "a%0Ab", "a%27"]
)
def test_malformed_id_is_not_found(shop: Running, route: Route, bad: str) -> None:
    path = route.path.replace("prod_1", bad).replace("or_1", bad).replace("shp_1", bad)
    assert_problem(shop.ask(route.method, path, route.body), 404)


def test_each_request_has_its_own_idempotency_key(shop: Running) -> None:
    keys = {shop.ask("POST", "/api/products/", PRODUCT).json["args"][1] for _ in range(5)}
    assert len(keys) == 5


def test_refund_is_partial_or_full(shop: Running) -> None:
    path = "/api/orders/or_1/refund"
    assert shop.ask("POST", path, {"amount": 5}).json["args"][:2] == ["or_1", 5]
    assert shop.ask("POST", path, {"all": True}).json["args"][:2] == ["or_1", None]


def test_new_product_has_a_location_header(shop: Running) -> None:
    assert shop.ask("POST", "/api/products/", PRODUCT).headers["location"] == "/api/products/prod_stub/"


def test_a_currency_is_passed_on_in_lower_case(shop: Running) -> None:
    assert shop.ask("POST", "/api/products/", {**PRODUCT, "currency": "EUR"}).json["args"][0]["currency"] == "eur"


def test_a_country_is_passed_on_in_upper_case(shop: Running) -> None:
    address = {**CHECKOUT["address"], "country": "us"}
    customer = shop.ask("POST", "/api/cart/checkout/", {**CHECKOUT, "address": address}).json["args"][1]
    assert customer["address"]["country"] == "US"


@pytest.mark.parametrize(
    ("query", "args"),
    [
        ("?category=toys&order_by=name&limit=20&starting_after=prod_9", ["toys", "name", 20, "prod_9"]),
        ("?category=toys&order_by=name", ["toys", "name", 100, None]),
        ("?category=f%C3%BCr%20a%26b+c&order_by=-price&limit=1", ["für a&b c", "-price", 1, None]),
        ("?category=&limit=&starting_after=", [None, "name", 100, None]),
        ("?category=a,b&limit=100", ["a,b", "name", 100, None]),
    ],
)
def test_product_list_passes_its_query_on(shop: Running, query: str, args: list[Any]) -> None:
    assert shop.ask("GET", f"/api/products/{query}").json["args"] == args


def test_order_list_passes_its_query_on(shop: Running) -> None:
    call = shop.ask("GET", "/api/orders/?status=paid&email=a%40b.co&limit=&starting_after=").json
    assert call["args"] == ["paid", "a@b.co", 100, None]


def test_shipments_link_to_their_next_page(shop: Running) -> None:
    answer = shop.ask("GET", "/api/shipments?order_by=more&limit=2&starting_after=shp_first")
    assert answer.headers["link"] == ('</api/shipments/?order_by=more&limit=2&starting_after=c1.there>; rel="next"')
    assert "link" not in shop.ask("GET", "/api/shipments/").headers


@pytest.mark.parametrize("path", ["/api/products/?category=more", "/api/orders/?email=more%40b.co"])
def test_every_list_links_to_its_next_page(shop: Running, path: str) -> None:
    answer = shop.ask("GET", path)
    assert answer.headers["link"] == f'<{path}&starting_after=c1.there>; rel="next"'
    assert shop.ask("GET", f"{path}&starting_after=c1.there").json["args"][-1] == "c1.there"
    assert "link" not in shop.ask("GET", path.replace("more", "less")).headers


@pytest.mark.parametrize("wrap", [lambda o: {"order": o}, lambda o: {"id": "evt_1", "data": {"object": o}}])
def test_order_to_ship_may_be_wrapped(shop: Running, wrap: Any) -> None:
    assert shop.ask("POST", "/api/shipments/", wrap(ORDER)).json["args"][0] == ORDER


@pytest.mark.parametrize("currency", ["us", "usdd", "12a", "u.d"])
def test_rates_in_a_malformed_currency_are_not_found(shop: Running, currency: str) -> None:
    assert_problem(shop.ask("GET", f"/api/shipments/shp_1/rates/{currency}"), 404)


@pytest.mark.parametrize(
    "form", [{"quality": 7}, {"quantity": 7}, {"quality": 7, "quantity": 7}], ids=["seed", "correct", "both"]
)
def test_a_quantity_has_two_spellings(shop: Running, form: dict[str, int]) -> None:
    assert shop.ask("POST", "/api/cart/prod_1/buy/", form).json["args"][2] == 7
    assert shop.ask("PUT", "/api/cart/prod_1/", form).json["args"][2] == 7


@pytest.mark.parametrize("form", [{"cart": "pm_card_visa"}, {"card": "pm_card_visa"}])
def test_a_card_has_two_spellings(shop: Running, form: dict[str, str]) -> None:
    call = shop.ask("POST", "/api/cart/paid/", {"order_id": "or_1", **form}).json
    assert call["args"][:3] == ["default", "or_1", "pm_card_visa"]


@pytest.mark.parametrize(
    ("form", "number", "content"),
    [
        ({"number": 79994413746}, "+79994413746", "Your order is ready!"),
        ({"to_phone": "+79994413746"}, "+79994413746", "Your order is ready!"),
        ({"to_phone": 79994413746, "content": "Hi"}, "+79994413746", "Hi"),
        ({"number": "+15005550001", "to_phone": "+15005550001"}, "+15005550001", "Your order is ready!"),
    ],
)
def test_a_number_has_two_spellings_and_two_types(
    shop: Running, form: dict[str, Any], number: str, content: str
) -> None:
    assert shop.ask("POST", "/api/notifications/sms/", form).json["args"][:2] == [number, content]


def test_a_mail_needs_no_sender(shop: Running) -> None:
    form = {name: value for name, value in EMAIL.items() if name != "from_email"}
    assert shop.ask("POST", "/api/notifications/email/", form).json["args"][3] is None


@pytest.mark.parametrize("route", WITH_BODY, ids=str)
def test_a_body_without_content_type_is_read_as_json(shop: Running, route: Route) -> None:
    assert_asks(shop.ask(route.method, route.path, raw=json.dumps(route.body).encode()), route)


@pytest.mark.parametrize(
    "declared",
    [
        "application/json; charset=UTF-8",
        "APPLICATION/JSON",
        "application/problem+json",
        'application/json;charset="utf-8"',
    ],
)
def test_every_spelling_of_the_json_type_is_accepted(shop: Running, declared: str) -> None:
    answer = shop.ask("PUT", "/api/products/prod_1/", CHANGES, {"Content-Type": declared})
    assert answer.status == 200


def test_a_chunked_body_is_read(shop: Running) -> None:
    answer = shop.ask("POST", "/api/cart/prod_1/buy/", raw=iter([b'{"qua', b'lity": ', b"5}"]))
    assert answer.json["args"][2] == 5

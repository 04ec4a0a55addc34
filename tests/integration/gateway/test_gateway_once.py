"""`Idempotency-Key` at the gateway: which requests are the same, who owns a key, and how an answer is replayed."""

from __future__ import annotations

import importlib
import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.gateway.asking import Answer, Running, assert_problem, signed
from tests.integration.gateway.routes import CHECKOUT, CHOICE, KEY, PAYMENT, PRODUCT, ROUTES, SMS, Route

SECRET = "not-a-secret" * 3
POSTS = [route for route in ROUTES if route.method == "POST"]
OTHER_ROUTES = [route for route in ROUTES if route.method != "POST"]
REPLAYED = "idempotent-replayed"

Ask = Callable[..., Answer]


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


def _replayed_headers(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in ("x-request-id", REPLAYED, "date")}


def ask(shop: Running, route: Route, key: str, **headers: str) -> Answer:
    # The gateway replays a new cart only to a client that already has its own cart.
    own = {"Cart-Id": "once"} if route.call == "cart.create" else {}
    sent = {**own, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return shop.ask(route.method, route.path, route.body, {**sent, "Idempotency-Key": key})


def pay(shop: Running, order_id: str, key: str) -> Answer:
    body = {"order_id": order_id, "cart": "tok_visa"}
    return shop.ask("POST", "/api/cart/paid/", body, {"Idempotency-Key": key, "Cart-Id": "once"})


def assert_replay(answer: Answer, first: Answer) -> None:
    """Assert that `answer` replays `first`: only the request id, the date and the replay header differ."""
    assert answer.headers[REPLAYED] == "true"
    assert REPLAYED not in first.headers
    assert (answer.status, answer.raw) == (first.status, first.raw)
    assert _replayed_headers(answer) == _replayed_headers(first)
    assert answer.headers["x-request-id"] != first.headers["x-request-id"]


# Repeated requests


@pytest.mark.parametrize("route", POSTS, ids=str)
def test_repeated_post_gets_the_first_answer(shop: Running, route: Route, key: str) -> None:
    first = ask(shop, route, key)
    assert first.status == route.status
    call = first.json
    once_key, once_body = call["once"]
    assert {len(once_key), len(once_body)} == {64}
    if KEY in route.args:
        used = call["args"][route.args.index(KEY)]
        assert used == once_key, "the verb must use the key under which its answer is stored"
    assert_replay(ask(shop, route, key), first)
    assert ask(shop, route, key + "x").json["once"] != call["once"]


@pytest.mark.parametrize("route", POSTS, ids=str)
def test_each_post_verb_honours_the_idempotency_key(route: Route) -> None:
    """The doubles honour the key on every verb. The real services must honour it on every verb of a POST route."""
    service, verb = route.call.split(".")
    [shop_service] = [
        member
        for member in vars(importlib.import_module(f"{service}.service")).values()
        if getattr(member, "name", None) == service
    ]
    [entrypoint] = getattr(shop_service, verb).nameko_entrypoints
    assert entrypoint.idempotent is True


@pytest.mark.parametrize("route", OTHER_ROUTES, ids=str)
def test_other_methods_ignore_the_idempotency_key(shop: Running, route: Route, key: str) -> None:
    for value in (key, key, "x" * 256):
        answer = ask(shop, route, value)
        assert answer.status == route.status
        assert REPLAYED not in answer.headers
        if isinstance(answer.json, dict):
            assert answer.json["once"] == []


def test_answer_without_a_key_is_not_stored(shop: Running) -> None:
    answers = [shop.ask("POST", "/api/cart/checkout/", CHECKOUT) for _ in range(2)]
    assert [answer.json["once"] for answer in answers] == [[], []]
    assert answers[0].json["args"] != answers[1].json["args"]
    assert REPLAYED not in answers[1].headers


@pytest.mark.parametrize(
    ("kind", "status"), [("PaymentDeclined", 402), ("NotFound", 404), ("Conflict", 409), ("Refused", 422)]
)
def test_definitive_failure_is_replayed_with_its_request_id(shop: Running, kind: str, status: int, key: str) -> None:
    first = pay(shop, f"fail-{kind}", key)
    assert_problem(first, status)
    again = pay(shop, f"fail-{kind}", key)
    assert_replay(again, first)
    assert again.json["request_id"] == first.headers["x-request-id"]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("InvalidRequest", 400),
        ("PaymentActionRequired", 402),
        ("bug", 500),
        ("ProviderFailure", 502),
        ("Unavailable", 503),
        ("OutcomeUnknown", 504),
    ],
)
def test_failure_that_may_change_is_not_replayed(shop: Running, kind: str, status: int, key: str) -> None:
    for _ in range(2):
        answer = pay(shop, f"fail-{kind}", key)
        assert_problem(answer, status)
        assert REPLAYED not in answer.headers


def test_duplicate_waits_for_a_request_in_progress(shop: Running, key: str) -> None:
    with ThreadPoolExecutor() as pool:
        sent = ("POST", "/api/cart/checkout/", {**CHECKOUT, "name": "hang-0.2"}, {"Idempotency-Key": key})
        both = [pool.submit(shop.ask, *sent) for _ in range(2)]
        answers = [each.result() for each in both]
    first, again = sorted(answers, key=lambda answer: REPLAYED in answer.headers)
    assert first.status == 201
    assert_replay(again, first)


def test_duplicate_of_a_long_request_gets_retry_after(shop: Running, key: str) -> None:
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(pay, shop, "hang-5", key) for _ in range(2)]
        answers = [each.result() for each in both]
    first, early = sorted(answers, key=lambda answer: answer.status)
    assert first.status == 200
    problem = assert_problem(early, 409)
    assert problem["type"] == "urn:shop:problem:idempotency-key-in-progress"
    assert early.headers["retry-after"] == "1"
    assert "Idempotency-Key" in problem["detail"]
    assert_replay(pay(shop, "hang-5", key), first)


# Which requests are the same


def test_the_same_key_with_another_body_is_refused(shop: Running, key: str) -> None:
    first = pay(shop, "or_1", key)
    problem = assert_problem(pay(shop, "or_2", key), 422)
    assert problem["type"] == "urn:shop:problem:idempotency-key-reused"
    assert list(problem["errors"]) == ["Idempotency-Key"]
    assert "Idempotency-Key" in problem["detail"]
    assert_replay(pay(shop, "or_1", key), first)


def test_the_same_key_with_another_path_is_refused(shop: Running, key: str) -> None:
    headers = {"Idempotency-Key": key}
    assert shop.ask("POST", "/api/cart/prod_1/buy/", {"quality": 5}, headers).status == 200
    assert_problem(shop.ask("POST", "/api/cart/prod_2/buy/", {"quality": 5}, headers), 422)
    assert shop.ask("POST", "/api/orders/or_1/cancel/", headers=headers).status == 200
    assert_problem(shop.ask("POST", "/api/orders/or_2/cancel/", headers=headers), 422)


def test_reformatted_body_is_the_same_request(shop: Running, key: str) -> None:
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    first = shop.ask("POST", "/api/products/", PRODUCT, headers)
    written = json.dumps(dict(reversed(PRODUCT.items())), indent=3, ensure_ascii=True).encode()
    again = shop.ask("POST", "/api/products", raw=written, headers=headers)
    assert_replay(again, first)


def test_missing_body_equals_an_empty_object(shop: Running, key: str) -> None:
    headers = {"Idempotency-Key": key, "Cart-Id": "once"}
    first = shop.ask("POST", "/api/cart/", headers=headers)
    assert_replay(shop.ask("POST", "/api/cart/", {}, headers), first)
    assert first.headers["set-cookie"].startswith("cart_id=")


@pytest.mark.parametrize("shared", [{}, {"Cart-Id": "default"}, {"Cookie": "cart_id=default"}, {"Cart-Id": "no cart"}])
def test_new_cart_is_never_replayed_to_strangers(shop: Running, key: str, shared: dict[str, str]) -> None:
    for _ in range(2):
        made = shop.ask("POST", "/api/cart/", {}, {"Idempotency-Key": key, **shared})
        assert made.status == 201
        assert made.json["once"] == []  # no answer is stored under the key
        assert REPLAYED not in made.headers


def test_seed_notation_equals_json(shop: Running, key: str) -> None:
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    first = shop.ask("POST", "/api/notifications/sms/", SMS, headers)
    seed_notation = b'{"content": "Your order is ready!", "number": +79994413746}'
    assert_replay(shop.ask("POST", "/api/notifications/sms/", raw=seed_notation, headers=headers), first)


def test_invalid_body_does_not_use_the_key(shop: Running, key: str) -> None:
    headers = {"Idempotency-Key": key}
    assert_problem(shop.ask("POST", "/api/cart/prod_1/buy/", {"quality": 0}, headers), 400)
    assert shop.ask("POST", "/api/cart/prod_1/buy/", {"quality": 1}, headers).status == 200


# The owner of a key


def test_key_belongs_to_one_cart_and_one_route(shop: Running, key: str) -> None:
    def once(path: str, body: Any, cart: str) -> Any:
        answer = shop.ask("POST", path, body, {"Idempotency-Key": key, "Cart-Id": cart})
        assert answer.status < 300
        assert REPLAYED not in answer.headers
        return answer.json["once"][0]

    keys = [
        once("/api/cart/paid/", PAYMENT, "cart_a"),
        once("/api/cart/paid/", PAYMENT, "cart_b"),
        once("/api/cart/paid/", PAYMENT, "default2"),
        once("/api/cart/shipping/", CHOICE, "cart_a"),
        once("/api/cart/checkout/", CHECKOUT, "cart_a"),
        once("/api/cart/", {}, "cart_a"),
        once("/api/cart/", {}, "cart_b"),
        once("/api/products/", PRODUCT, "cart_a"),  # without admin keys, every client is a cart
        once("/api/products/", PRODUCT, "cart_b"),
    ]
    assert len(set(keys)) == len(keys)
    cookie = {"Idempotency-Key": key, "Cookie": "cart_id=cart_a"}
    assert shop.ask("POST", "/api/cart/paid/", PAYMENT, cookie).json["once"][0] == keys[0]


def test_key_of_an_admin_does_not_depend_on_the_cart(new_gateway: Callable[..., Running], key: str) -> None:
    admins = ("one-of-the-keys-of-this-shop", "two-of-the-keys-of-this-shop")
    running = new_gateway(
        ADMIN_API_KEYS=", ".join(admins), CART_ID_REQUIRED="true", CART_ID_SECRET=SECRET, GATEWAY_WORKERS="1"
    )
    cart_a = signed("cart_a", SECRET)

    def once(path: str, body: Any, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return running.ask("POST", path, body, {"Idempotency-Key": key, **sent})

    one = once("/api/products/", PRODUCT, Authorization=f"Bearer {admins[0]}")
    assert one.status == 201
    assert_replay(once("/api/products/", PRODUCT, Authorization=f"Bearer {admins[0]}", Cart_Id="cart_a"), one)
    two = once("/api/products/", PRODUCT, Authorization=f"Bearer {admins[1]}")
    assert two.json["once"] != one.json["once"]
    cancel = "/api/orders/or_1/cancel/"
    keys = {
        once(cancel, None, **headers).json["once"][0]
        for headers in (
            {"Authorization": f"Bearer {admins[0]}"},
            {"Authorization": f"Bearer {admins[0]}", "Cart_Id": cart_a},
            {"Authorization": f"Bearer {admins[1]}"},
            {"Cart_Id": cart_a},
            {"Cart_Id": cart_a, "Authorization": "Bearer wrong"},
        )
    }
    assert len(keys) == 3
    # A new cart needs no cart id, even if the shop requires cart ids.
    assert once("/api/cart/", None).status == 201
    assert once("/api/cart/", None, Cart_Id="no cart").status == 201
    assert_problem(once("/api/cart/paid/", PAYMENT), 400)
    assert admins[0].encode() not in one.raw


# The header itself


@pytest.mark.parametrize("route", POSTS, ids=str)
@pytest.mark.parametrize("bad", ["", "x" * 256, "a\tb", "schl\u00fcssel"], ids=ascii)
def test_invalid_key_is_refused_on_every_post(shop: Running, route: Route, bad: str) -> None:
    problem = assert_problem(ask(shop, route, bad), 400)
    assert list(problem["errors"]) == ["Idempotency-Key"]
    assert "Idempotency-Key" in problem["detail"]


@pytest.mark.parametrize(
    "good", ["x", "~" * 255, '"8e03978e-40d5-43e8-bc93-6894a57f9324"', "a b!{}", "a" + " " * 200 + "b"]
)
def test_printable_text_is_a_valid_key(shop: Running, good: str) -> None:
    cart = uuid.uuid4().hex
    first = ask(shop, POSTS[1], good, Cart_Id=cart)
    assert_replay(ask(shop, POSTS[1], good, Cart_Id=cart), first)


@pytest.mark.parametrize("provider", ["stripe", "shippo", "twilio", "sendgrid"])
def test_webhook_ignores_the_idempotency_key(shop: Running, provider: str) -> None:
    for _ in range(2):
        answer = shop.ask("POST", f"/api/webhooks/{provider}/", {}, {"Idempotency-Key": "x" * 256})
        assert answer.status == 200
        assert REPLAYED not in answer.headers

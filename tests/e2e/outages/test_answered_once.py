"""`Idempotency-Key` over the whole shop: a repeated request gets the same answer, despite kills and outages."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import requests

from launcher.shop import Shop
from tests.e2e.journeys.shop import BONE, HOME, Shopper, Storefront, eventually
from tests.e2e.outages.test_parts_away import down
from tests.e2e.outages.test_providers_in_trouble import hits, trouble

NOWHERE = {"line1": "1 Nowhere", "city": "Nowhere", "state": "CA", "country": "US", "postal_code": "00000"}


def post(shopper: Shopper, path: str, body: Any, key: str) -> requests.Response:
    return shopper.ask("POST", path, json=body, headers={"Idempotency-Key": key})


def pay(shopper: Shopper, order: dict[str, Any], key: str, card: str = "tok_visa") -> requests.Response:
    return post(shopper, "/api/cart/paid/", {"order_id": order["id"], "cart": card}, key)


def is_replay(answer: requests.Response, first: requests.Response) -> bool:
    """Assert that `answer` equals `first` byte for byte; return whether it is marked as a replay."""
    assert (answer.status_code, answer.content) == (first.status_code, first.content)
    assert _lasting_headers(answer) == _lasting_headers(first)
    return answer.headers.get("Idempotent-Replayed") == "true"


def _lasting_headers(answer: requests.Response) -> dict[str, str]:
    own = ("x-request-id", "idempotent-replayed", "date")
    return {name: value for name, value in answer.headers.items() if name.lower() not in own}


def test_every_answer_is_replayed_after_services_are_killed(running: Shop, shop: Storefront) -> None:
    product = shop.product(inventory={"type": "finite", "quantity": 9})
    shopper, other = shop.shopper(), shop.shopper()
    customer = {"email": shopper.email, "phone": shopper.phone, "name": "Chloe Taylor", "address": HOME}
    requests_: list[tuple[int, Shopper, str, Any]] = [
        (201, shopper, "/api/cart/", {}),
        (201, shopper, "/api/products/", BONE),
        (409, other, "/api/cart/checkout/", customer),  # an empty cart
        (200, shopper, f"/api/cart/{product['id']}/buy/", {"quality": 2}),
        (422, shopper, "/api/cart/checkout/", {**customer, "address": NOWHERE}),
        (201, shopper, "/api/cart/checkout/", customer),
        (404, shopper, "/api/cart/paid/", {"order_id": "or_nowhere", "cart": "tok_visa"}),
        (422, shopper, "/api/notifications/sms/", {"number": "+15005550001"}),
        (201, shopper, "/api/notifications/sms/", {"number": shopper.phone}),
        (202, shopper, "/api/notifications/email/", {"to_email": shopper.email, "subject": "a", "content": "b"}),
    ]
    asked = []
    for status, who, path, body in requests_:
        key = uuid.uuid4().hex
        first = post(who, path, body, key)
        assert first.status_code == status, first.text
        assert "Idempotent-Replayed" not in first.headers
        assert is_replay(post(who, path, body, key), first)
        asked.append((who, path, body, key, first))
    [order] = [
        first.json() for _, path, _, _, first in asked if path.endswith("checkout/") and first.status_code == 201
    ]
    choice = {"order_id": order["id"], "shipping_id": order["shipping_methods"][0]["id"]}
    declined = {"order_id": order["id"], "cart": "tok_chargeDeclined"}
    payment = {"order_id": order["id"], "cart": "tok_visa"}
    for status, path, body in (
        (200, "/api/cart/shipping/", choice),
        (402, "/api/cart/paid/", declined),
        (200, "/api/cart/paid/", payment),
    ):
        key = uuid.uuid4().hex
        first = post(shopper, path, body, key)
        assert first.status_code == status, first.text
        asked.append((shopper, path, body, key, first))

    for service in ("products", "cart", "shipping", "notifications"):
        running.kill(service)
    running.wait_ready()
    for who, path, body, key, first in asked:
        assert is_replay(post(who, path, body, key), first), path
    wrong = post(shopper, "/api/cart/paid/", {**payment, "order_id": "or_other"}, key)
    assert wrong.status_code == 422
    assert list(wrong.json()["errors"]) == ["Idempotency-Key"]

    assert shopper.ask("GET", "/api/cart/").json() == []  # the item was added once, and then paid
    assert shop.left(product["id"]) == 7
    assert len(shop.charged(order["id"])) == 1
    assert len(shop.arrived("sms", to=shopper.phone)) == 2  # one from the request above, and one about the order
    assert len([mail for mail in shop.arrived("emails", to=shopper.email) if mail["subject"] == "a"]) == 1


def test_unavailable_service_leaves_the_key_unused(running: Shop, shop: Storefront) -> None:
    product, shopper, key = shop.product(), shop.shopper(), uuid.uuid4().hex
    path = f"/api/cart/{product['id']}/buy/"
    with down(running, "products"):
        away = post(shopper, path, {"quality": 5}, key)
        assert away.status_code in (503, 504)
        assert away.headers["Retry-After"]
    running.wait_ready()
    first = eventually(
        lambda: answer if (answer := post(shopper, path, {"quality": 5}, key)).status_code == 200 else None
    )
    assert "Idempotent-Replayed" not in first.headers
    assert is_replay(post(shopper, path, {"quality": 5}, key), first)
    assert shopper.ask("GET", "/api/cart/").json()[0]["quantity"] == 5


def test_concurrent_repetition_of_a_payment_is_refused(shop: Storefront) -> None:
    shopper, key = shop.shopper(), uuid.uuid4().hex
    order = shopper.order(shop.product()["id"])
    answers: list[requests.Response] = []
    with trouble(shop, "stripe", latency_ms=2000):
        first = threading.Thread(target=lambda: answers.append(pay(shopper, order, key)))
        first.start()
        eventually(lambda: hits(shop, "stripe"))
        early = pay(shopper, order, key)
        assert (early.status_code, early.headers.get("Retry-After")) == (409, "1"), early.text
        assert early.json()["type"] == "urn:shop:problem:idempotency-key-in-progress"
        assert pay(shopper, order, key, "tok_mastercard").status_code == 422
        first.join(60)
    assert answers[0].status_code == 200, answers[0].text
    assert is_replay(pay(shopper, order, key), answers[0])
    assert len(shop.charged(order["id"])) == 1


def test_payment_of_a_killed_service_is_answered_by_the_next(running: Shop, shop: Storefront) -> None:
    """The broker redelivers the message. The claim of the dead holder must not refuse it."""
    shopper, key = shop.shopper(), uuid.uuid4().hex
    order = shopper.order(shop.product()["id"])
    answers: list[requests.Response] = []
    with trouble(shop, "stripe", latency_ms=2000):
        first = threading.Thread(target=lambda: answers.append(pay(shopper, order, key)))
        first.start()
        eventually(lambda: hits(shop, "stripe"))
        running.kill("cart")
    first.join(60)
    [answer] = answers
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "paid"
    assert "Idempotent-Replayed" not in answer.headers
    assert is_replay(pay(shopper, order, key), answer)
    assert len(shop.charged(order["id"])) == 1

"""A service or the broker stops and returns. The shop reports the outage and recovers automatically."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest
import requests

from launcher.shop import Shop
from tests.e2e.journeys.shop import Storefront, eventually

# The gateway's deadline for a cart is 8 s here (RPC_TIMEOUT), so a longer wait than this is a hanging request.
ANSWER_LIMIT_S = 24


def ready(shop: Storefront) -> requests.Response:
    return requests.get(f"{shop.url}/health/ready/", timeout=ANSWER_LIMIT_S)


def parts(shop: Storefront) -> dict[str, dict[str, str]]:
    """The state of each part, as the readiness check reports it."""
    found: dict[str, dict[str, str]] = ready(shop).json()["parts"]
    return found


def cart(shop: Storefront) -> requests.Response:
    return requests.get(f"{shop.url}/api/cart/", headers={"Cart-Id": "outages"}, timeout=ANSWER_LIMIT_S)


@contextlib.contextmanager
def down(running: Shop, part: str) -> Iterator[None]:
    """`kill -9` a part, and keep it stopped inside the block."""
    running.kill(part)
    with stopped(running, part):
        yield


@contextlib.contextmanager
def stopped(running: Shop, part: str) -> Iterator[None]:
    """Stop a part, and keep it stopped inside the block."""
    running.halt(part)
    try:
        yield
    finally:
        running.resume(part)


def test_gateway_answers_and_reports_a_missing_cart_service(running: Shop, shop: Storefront) -> None:
    product = shop.product()
    with down(running, "cart"):
        answer = cart(shop)
        assert answer.status_code in (503, 504)
        assert answer.headers["Retry-After"]
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        there = {"broker", "products", "shipping", "notifications"}  # each part has two seconds to answer
        eventually(lambda: {name for name, part in parts(shop).items() if part["status"] == "ok"} == there)
        assert ready(shop).status_code == 503
        # The rest of the shop still works.
        assert shop.ask("GET", f"/api/products/{product['id']}").status_code == 200
    eventually(lambda: ready(shop).status_code == 200)
    eventually(lambda: cart(shop).status_code == 200)


def test_killed_cart_service_restarts(running: Shop, shop: Storefront) -> None:
    before = running.pids("cart")
    running.kill("cart")
    eventually(lambda: running.pids("cart") not in ([], before) and cart(shop).status_code == 200, 90)
    eventually(lambda: ready(shop).status_code == 200)


def test_request_during_an_outage_is_not_carried_out_later(running: Shop, shop: Storefront) -> None:
    product = shop.product()
    shopper = shop.shopper()
    with down(running, "cart"):
        assert shopper.buy(product["id"], 5).status_code in (503, 504)
    # Each gateway process detects the return of the cart separately.
    found = eventually(lambda: answer if (answer := shopper.ask("GET", "/api/cart/")).status_code == 200 else None)
    assert found.json() == []


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_broker_outage_restarts_no_other_process(running: Shop, shop: Storefront, how: str) -> None:
    names = ("gateway", "products", "cart", "shipping", "notifications")
    pids = {part: running.pids(part) for part in names}
    shopper = shop.shopper()
    product = shop.product()
    stop, answers = threading.Event(), []

    def keep_asking() -> None:
        while not stop.is_set():
            answers.append(shopper.shop.ask("GET", "/api/cart/", headers={"Cart-Id": "outages"}).status_code)

    askers = [threading.Thread(target=keep_asking) for _ in range(4)]
    for asker in askers:
        asker.start()
    try:
        if how == "kill":
            before = running.pids("rabbitmq")
            running.kill("rabbitmq")
            eventually(lambda: running.pids("rabbitmq") not in ([], before))
        else:
            with stopped(running, "rabbitmq"):
                state = eventually(lambda: answer if (answer := ready(shop)).status_code == 503 else None)
                assert state.json()["parts"]["broker"]["status"] != "ok"
                assert cart(shop).status_code in (503, 504)
        eventually(lambda: 503 in answers or 504 in answers)
        back = eventually(lambda: len(answers) if ready(shop).status_code == 200 else None, 60)
        # Each gateway process recovers separately, the second perhaps a moment after the first.
        eventually(lambda: len(answers) > back + 40 and set(answers[-40:]) == {200}, 60)
    finally:
        stop.set()
        for asker in askers:
            asker.join(ANSWER_LIMIT_S)
    assert set(answers) <= {200, 503, 504}
    assert {part: running.pids(part) for part in names} == pids
    # The cart reconnects to the other services, too.
    eventually(lambda: shopper.buy(product["id"], 1).status_code == 200)
    order = eventually(lambda: answer.json() if (answer := shopper.checkout()).status_code == 201 else None)
    assert shopper.pay(order).status_code == 200

"""A service or the broker goes away, and comes back: the shop says so, and recovers by itself."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest
import requests

from launcher.shop import Shop
from tests.e2e.journeys.shop import Storefront, eventually

# The gateway's deadline for a cart is 8 s here (RPC_TIMEOUT): whoever waits longer than this was left hanging.
PATIENCE = 24


def ready(shop: Storefront) -> requests.Response:
    return requests.get(f"{shop.url}/health/ready/", timeout=PATIENCE)


def parts(shop: Storefront) -> dict[str, dict[str, str]]:
    """How each part is, as readiness tells."""
    found: dict[str, dict[str, str]] = ready(shop).json()["parts"]
    return found


def cart(shop: Storefront) -> requests.Response:
    return requests.get(f"{shop.url}/api/cart/", headers={"Cart-Id": "outages"}, timeout=PATIENCE)


@contextlib.contextmanager
def down(running: Shop, part: str) -> Iterator[None]:
    """`kill -9` a part and keep it away."""
    running.kill(part)
    with stopped(running, part):
        yield


@contextlib.contextmanager
def stopped(running: Shop, part: str) -> Iterator[None]:
    """Stop a part and keep it away."""
    running.halt(part)
    try:
        yield
    finally:
        running.resume(part)


def test_without_the_cart_service_the_gateway_answers_and_names_what_is_missing(
    running: Shop, shop: Storefront
) -> None:
    product = shop.product()
    with down(running, "cart"):
        answer = cart(shop)
        assert answer.status_code in (503, 504)
        assert answer.headers["Retry-After"]
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        there = {"broker", "products", "shipping", "notifications"}  # whoever is asked has two seconds to say so
        eventually(lambda: {name for name, part in parts(shop).items() if part["status"] == "ok"} == there)
        assert ready(shop).status_code == 503
        # The rest of the shop goes on.
        assert shop.ask("GET", f"/api/products/{product['id']}").status_code == 200
    eventually(lambda: ready(shop).status_code == 200)
    eventually(lambda: cart(shop).status_code == 200)


def test_a_cart_service_that_is_killed_comes_back_by_itself(running: Shop, shop: Storefront) -> None:
    before = running.pids("cart")
    running.kill("cart")
    eventually(lambda: running.pids("cart") not in ([], before) and cart(shop).status_code == 200, 90)
    eventually(lambda: ready(shop).status_code == 200)


def test_what_was_asked_while_it_was_away_is_not_done_when_it_returns(running: Shop, shop: Storefront) -> None:
    product = shop.product()
    shopper = shop.shopper()
    with down(running, "cart"):
        assert shopper.buy(product["id"], 5).status_code in (503, 504)
    # Each gateway process finds out for itself that the cart is there.
    found = eventually(lambda: answer if (answer := shopper.ask("GET", "/api/cart/")).status_code == 200 else None)
    assert found.json() == []


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_the_broker_goes_and_comes_back_and_no_process_is_restarted(running: Shop, shop: Storefront, how: str) -> None:
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
        # Each gateway process stands up again by itself, the second perhaps a moment after the first.
        eventually(lambda: len(answers) > back + 40 and set(answers[-40:]) == {200}, 60)
    finally:
        stop.set()
        for asker in askers:
            asker.join(PATIENCE)
    assert set(answers) <= {200, 503, 504}
    assert {part: running.pids(part) for part in names} == pids
    # So does the cart with the services that it asks.
    eventually(lambda: shopper.buy(product["id"], 1).status_code == 200)
    order = eventually(lambda: answer.json() if (answer := shopper.checkout()).status_code == 201 else None)
    assert shopper.pay(order).status_code == 200

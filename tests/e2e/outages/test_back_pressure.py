"""A slow or dead provider costs its callers a moment, and tells them when to come back; it costs others nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import requests

from launcher.shop import Shop
from tests.e2e.journeys.shop import Storefront, eventually
from tests.e2e.outages.test_parts_away import PATIENCE, cart
from tests.e2e.outages.test_providers_in_trouble import trouble

PAYERS = 40  # more than a cart service lets in at once
# What a request takes that does not wait for anybody; a call to the provider takes longer here.
AT_ONCE = 4.0


def timed(ask: Callable[[], requests.Response]) -> tuple[requests.Response, float]:
    """The answer, and how many seconds it took."""
    began = time.monotonic()
    return ask(), time.monotonic() - began


def test_while_stripe_is_slow_carts_are_read_as_ever_and_payers_beyond_its_places_come_back_later(
    shop: Storefront,
) -> None:
    product = shop.product()
    shoppers = [shop.shopper() for _ in range(2)]
    orders = [shopper.order(product["id"]) for shopper in shoppers]
    with trouble(shop, "stripe", latency_ms=4000), ThreadPoolExecutor(PAYERS) as pool:
        # Twenty browsers each that press the button for one order: all but one wait for the first.
        paying: list[Future[requests.Response]] = [
            pool.submit(shoppers[turn % 2].shop.ask, "POST", "/api/cart/paid/", **payment(shoppers[turn % 2], order))
            for turn in range(PAYERS)
            for order in [orders[turn % 2]]
        ]
        first = eventually(lambda: [each.result() for each in paying if each.done()])
        assert {answer.status_code for answer in first} == {503}
        reading = [(cart(shop).status_code, any(not each.done() for each in paying)) for _ in range(20)]
        assert {status for status, _ in reading} == {200}
        assert sum(at_it for _, at_it in reading) > 2  # it was read while they were at it
        answers = [each.result(PATIENCE * 5) for each in paying]
    assert {answer.status_code for answer in answers} == {200, 503}
    refused = [answer for answer in answers if answer.status_code == 503]
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    for shopper, order in zip(shoppers, orders, strict=True):
        assert shopper.pay(order).status_code == 200
        assert len(shop.charged(order["id"])) == 1


def payment(shopper: Any, order: dict[str, Any]) -> dict[str, Any]:
    return {"json": {"order_id": order["id"], "cart": "tok_mastercard"}, "headers": {"Cart-Id": shopper.cart_id}}


def test_a_bank_that_is_down_is_left_alone_and_found_again_within_seconds(running: Shop, shop: Storefront) -> None:
    product = shop.product(inventory={"type": "finite", "quantity": 9})
    shoppers = [shop.shopper() for _ in range(4)]
    orders = [shopper.order(product["id"]) for shopper in shoppers]
    with trouble(shop, "stripe", hang_rate=1):
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda pair: pair[0].pay(pair[1]), zip(shoppers, orders, strict=True)))
        assert {answer.status_code for answer in answers} <= {503, 504}
        # Now nobody is sent there to wait: a second after the other, one call finds out whether it is back.
        quick = [timed(lambda: shoppers[0].pay(orders[0])) for _ in range(4)]
        told = [answer for answer, took in quick if took < AT_ONCE]
        assert told
        assert {answer.status_code for answer in told} <= {503, 504}
        assert all(answer.headers["Retry-After"] for answer in told)
    eventually(lambda: shoppers[0].pay(orders[0]).status_code == 200, 30)
    for shopper, order in zip(shoppers, orders, strict=True):
        eventually(lambda shopper=shopper, order=order: shopper.pay(order).status_code == 200)
    assert [len(shop.charged(order["id"])) for order in orders] == [1] * 4
    assert shop.left(product["id"]) == 5

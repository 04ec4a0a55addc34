"""A slow or dead provider delays its callers only briefly: they get a Retry-After. Other requests are not delayed."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import requests

from launcher.shop import Shop
from tests.e2e.journeys.shop import Storefront, eventually
from tests.e2e.outages.test_parts_away import ANSWER_LIMIT_S, cart
from tests.e2e.outages.test_providers_in_trouble import trouble

PAYERS = 40  # more than the concurrency limit of a cart service
# A request that waits for no provider is answered within this time; a call to a provider takes longer here.
PROMPT_ANSWER_S = 4.0


def timed(ask: Callable[[], requests.Response]) -> tuple[requests.Response, float]:
    """The answer, and the seconds until it arrived."""
    began = time.monotonic()
    return ask(), time.monotonic() - began


def test_slow_stripe_delays_no_cart_and_excess_payers_retry(
    shop: Storefront,
) -> None:
    product = shop.product()
    shoppers = [shop.shopper() for _ in range(2)]
    orders = [shopper.order(product["id"]) for shopper in shoppers]
    with trouble(shop, "stripe", latency_ms=4000), ThreadPoolExecutor(PAYERS) as pool:
        # For each order, twenty browsers pay at once; all but one wait for the first.
        paying: list[Future[requests.Response]] = [
            pool.submit(shoppers[turn % 2].shop.ask, "POST", "/api/cart/paid/", **payment(shoppers[turn % 2], order))
            for turn in range(PAYERS)
            for order in [orders[turn % 2]]
        ]
        first = eventually(lambda: [each.result() for each in paying if each.done()])
        assert {answer.status_code for answer in first} == {503}
        reading = [(cart(shop).status_code, any(not each.done() for each in paying)) for _ in range(20)]
        assert {status for status, _ in reading} == {200}
        assert sum(in_progress for _, in_progress in reading) > 2  # carts were read while the payments were in progress
        answers = [each.result(ANSWER_LIMIT_S * 5) for each in paying]
    assert {answer.status_code for answer in answers} == {200, 503}
    refused = [answer for answer in answers if answer.status_code == 503]
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    for shopper, order in zip(shoppers, orders, strict=True):
        assert shopper.pay(order).status_code == 200
        assert len(shop.charged(order["id"])) == 1


def payment(shopper: Any, order: dict[str, Any]) -> dict[str, Any]:
    return {"json": {"order_id": order["id"], "cart": "tok_mastercard"}, "headers": {"Cart-Id": shopper.cart_id}}


def test_stripe_is_skipped_while_down_and_retried_soon(running: Shop, shop: Storefront) -> None:
    product = shop.product(inventory={"type": "finite", "quantity": 9})
    shoppers = [shop.shopper() for _ in range(4)]
    orders = [shopper.order(product["id"]) for shopper in shoppers]
    with trouble(shop, "stripe", hang_rate=1):
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda pair: pair[0].pay(pair[1]), zip(shoppers, orders, strict=True)))
        assert {answer.status_code for answer in answers} <= {503, 504}
        # The circuit is open: requests are refused at once, and one call at a time probes the provider.
        quick = [timed(lambda: shoppers[0].pay(orders[0])) for _ in range(4)]
        prompt = [answer for answer, took in quick if took < PROMPT_ANSWER_S]
        assert prompt
        assert {answer.status_code for answer in prompt} <= {503, 504}
        assert all(answer.headers["Retry-After"] for answer in prompt)
    eventually(lambda: shoppers[0].pay(orders[0]).status_code == 200, 30)
    for shopper, order in zip(shoppers, orders, strict=True):
        eventually(lambda shopper=shopper, order=order: shopper.pay(order).status_code == 200)
    assert [len(shop.charged(order["id"])) for order in orders] == [1] * 4
    assert shop.left(product["id"]) == 5

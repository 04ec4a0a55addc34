"""A payment with a page to return to may be made by methods that redirect the shopper."""

from __future__ import annotations

import pytest

from cart.rules.order import CREATED, PAID
from cart.rules.payments import CANCELED, OPEN, SUCCEEDED
from contracts.errors import OutcomeUnknown, PaymentDeclined
from tests.integration.cart.till import Shop

BACK = "https://shop.example/back"


def pay(shop: Shop, return_url: str | None, mood: str = "take") -> None:
    shop.bank.mood = mood
    shop.purchase.pay("or_1", "cart_1", "ctoken_1", return_url=return_url)


@pytest.mark.parametrize("return_url", [BACK, None])
def test_only_a_return_url_permits_redirects(shop: Shop, return_url: str | None) -> None:
    pay(shop, return_url)
    payment = shop.bank.payments["pi_1"]
    assert (payment["redirects"], payment["return_url"]) == (return_url is not None, return_url)
    assert shop.order.status == PAID


@pytest.mark.parametrize(("first", "second"), [(BACK, None), (None, BACK)])
def test_payment_of_the_other_kind_is_canceled_first(shop: Shop, first: str | None, second: str | None) -> None:
    with pytest.raises(PaymentDeclined):
        pay(shop, first, "decline")
    assert shop.bank.states == [OPEN]
    pay(shop, second)
    assert shop.bank.states == [CANCELED, SUCCEEDED]


def test_payment_of_the_same_kind_is_used_again(shop: Shop) -> None:
    with pytest.raises(PaymentDeclined):
        pay(shop, BACK, "decline")
    pay(shop, "https://shop.example/other")
    assert shop.bank.states == [SUCCEEDED]


@pytest.mark.parametrize(
    ("earlier", "said"),
    [("decline", "Declined."), (None, "The payment was not made. Enter your card or bank account again.")],
)
def test_token_that_was_used_is_answered_as_declined(shop: Shop, earlier: str | None, said: str) -> None:
    if earlier is not None:
        with pytest.raises(PaymentDeclined):
            pay(shop, BACK, earlier)
    with pytest.raises(PaymentDeclined, match=said):
        pay(shop, BACK, "used")
    assert (shop.order.status, shop.bank.states) == (CREATED, [CANCELED])
    assert shop.order.failure is not None
    assert shop.order.failure["detail"] == said
    pay(shop, BACK)
    assert shop.bank.states == [CANCELED, SUCCEEDED]


def test_lost_payment_with_redirects_is_called_off(shop: Shop) -> None:
    shop.bank.opening = ["lose"]
    with pytest.raises(OutcomeUnknown):
        pay(shop, BACK)
    shop.deliver()
    assert (shop.order.status, shop.bank.states) == (CREATED, [CANCELED])

"""The card of a payment: Stripe's format for Stripe, any token but a card's number for another provider."""

from __future__ import annotations

import pytest

from contracts.errors import InvalidRequest
from gateway import schemas

STRIPE = {"PAYMENT_PROVIDER": ("stripe",)}
ACME_PAY = {"PAYMENT_PROVIDER": ("shops.pay:AcmePay",)}


def paid_with(card: str) -> dict[str, str]:
    return {"order_id": "or_1", "card": card}


@pytest.mark.parametrize("card", ["acme-visa", "src_1a2b", "a" * 255, "eyJhbGciOi.J9+/=", "tok_visa"])
def test_other_provider_takes_its_own_tokens(card: str) -> None:
    assert schemas.payment(ACME_PAY).check(paid_with(card)) == paid_with(card)


@pytest.mark.parametrize("card", ["", "a b", "a\nb", "cardé", "a" * 256, "4242424242424242", "4242-4242-4242-4242"])
def test_other_provider_takes_no_card_number_or_odd_text(card: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        schemas.payment(ACME_PAY).check(paid_with(card))
    assert list(caught.value.facts["errors"]) == ["card"]


def test_stripe_takes_only_its_own_tokens() -> None:
    assert schemas.payment(STRIPE).check(paid_with("pm_card_visa")) == paid_with("pm_card_visa")
    with pytest.raises(InvalidRequest) as caught:
        schemas.payment(STRIPE).check(paid_with("acme-visa"))
    message = "must be a token (tok_… or ctoken_…) or a payment method (pm_…)"
    assert caught.value.facts["errors"] == {"card": [message]}

"""The port for discount codes through Stripe's SDK and the sandbox."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import stripe

from cart.rules.discount import Discount, Terms
from cart.stripe.discounts import StripeDiscounts
from cart.stripe.payments import StripePayments
from chassis.clock import now
from chassis.settings import SANDBOX_KEYS
from contracts.errors import Conflict, OutcomeUnknown, ProviderFailure, Refused, Unavailable
from tests.integration.providers.test_stripe_payments import settings
from tests.running_sandbox import RunningSandbox
from tests.scripted_server import Scripted, ScriptedServer

DAY_S = 86400


@pytest.fixture
def discounts(providers: RunningSandbox) -> StripeDiscounts:
    return StripeDiscounts(StripePayments(settings(providers.url)))


@pytest.fixture
def dashboard(providers: RunningSandbox) -> stripe.StripeClient:
    """Stripe without the shop."""
    return stripe.StripeClient(SANDBOX_KEYS["stripe"], base_addresses={"api": f"{providers.url}/stripe"})


def unique() -> str:
    return f"Code-{uuid.uuid4().hex[:12]}"


def terms(**changes: Any) -> Terms:
    return Terms(unique(), **{"hundredths": 2550, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"hundredths": None, "amount_off": 100, "currency": "eur", "minimum_amount": 500},
        {"minimum_amount": 500, "currency": "usd", "max_redemptions": 3},
    ],
)
def test_code_is_read_back_with_its_terms(discounts: StripeDiscounts, changes: dict[str, Any]) -> None:
    wanted = terms(**changes, expires_at=int(now()) + DAY_S)
    made = discounts.create(wanted, unique())
    assert (made.terms, made.active, made.redeemed) == (wanted, True, 0)
    assert discounts.find(made.id) == made
    assert everything(discounts)[made.id] == made


def everything(discounts: StripeDiscounts) -> dict[str, Any]:
    """All codes, by id, a page at a time."""
    found: dict[str, Any] = {}
    after = None
    while True:
        page, after = discounts.page(after)
        found |= {each.id: each for each in page}
        if after is None:
            return found


def test_same_key_makes_one_code(discounts: StripeDiscounts) -> None:
    wanted, key = terms(), unique()
    assert discounts.create(wanted, key) == discounts.create(wanted, key)
    assert [each.terms.code for each in everything(discounts).values()].count(wanted.code) == 1


def test_taken_code_is_a_conflict_and_leaves_no_coupon(
    discounts: StripeDiscounts, dashboard: stripe.StripeClient
) -> None:
    made = discounts.create(terms(), unique())
    before = [each.id for each in dashboard.v1.coupons.list({"limit": 100}).data]
    with pytest.raises(Conflict, match="already"):
        discounts.create(Terms(made.terms.code.upper(), hundredths=100), unique())
    assert [each.id for each in dashboard.v1.coupons.list({"limit": 100}).data] == before


def test_withdrawn_code_is_inactive_for_good(discounts: StripeDiscounts) -> None:
    made = discounts.create(terms(), unique())
    for _ in range(2):
        discounts.withdraw(made.id)
    found = discounts.find(made.id)
    assert found is not None
    assert not found.active
    discounts.withdraw("promo_unknown")
    assert discounts.find("promo_unknown") is None


def test_terms_that_stripe_refuses_are_refused(discounts: StripeDiscounts) -> None:
    with pytest.raises(Refused) as refusal:
        discounts.create(terms(expires_at=int(now()) + 6 * 365 * DAY_S), unique())
    assert refusal.value.facts["param"] == "expires_at"


@pytest.mark.parametrize(
    ("coupon", "code", "active"),
    [
        ({}, {}, True),
        ({"redeem_by": int(now()) + DAY_S}, {}, True),
        ({"max_redemptions": 5}, {}, False),
        ({}, {"restrictions": {"first_time_transaction": True}}, False),
    ],
)
def test_dashboard_code_is_offered_only_if_its_terms_can_be_kept(
    discounts: StripeDiscounts,
    dashboard: stripe.StripeClient,
    coupon: dict[str, Any],
    code: dict[str, Any],
    active: bool,
) -> None:
    made = dashboard.v1.coupons.create({"percent_off": 10, **coupon})  # type: ignore[typeddict-item]
    promotion = dashboard.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": made.id}, **code})  # type: ignore[typeddict-item]
    found = discounts.find(promotion.id)
    assert found is not None
    assert (found.active, found.terms.expires_at) == (active, coupon.get("redeem_by"))


def test_code_without_its_coupon_is_inactive(discounts: StripeDiscounts, dashboard: stripe.StripeClient) -> None:
    made = discounts.create(terms(), unique())
    coupon = dashboard.v1.promotion_codes.retrieve(made.id).promotion.coupon
    dashboard.v1.coupons.delete(str(coupon))
    found = discounts.find(made.id)
    assert isinstance(found, Discount)
    assert (made.terms_id, found.terms_id, found.active) == (coupon, coupon, False)


def test_unreadable_answers_are_distinguished(scripted: ScriptedServer) -> None:
    client = StripeDiscounts(StripePayments(settings(scripted.url)))
    scripted.answers = [Scripted(200, b'{"object": "list", "data": 5, "has_more": false}')]
    with pytest.raises(ProviderFailure):
        client.page(None)
    scripted.answers = [Scripted(200, b'{"id": "c", "object": "coupon"}'), Scripted(200, b'{"id": "promo_1"}')]
    with pytest.raises(OutcomeUnknown):
        client.create(terms(), unique())
    with pytest.raises(ProviderFailure):
        client.find("promo_1")


KEPT_FAILURE = Scripted(500, b'{"error": {}}', {"Idempotent-Replayed": "true", "Stripe-Should-Retry": "false"})
COUPON = b'{"id": "c_1", "object": "coupon", "percent_off": 25.5, "valid": true}'
PROMOTION = (
    b'{"id": "promo_1", "object": "promotion_code", "active": true, "code": "Summer", "created": 1, "restrictions": {},'
    b' "promotion": {"type": "coupon", "coupon": ' + COUPON + b"}}"
)


@pytest.mark.parametrize("listed", [b"", PROMOTION])
def test_failure_that_stripe_repeats_is_not_final(scripted: ScriptedServer, listed: bytes) -> None:
    asked_again = [Scripted(body=PROMOTION)] * (not listed)
    scripted.answers = [
        *(KEPT_FAILURE, Scripted(body=COUPON), KEPT_FAILURE),
        Scripted(body=b'{"object": "list", "has_more": false, "data": [' + listed + b"]}"),
        *asked_again,
    ]
    made = StripeDiscounts(StripePayments(settings(scripted.url))).create(Terms("Summer", hundredths=2550), "k")
    assert (made.id, made.active) == ("promo_1", True)
    keys = [headers["Idempotency-Key"] for method, _, headers, _ in scripted.asked if method == "POST"]
    assert keys == ["k:coupon", "k:coupon:again", "k:code", "k:code:again"][: 3 + len(asked_again)]
    [path] = [path for method, path, _, _ in scripted.asked if method == "GET"]
    assert "coupon=c_1" in path


def test_code_of_an_expanded_deleted_coupon_is_inactive(scripted: ScriptedServer) -> None:
    deleted = b'{"id": "c_1", "object": "coupon", "deleted": true}'
    scripted.answers = [Scripted(body=PROMOTION.replace(COUPON, deleted))]
    found = StripeDiscounts(StripePayments(settings(scripted.url))).find("promo_1")
    assert found == Discount("promo_1", Terms("Summer", hundredths=0), active=False, created=1, terms_id="c_1")


def test_absent_stripe_did_nothing(scripted: ScriptedServer) -> None:
    scripted.stop()
    with pytest.raises(Unavailable):
        StripeDiscounts(StripePayments(settings(scripted.url))).page(None)

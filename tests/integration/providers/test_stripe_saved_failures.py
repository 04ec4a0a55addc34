"""Every request that the shop makes of Stripe gets past a 500 that Stripe saves under its idempotency key.

The failed request may have had its effect or not. In both cases the effect happens once.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import stripe

from cart.rules.payments import CANCELED, OPEN, REPLAYED, SUCCEEDED
from cart.stripe.discounts import StripeDiscounts
from cart.stripe.payments import KEY, StripePayments
from cart.stripe.tax import StripeTaxes
from chassis.providers.stripe_sdk import MAX_KEYS
from chassis.settings import SANDBOX_KEYS
from contracts.errors import OutcomeUnknown, PaymentDeclined
from products.rules.catalog import product_id, sku_id
from products.rules.drafts import SkuDraft
from products.stripe.catalog import StripeCatalog
from tests.integration.providers.stripe_catalog import Stripe, add, catalog_at, changed
from tests.integration.providers.test_stripe_discounts import terms
from tests.integration.providers.test_stripe_payments import charges, opened, paid, settings
from tests.integration.providers.test_stripe_tax import asked
from tests.running_sandbox import RunningSandbox

Act = Callable[[], Any]


@dataclass
class Shop:
    """The shop's adapters to Stripe, and Stripe without them."""

    providers: RunningSandbox
    key: str = field(default_factory=lambda: f"k_{uuid.uuid4().hex}")

    def __post_init__(self) -> None:
        configured = settings(self.providers.url)
        self.payments = StripePayments(configured)
        self.discounts = StripeDiscounts(self.payments)
        self.taxes = StripeTaxes(configured)
        self.catalog: StripeCatalog = catalog_at(f"{self.providers.url}/stripe")
        self.raw = Stripe(self.providers.url)
        self.sdk = stripe.StripeClient(SANDBOX_KEYS["stripe"], base_addresses={"api": f"{self.providers.url}/stripe"})

    def intents(self, order_id: str) -> list[Any]:
        listed = self.sdk.v1.payment_intents.list({"limit": 100}).data
        return [each for each in listed if each.to_dict()["metadata"].get("order_id") == order_id]


# A case makes what a request needs, and returns the request, which returns whether its effect has happened once.
Case = Callable[[Shop], Act]


def opens(shop: Shop) -> Act:
    def act() -> bool:
        payment = shop.payments.open(shop.key, 1000, "usd", "shopper@example.com", f"{shop.key}:open")
        return (payment.state, [each.id for each in shop.intents(shop.key)]) == (OPEN, [payment.id])

    return act


def makes_a_method(shop: Shop) -> Act:
    return lambda: shop.payments.method("tok_visa", shop.key).startswith("pm_")


def confirms(shop: Shop) -> Act:
    order_id, payment_id = opened(shop.payments)

    def act() -> bool:
        state = shop.payments.confirm(payment_id, "pm_card_visa", shop.key).state
        return (state, len(charges(shop.providers, order_id))) == (SUCCEEDED, 1)

    return act


def is_declined(shop: Shop) -> Act:
    order_id, payment_id = opened(shop.payments)

    def act() -> bool:
        with pytest.raises(PaymentDeclined):
            shop.payments.confirm(payment_id, "pm_card_chargeDeclined", shop.key)
        return charges(shop.providers, order_id) == []

    return act


def cancels(shop: Shop) -> Act:
    _, payment_id = opened(shop.payments)
    return lambda: shop.payments.cancel(payment_id).state == CANCELED


def refunds(shop: Shop) -> Act:
    order_id, payment_id = paid(shop.payments)

    def act() -> bool:
        made = shop.payments.refund(payment_id, 300, "rf_1", order_id, shop.key)
        return shop.payments.refunds(payment_id) == [made]

    return act


def makes_a_code(shop: Shop) -> Act:
    wanted = terms()

    def act() -> bool:
        made = shop.discounts.create(wanted, shop.key)
        listed = shop.sdk.v1.promotion_codes.list({"code": wanted.code}).data
        return (made.terms, [each.id for each in listed]) == (wanted, [made.id])

    return act


def withdraws_a_code(shop: Shop) -> Act:
    made = shop.discounts.create(terms(), shop.key)

    def act() -> bool:
        shop.discounts.withdraw(made.id)
        found = shop.discounts.find(made.id)
        return found is not None and not found.active

    return act


def calculates_a_tax(shop: Shop) -> Act:
    return lambda: shop.taxes.calculate(asked()).added == 73 + 24


def sale(shop: Shop) -> str:
    made = shop.taxes.record(shop.taxes.calculate(asked()).id, shop.key, f"{shop.key}:sale")
    assert made is not None
    return made


def taxes_recorded(shop: Shop, reference: str) -> int:
    return len([each for each in shop.providers.ledger()["taxes"] if each["reference"] == reference])


def records_a_tax(shop: Shop) -> Act:
    found = shop.taxes.calculate(asked())

    def act() -> bool:
        shop.taxes.record(found.id, shop.key, shop.key)
        return taxes_recorded(shop, shop.key) == 1

    return act


def reverses_a_tax(shop: Shop) -> Act:
    original, reference = sale(shop), f"{shop.key}:back"

    def act() -> bool:
        shop.taxes.reverse(original, 100, reference, reference)
        return taxes_recorded(shop, reference) == 1

    return act


def undoes_a_reversal(shop: Shop) -> Act:
    reversal, reference = (
        shop.taxes.reverse(sale(shop), 100, f"{shop.key}:back", f"{shop.key}:back"),
        f"{shop.key}:undo",
    )
    assert reversal is not None

    def act() -> bool:
        shop.taxes.undo(reversal, reference, reference)
        return taxes_recorded(shop, reference) == 1

    return act


def adds_a_product(shop: Shop) -> Act:
    def act() -> bool:
        made = add(shop.catalog, shop.key)
        return (made.id, len(shop.raw.prices(made.id))) == (product_id(shop.key), 1)

    return act


def renames_a_product(shop: Shop) -> Act:
    product = add(shop.catalog, shop.key)
    return lambda: changed(shop.catalog, product, name="Other").name == "Other"


def changes_a_price(shop: Shop) -> Act:
    product = add(shop.catalog, shop.key)

    def act() -> bool:
        price = changed(shop.catalog, product, price=777).skus[0].price
        return (price, len(shop.raw.prices(product.id, active="true"))) == (777, 1)

    return act


def adds_a_sku(shop: Shop) -> Act:
    product = add(shop.catalog, shop.key)
    draft = SkuDraft.parse({"price": 60, "attributes": {"manufacturer": "PetHappy", "material": "felt"}}, product)

    def act() -> bool:
        made = shop.catalog.add_sku(product, draft, sku_id(f"{shop.key}2"))
        return (len(made.skus), len(shop.raw.prices(product.id))) == (2, 2)

    return act


def removes_a_product(shop: Shop) -> Act:
    product = add(shop.catalog, shop.key)

    def act() -> bool:
        shop.catalog.remove(product)
        return shop.catalog.get(product.id) is None

    return act


CASES: dict[str, tuple[Case, str]] = {
    "open": (opens, "/v1/payment_intents"),
    "method": (makes_a_method, "/v1/payment_methods"),
    "confirm": (confirms, "/v1/payment_intents/*/confirm"),
    "decline": (is_declined, "/v1/payment_intents/*/confirm"),
    "cancel": (cancels, "/v1/payment_intents/*/cancel"),
    "refund": (refunds, "/v1/refunds"),
    "coupon": (makes_a_code, "/v1/coupons"),
    "code": (makes_a_code, "/v1/promotion_codes"),
    "withdrawal": (withdraws_a_code, "/v1/promotion_codes"),
    "calculation": (calculates_a_tax, "/v1/tax/calculations"),
    "sale": (records_a_tax, "/v1/tax/transactions"),
    "reversal": (reverses_a_tax, "/v1/tax/transactions"),
    "undo": (undoes_a_reversal, "/v1/tax/transactions"),
    "product": (adds_a_product, "/v1/products"),
    "price": (adds_a_product, "/v1/prices"),
    "product change": (renames_a_product, "/v1/products/*"),
    "new price": (changes_a_price, "/v1/prices"),
    "sku": (adds_a_sku, "/v1/prices"),
    "product removal": (removes_a_product, "/v1/products/*"),
    "price removal": (removes_a_product, "/v1/prices/*"),
}
SAVED = {"undone": {"saved_error_rate": 1}, "done": {"saved_error_done_rate": 1}}


@pytest.mark.parametrize("times", [1, MAX_KEYS - 1])
@pytest.mark.parametrize("saved", SAVED)
@pytest.mark.parametrize("name", CASES)
def test_request_gets_past_saved_failures_once(providers: RunningSandbox, name: str, saved: str, times: int) -> None:
    case, path = CASES[name]
    act = case(Shop(providers))
    providers.fault("stripe", **SAVED[saved], method="POST", path=path, times=times)
    assert act()
    assert providers.hits("stripe") >= 1
    providers.heal()
    if name not in ("decline", "sku", "product removal", "price removal"):
        assert act(), "it happens once, also if it is repeated"


def test_refund_with_three_saved_failures_needs_a_new_key(providers: RunningSandbox) -> None:
    shop = Shop(providers)
    order_id, payment_id = paid(shop.payments)
    providers.fault("stripe", saved_error_rate=1, method="POST", path="/v1/refunds", times=MAX_KEYS)
    for _ in range(2):
        with pytest.raises(OutcomeUnknown) as caught:
            shop.payments.refund(payment_id, 300, "rf_1", order_id, shop.key)
        assert caught.value.facts[REPLAYED] is True
    assert shop.payments.refund(payment_id, 300, "rf_1", order_id, f"{shop.key}:1").amount == 300


def test_payment_of_the_previous_release_is_found_by_its_key(providers: RunningSandbox) -> None:
    shop = Shop(providers)
    asked_before = {
        "amount": 1000,
        "currency": "usd",
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        "metadata": {"order_id": shop.key},
        "description": f"Order {shop.key}",
        "receipt_email": "shopper@example.com",
    }
    made = shop.sdk.v1.payment_intents.create(asked_before, {"idempotency_key": shop.key})  # type: ignore[arg-type]
    assert KEY not in made.to_dict()["metadata"]
    assert shop.payments.open(shop.key, 1000, "usd", "shopper@example.com", shop.key).id == made.id

"""A paid order whose charge is disputed, or suspected."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cart.rules.attention import DISPUTE, FRAUD_WARNING
from cart.rules.dispute import ACTIONABLE, Case
from cart.rules.order import LABEL
from tests.integration.cart.till import Shop

AMOUNT = 566
DUE = 1_765_411_199
CHARGEBACK = Case("du_1", DISPUTE, "pi_1", "needs_response", "fraudulent", AMOUNT, 900, DUE)
INQUIRY = replace(CHARGEBACK, status="warning_needs_response")
WARNING = Case("issfr_1", FRAUD_WARNING, "pi_1", ACTIONABLE, "misc", 0, 900)


def report(shop: Shop, *cases: Case) -> None:
    """The provider now has these cases, and the shop learns of it."""
    shop.provider.set(*cases)
    assert shop.disputes.refresh("pi_1")


def listed(shop: Shop) -> list[tuple[str, str]]:
    return [(row["kind"], row["about"]) for row in shop.store.attention.list(10)]


def label(shop: Shop) -> dict[str, Any]:
    [task] = shop.store.deliveries.of("or_1", [LABEL])
    return task


def disputed(shop: Shop, *cases: Case) -> None:
    """A paid order that is disputed before its label is bought."""
    shop.pay()
    report(shop, *cases)
    shop.deliver()

"""Reconcile compares redemptions of discount codes with the orders, and with what the payments name."""

from __future__ import annotations

from typing import Any

import pytest

from cart.rules.order import Order
from cart.rules.payments import SUCCEEDED
from cart.rules.reconcile import Listed
from contracts.errors import Conflict
from tests.discounts import CODE, made_code, with_code
from tests.integration.cart.test_audit import FUTURE_S, OtherServices, audit, reported
from tests.integration.cart.test_mending import mend
from tests.integration.cart.till import Shop
from tests.unit.cart.test_order import placed

MISSING, ORPHAN = "paid with a code, and not redeemed", "code redeemed for nobody"


def compared(shop: Shop, part: str, *payments: Listed, until: float = FUTURE_S) -> list[dict[str, Any]]:
    others = OtherServices()
    others.holds, others.labels = [shop.order.stock_key or ""], ["shp"]
    page = audit(shop, *payments, others=others).page(part, None, 0.0, until, None)
    found: list[dict[str, Any]] = page["differences"]
    return found


def kinds(differences: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return reported({"differences": differences})


def forget_redemption(shop: Shop) -> None:
    """Lose it, as a copy of the previous release does, which has no such step."""
    assert shop.store.discounts.give_back("or_1")


def test_paid_order_and_its_redemption_agree(shop: Shop) -> None:
    shop.discounts()
    shop.pay()
    for part in ("orders", "redemptions"):
        assert compared(shop, part) == []


def test_missing_redemption_is_counted_even_if_the_code_is_used_up(shop: Shop) -> None:
    shop.discounts(max_redemptions=1)
    shop.pay()
    forget_redemption(shop)
    other = with_code(placed())
    other.id = "or_2"
    shop.store.discounts.redeem(other)
    [difference] = compared(shop, "orders")
    assert (difference["kind"], difference["subject"]) == (MISSING, "or_1")
    for _ in range(2):
        assert mend(shop, difference["fix"]["do"]) == f"{CODE} is redeemed by or_1"
    assert shop.redeemed == 2
    assert compared(shop, "orders") == []


def test_unpaid_order_redeems_nothing_by_repair(shop: Shop) -> None:
    shop.discounts()
    with pytest.raises(Conflict, match="has redeemed no code"):
        mend(shop, "count")


def test_unknown_code_cannot_be_counted(shop: Shop) -> None:
    shop.discounts()
    shop.pay()
    forget_redemption(shop)
    shop.store.orders.update("or_1", None, lambda order: setattr(order, "discount", "promo_9"))
    with pytest.raises(Conflict, match="is not known here"):
        mend(shop, "count")


def test_redemption_for_nobody_is_given_back(shop: Shop) -> None:
    shop.discounts()
    gone = with_code(placed())
    gone.id = "or_9"
    for order in (shop.order, gone):
        shop.store.discounts.redeem(order)
    found = compared(shop, "redemptions")
    assert kinds(found) == [(ORPHAN, "or_1"), (ORPHAN, "or_9")]
    for difference in found:
        fix = difference["fix"]
        assert mend(shop, fix["do"], fix["order"]) == f"{fix['order']}: given back"
    assert mend(shop, "give code back", "or_9") == "or_9: was given back already"
    assert shop.redeemed == 0


def test_redemption_in_use_is_not_given_back(shop: Shop) -> None:
    shop.discounts()
    shop.pay()
    with pytest.raises(Conflict, match="redeems its code"):
        mend(shop, "give code back")
    assert shop.redeemed == 1


def test_recent_redemption_is_left_alone(shop: Shop) -> None:
    shop.discounts()
    shop.store.discounts.redeem(shop.order)
    assert compared(shop, "redemptions", until=shop.now - 1) == []


@pytest.mark.parametrize(("named", "differs"), [(CODE, False), (None, True), ("Winter", True)])
def test_payment_that_names_another_code_is_reported(shop: Shop, named: str | None, differs: bool) -> None:
    shop.discounts()
    order: Order = shop.pay()
    listed = Listed(order.payment or "", SUCCEEDED, order.amount, "usd", order.id, discount=named)
    wanted = [("another discount code at the payment", "or_1")] if differs else []
    assert kinds(compared(shop, "payments", listed)) == wanted


def test_code_made_again_does_not_redeem_for_the_old_one(shop: Shop) -> None:
    shop.discounts(max_redemptions=1)
    shop.store.discounts.withdraw("promo_1", shop.now)
    shop.store.discounts.put(made_code("promo_2", max_redemptions=1), shop.now)
    with pytest.raises(Conflict, match="was withdrawn"):
        shop.pay()
    assert shop.store.discounts.find(CODE).redeemed == 0

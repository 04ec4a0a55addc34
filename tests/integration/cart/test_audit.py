"""Reconcile: the cart compares its records page by page with those of other services, and reports differences."""

from __future__ import annotations

from typing import Any

import pytest

from cart.reconcile.audit import OrderAudit
from cart.reconcile.books import AuditBooks
from cart.rules.order import PAYING, Order
from cart.rules.payments import CANCELED, OPEN, SUCCEEDED
from cart.rules.reconcile import Listed, Refunded
from chassis.records import SetAside
from contracts.errors import InvalidRequest
from tests.integration.cart.till import Shop

AMOUNT = 566
FUTURE_S = 9e12


class Lists:
    """The provider's lists in memory, with one record per page."""

    def __init__(self, payments: list[Listed], refunds: list[Refunded]) -> None:
        self._payments = payments
        self._refunds = refunds

    def payments(self, after: str | None, since: float) -> tuple[list[Listed], str | None]:
        return _page(self._payments, after)

    def refunds(self, after: str | None, since: float) -> tuple[list[Refunded], str | None]:
        return _page(self._refunds, after)

    def payment(self, payment_id: str) -> Listed | None:
        return next((each for each in self._payments if each.id == payment_id), None)

    def refund(self, refund_id: str) -> Refunded | None:
        return next((each for each in self._refunds if each.id == refund_id), None)


def _page(listed: list[Any], after: str | None) -> tuple[list[Any], str | None]:
    start = [each.id for each in listed].index(after) + 1 if after else 0
    return listed[start : start + 1], listed[start].id if len(listed) > start + 1 else None


class OtherServices:
    """Products and shipping, with the reservations and labels that a test sets."""

    def __init__(self) -> None:
        self.holds: list[str] = []
        self.labels: list[str] = []
        self.given_back: list[str] = []
        self.asked: list[Any] = []

    def held(self, keys: list[str]) -> list[str]:
        self.asked.append(keys)
        return [key for key in keys if key in self.holds]

    def shipments_with_label(self, shipments: list[str]) -> list[str]:
        return [each for each in shipments if each in self.labels]

    def unreturned(self, shipments: list[str]) -> list[str]:
        return [each for each in self.shipments_with_label(shipments) if each not in self.given_back]

    def audit(self, after: str | None, since: float, until: float) -> dict[str, Any]:
        return {"keys": self.holds, "next": "more"}


def audit(
    shop: Shop, *payments: Listed, refunds: tuple[Refunded, ...] = (), others: OtherServices | None = None
) -> OrderAudit:
    others = others or OtherServices()
    books = AuditBooks(shop.store)
    return OrderAudit(books, Lists(list(payments), list(refunds)), others, others, "Bank")


def reported(page: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["kind"], each["subject"]) for each in page["differences"]]


def listed(payment: str | None, **changes: Any) -> Listed:
    return Listed(
        **{"id": payment, "state": SUCCEEDED, "amount": AMOUNT, "currency": "usd", "order_id": "or_1", **changes}
    )


def test_payments_are_compared_with_orders_page_by_page(shop: Shop) -> None:
    shop.pay()
    mine = listed(shop.order.payment, order_id=None)  # only its id leads to the order
    books = audit(shop, mine, listed("pi_other"), listed("pi_3", order_id="or_9"))
    first = books.page("payments", None, 0.0, FUTURE_S, None)
    assert (first["compared"], first["seen"], reported(first)) == (1, [shop.order.payment], [])
    second = books.page("payments", first["next"], 0.0, FUTURE_S, None)
    assert (second["seen"], reported(second)) == (["pi_other"], [("charged twice", "or_1")])
    third = books.page("payments", second["next"], 0.0, FUTURE_S, None)
    assert (third["next"], reported(third)) == (None, [("charge without an order", "or_9")])


def test_payment_missing_from_all_pages_is_read_by_its_id(shop: Shop) -> None:
    shop.pay()
    payment = shop.order.payment or ""
    assert reported(audit(shop, listed(payment)).page("payments", None, 0.0, FUTURE_S, [payment])) == []
    called_off = listed(payment, state=CANCELED)
    assert reported(audit(shop, called_off).page("payments", None, 0.0, FUTURE_S, [payment])) == [
        ("order paid, payment not taken", "or_1")
    ]
    assert reported(audit(shop).page("payments", None, 0.0, FUTURE_S, [payment])) == [
        ("payment unknown at Bank", "or_1")
    ]
    assert reported(audit(shop).page("payments", None, 0.0, shop.now - 1, [payment])) == []


def test_payment_that_nobody_takes_up_is_reported(shop: Shop) -> None:
    shop.pay()
    payment = shop.order.payment or ""

    def killed(order: Order) -> None:
        order.status, order.due_at = PAYING, 0.0

    shop.store.orders.update("or_1", None, killed)
    waits = listed(payment, state=OPEN)
    assert reported(audit(shop, waits).page("payments", None, 0.0, FUTURE_S, None)) == [
        ("payment stands still", "or_1")
    ]
    shop.store.orders.update("or_1", None, lambda order: setattr(order, "due_at", FUTURE_S + 1))
    assert reported(audit(shop, waits).page("payments", None, 0.0, FUTURE_S, None)) == []


def test_order_page_lists_the_payments_expected_at_stripe(shop: Shop) -> None:
    others = OtherServices()
    page = audit(shop, others=others).page("orders", None, 0.0, FUTURE_S, None)
    assert (page["compared"], page["known"], reported(page)) == (1, [], [])
    assert others.asked == []  # the order has no reservation, so products is not asked
    shop.pay()
    others.holds, others.labels = [shop.order.stock_key or ""], ["shp"]
    page = audit(shop, others=others).page("orders", None, 0.0, FUTURE_S, None)
    assert (page["known"], reported(page)) == ([shop.order.payment], [])
    page = audit(shop).page("orders", None, 0.0, FUTURE_S, None)
    assert reported(page) == [("sold, and not taken from stock", "or_1")]
    shop.deliver()
    assert reported(audit(shop).page("orders", None, 0.0, FUTURE_S, None))[1:] == [("label lost", "or_1")]
    assert audit(shop).page("orders", None, 0.0, shop.now - 1, None)["compared"] == 0


def test_unreturned_label_is_reported_after_its_return_delivery(shop: Shop) -> None:
    shop.pay()
    shop.deliver()
    shop.refunds.refund("or_1", None, "all of it")
    others = OtherServices()
    others.labels = [shop.order.shipment or ""]
    assert reported(audit(shop, others=others).page("orders", None, 0.0, FUTURE_S, None)) == []
    shop.deliver()
    assert reported(audit(shop, others=others).page("orders", None, 0.0, FUTURE_S, None)) == [
        ("label of a returned order", "or_1")
    ]
    others.given_back = others.labels
    assert reported(audit(shop, others=others).page("orders", None, 0.0, FUTURE_S, None)) == []


def test_payment_of_a_canceled_order_is_not_expected(shop: Shop) -> None:
    shop.bank.mood = "decline"
    with pytest.raises(Exception, match="Declined"):
        shop.pay()
    assert audit(shop).page("orders", None, 0.0, FUTURE_S, None)["known"] == [shop.order.payment]
    shop.store.orders.update("or_1", None, lambda order: setattr(order, "status", "canceled"))
    assert audit(shop).page("orders", None, 0.0, FUTURE_S, None)["known"] == []


def test_refunds_are_compared_both_ways(shop: Shop) -> None:
    shop.pay()
    payment = shop.order.payment or ""
    shop.refunds.refund("or_1", 100, "key")
    [row] = shop.store.refunds.of_order("or_1")
    ours = Refunded(row["provider_id"], payment, 100, "succeeded")
    elsewhere = Refunded("re_elsewhere", payment, 50, "succeeded")
    books = audit(shop, refunds=(ours, elsewhere))
    first = books.page("refunds", None, 0.0, FUTURE_S, None)
    assert (first["seen"], reported(first)) == ([ours.id], [])
    assert reported(books.page("refunds", first["next"], 0.0, FUTURE_S, None)) == [("refund unknown here", "or_1")]
    assert books.page("returns", None, 0.0, FUTURE_S, None)["known"] == [ours.id]
    assert reported(books.page("refunds", None, 0.0, FUTURE_S, [ours.id])) == []
    assert reported(audit(shop).page("refunds", None, 0.0, FUTURE_S, [ours.id])) == [("refund unknown at Bank", "or_1")]


def test_reservations_are_compared_with_their_orders(shop: Shop) -> None:
    shop.pay()
    others = OtherServices()
    others.holds = [shop.order.stock_key or "", "or_1:9:stock", "or_9:1:stock"]
    page = audit(shop, others=others).page("stock", None, 0.0, FUTURE_S, None)
    assert (page["compared"], page["next"]) == (3, "more")
    assert reported(page) == [("stock held for nobody", "or_1"), ("stock held for nobody", "or_9:1:stock")]


def test_unknown_part_is_refused(shop: Shop) -> None:
    for part, ids in (("mails", None), ("orders", ["or_1"])):
        with pytest.raises(InvalidRequest):
            audit(shop).page(part, None, 0.0, FUTURE_S, ids)


def test_unreadable_record_is_reported_and_not_compared() -> None:
    unreadable: Any = SetAside("pi_9", "it has a new status")
    lists, others = Lists([unreadable], [unreadable]), OtherServices()
    audit = OrderAudit(NoBooks(), lists, others, others, "Bank")  # type: ignore[arg-type]
    for part in ("payments", "refunds"):
        for found in (audit.page(part, None, 0.0, FUTURE_S, None), audit.page(part, None, 0.0, FUTURE_S, ["pi_9"])):
            [difference] = found["differences"]
            assert (difference["kind"], difference["subject"]) == ("record that cannot be read", "pi_9")
            assert difference["theirs"] == "Bank says: it has a new status"


class NoBooks:
    """Books without records: every lookup returns an empty result."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: {}

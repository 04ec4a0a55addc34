"""The pages of a comparison: what the cart sets beside what the others say, and what it says of each."""

from __future__ import annotations

from typing import Any

import pytest

from cart.audit import OrderAudit
from cart.audit_books import AuditBooks
from cart.payments import CANCELED, SUCCEEDED
from cart.reconcile import Listed, Refunded
from chassis.records import SetAside
from contracts.errors import InvalidRequest
from tests.integration.cart.till import Shop

AMOUNT = 566
EVER = 9e12


class Lists:
    """The provider's lists, in memory: one a page."""

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


class Others:
    """Products and shipping, who know of what they are told."""

    def __init__(self) -> None:
        self.holds: list[str] = []
        self.labels: list[str] = []
        self.given_back: list[str] = []
        self.asked: list[Any] = []

    def held(self, keys: list[str]) -> list[str]:
        self.asked.append(keys)
        return [key for key in keys if key in self.holds]

    def labelled(self, shipments: list[str]) -> list[str]:
        return [each for each in shipments if each in self.labels]

    def unreturned(self, shipments: list[str]) -> list[str]:
        return [each for each in self.labelled(shipments) if each not in self.given_back]

    def audit(self, after: str | None, since: float, until: float) -> dict[str, Any]:
        return {"keys": self.holds, "next": "more"}


def audit(
    shop: Shop, *payments: Listed, refunds: tuple[Refunded, ...] = (), others: Others | None = None
) -> OrderAudit:
    others = others or Others()
    books = AuditBooks(shop.database, shop.clock)
    return OrderAudit(books, Lists(list(payments), list(refunds)), others, others)


def told(page: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["kind"], each["subject"]) for each in page["differences"]]


def listed(payment: str | None, **changes: Any) -> Listed:
    return Listed(
        **{"id": payment, "state": SUCCEEDED, "amount": AMOUNT, "currency": "usd", "order_id": "or_1", **changes}
    )


def test_stripes_payments_come_page_by_page_beside_our_orders(shop: Shop) -> None:
    shop.pay()
    mine = listed(shop.order.payment, order_id=None)  # found by its id alone
    books = audit(shop, mine, listed("pi_other"), listed("pi_3", order_id="or_9"))
    first = books.page("payments", None, 0.0, EVER, None)
    assert (first["looked"], first["seen"], told(first)) == (1, [shop.order.payment], [])
    second = books.page("payments", first["next"], 0.0, EVER, None)
    assert (second["seen"], told(second)) == (["pi_other"], [("charged twice", "or_1")])
    third = books.page("payments", second["next"], 0.0, EVER, None)
    assert (third["next"], told(third)) == (None, [("charge without an order", "or_9")])


def test_what_no_page_had_is_asked_for_by_itself(shop: Shop) -> None:
    shop.pay()
    payment = shop.order.payment or ""
    assert told(audit(shop, listed(payment)).page("payments", None, 0.0, EVER, [payment])) == []
    called_off = listed(payment, state=CANCELED)
    assert told(audit(shop, called_off).page("payments", None, 0.0, EVER, [payment])) == [
        ("order paid, payment not taken", "or_1")
    ]
    assert told(audit(shop).page("payments", None, 0.0, EVER, [payment])) == [("payment unknown at Stripe", "or_1")]
    assert told(audit(shop).page("payments", None, 0.0, shop.now - 1, [payment])) == []


def test_an_order_tells_which_payment_stripe_should_have(shop: Shop) -> None:
    others = Others()
    page = audit(shop, others=others).page("orders", None, 0.0, EVER, None)
    assert (page["looked"], page["known"], told(page)) == (1, [], [])
    assert others.asked == []  # it holds nothing, so nobody is asked
    shop.pay()
    others.holds, others.labels = [shop.order.stock_key or ""], ["shp"]
    page = audit(shop, others=others).page("orders", None, 0.0, EVER, None)
    assert (page["known"], told(page)) == ([shop.order.payment], [])
    page = audit(shop).page("orders", None, 0.0, EVER, None)
    assert told(page) == [("sold, and not taken from stock", "or_1")]
    shop.deliver()
    assert told(audit(shop).page("orders", None, 0.0, EVER, None))[1:] == [("label lost", "or_1")]
    assert audit(shop).page("orders", None, 0.0, shop.now - 1, None)["looked"] == 0


def test_the_label_of_an_order_that_was_given_back_is_told_once_nobody_is_about_to_return_it(shop: Shop) -> None:
    shop.pay()
    shop.deliver()
    shop.refunds.refund("or_1", None, "all of it")
    others = Others()
    others.labels = [shop.order.document["upstream_id"]]
    assert told(audit(shop, others=others).page("orders", None, 0.0, EVER, None)) == []
    shop.deliver()
    assert told(audit(shop, others=others).page("orders", None, 0.0, EVER, None)) == [
        ("label of a returned order", "or_1")
    ]
    others.given_back = others.labels
    assert told(audit(shop, others=others).page("orders", None, 0.0, EVER, None)) == []


def test_a_payment_that_was_called_off_is_missed_by_nobody(shop: Shop) -> None:
    shop.bank.mood = "decline"
    with pytest.raises(Exception, match="Declined"):
        shop.pay()
    assert audit(shop).page("orders", None, 0.0, EVER, None)["known"] == [shop.order.payment]
    shop.store.update("or_1", None, lambda order: setattr(order, "status", "canceled"))
    assert audit(shop).page("orders", None, 0.0, EVER, None)["known"] == []


def test_refunds_are_compared_both_ways(shop: Shop) -> None:
    shop.pay()
    payment = shop.order.payment or ""
    shop.refunds.refund("or_1", 100, "key")
    [row] = shop.store.refund_rows("or_1")
    ours = Refunded(row["provider_id"], payment, 100, "succeeded")
    elsewhere = Refunded("re_elsewhere", payment, 50, "succeeded")
    books = audit(shop, refunds=(ours, elsewhere))
    first = books.page("refunds", None, 0.0, EVER, None)
    assert (first["seen"], told(first)) == ([ours.id], [])
    assert told(books.page("refunds", first["next"], 0.0, EVER, None)) == [("refund unknown here", "or_1")]
    assert books.page("returns", None, 0.0, EVER, None)["known"] == [ours.id]
    assert told(books.page("refunds", None, 0.0, EVER, [ours.id])) == []
    assert told(audit(shop).page("refunds", None, 0.0, EVER, [ours.id])) == [("refund unknown at Stripe", "or_1")]


def test_reservations_are_set_beside_the_orders_that_they_are_of(shop: Shop) -> None:
    shop.pay()
    others = Others()
    others.holds = [shop.order.stock_key or "", "or_1:9:stock", "or_9:1:stock"]
    page = audit(shop, others=others).page("stock", None, 0.0, EVER, None)
    assert (page["looked"], page["next"]) == (3, "more")
    assert told(page) == [("stock held for nobody", "or_1"), ("stock held for nobody", "or_9:1:stock")]


def test_there_is_no_other_part(shop: Shop) -> None:
    for part, ids in (("mails", None), ("orders", ["or_1"])):
        with pytest.raises(InvalidRequest):
            audit(shop).page(part, None, 0.0, EVER, ids)


def test_record_that_cannot_be_read_is_told_and_not_compared() -> None:
    aside: Any = SetAside("pi_9", "it has a new status")
    audit = OrderAudit(NoBooks(), Lists([aside], [aside]), Others(), Others())  # type: ignore[arg-type]
    for part in ("payments", "refunds"):
        for found in (audit.page(part, None, 0.0, EVER, None), audit.page(part, None, 0.0, EVER, ["pi_9"])):
            [told] = found["differences"]
            assert (told["kind"], told["subject"]) == ("record that cannot be read", "pi_9")
            assert "new status" in told["theirs"]


class NoBooks:
    """Books without entries."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: {}

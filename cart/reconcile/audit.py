"""Compares the shop's orders with the records of the payment provider, products and shipping, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from cart.disputes.watch import CaseLists
from cart.reconcile.books import AuditBooks
from cart.rules.dispute import Case
from cart.rules.order import CANCELED
from cart.rules.reconcile import (
    Listed,
    Refunded,
    compare_missing,
    compare_missing_refunds,
    compare_payments,
    compare_refunds,
)
from cart.rules.reconcile_books import (
    compare_codes,
    compare_holds,
    compare_orders,
    compare_redemptions,
    order_of,
    over,
)
from cart.rules.reconcile_disputes import compare_cases, compare_missing_cases
from cart.rules.reconcile_tax import compare_entries, compare_taxes
from cart.rules.tax import Taxes
from chassis.audit import no_such_part, unreadable
from chassis.records import SetAside, sorted_out
from contracts.differences import page


class Lists(Protocol):
    """The provider's records. All methods raise as `Payments.find` does."""

    def payments(self, after: str | None, since: float) -> tuple[list[Listed | SetAside], str | None]:
        """A page of the payments made since then, and the cursor of the next one."""

    def refunds(self, after: str | None, since: float) -> tuple[list[Refunded | SetAside], str | None]:
        """A page of the refunds made since then, and the cursor of the next one."""

    def payment(self, payment_id: str) -> Listed | SetAside | None:
        """One payment, or None when there is none."""

    def refund(self, refund_id: str) -> Refunded | SetAside | None:
        """One refund, or None when there is none."""


class OrderAudit:
    """Compares a page of one side's records with the other side's.

    Args:
        books: our orders.
        lists: the provider's payments and refunds.
        products, shipping: the services, as a worker calls them.
        provider: the payment provider's name, as people read it.
        taxes: its taxes, if it has any.
        disputes: its lists of disputes, if it has any.
    """

    def __init__(
        self,
        books: AuditBooks,
        lists: Lists,
        products: Any,
        shipping: Any,
        provider: str,
        taxes: Taxes | None = None,
        disputes: CaseLists | None = None,
    ) -> None:
        self._books = books
        self._lists = lists
        self._products = products
        self._shipping = shipping
        self._provider = provider
        self._taxes_there = taxes
        self._cases_there = disputes

    def page(
        self, part: str, cursor: str | None, since: float, until: float, ids: Sequence[str] | None
    ) -> dict[str, Any]:
        """One page of a part, as `contracts.differences.page`.

        Args:
            part: "payments", "refunds" and "disputes" (the provider's lists), "orders", "returns", "cases",
                "redemptions" and "taxes" (ours), "stock" (products'), "transactions" (the tax provider's, which has no
                list).
            cursor: from the previous page; None for the first.
            since, until: only records made between these times (Unix seconds).
            ids: instead of a page, ask the provider for these payments, refunds or disputes of ours, or for what these
                tasks of ours have recorded.
        """
        asked = {
            "payments": self._payments_by_id,
            "refunds": self._refunds_by_id,
            "disputes": self._disputes_by_id,
            "transactions": self._transactions_by_task,
        }
        if ids is not None and part in asked:
            return asked[part](ids, until)
        parts = {
            "payments": self._payments,
            "refunds": self._refunds,
            "disputes": self._disputes,
            "cases": self._cases,
            "orders": self._orders,
            "returns": self._returns,
            "stock": self._stock,
            "redemptions": self._redemptions,
            "taxes": self._taxes,
        }
        if ids is not None or part not in parts:
            raise no_such_part(part)
        return parts[part](cursor, since, until)

    def _payments(self, cursor: str | None, since: float, until: float) -> dict[str, Any]:
        # Ask the provider first, so that our own data is never the older of the two.
        found, following = self._lists.payments(cursor, since)
        return page(len(found), self._compared(found, until), following, seen=[each.id for each in found])

    def _payments_by_id(self, ids: Sequence[str], until: float) -> dict[str, Any]:
        asked = {each: self._lists.payment(each) for each in ids}
        there = [payment for payment in asked.values() if payment is not None]
        gone = [each for each, payment in asked.items() if payment is None]
        missing = compare_missing(gone, self._books.by_payment(gone), until, self._provider)
        return page(0, [*self._compared(there, until), *missing])

    def _compared(self, listed: list[Listed | SetAside], until: float) -> list[Any]:
        found, aside = sorted_out(listed)
        by_payment = self._books.by_payment([each.id for each in found])
        orders = self._books.by_id({each.order_id for each in found if each.order_id and each.id not in by_payment})
        # A payment whose order is unreadable is not a payment without an order.
        lone = [each for each in found if each.id not in by_payment and each.order_id not in orders]
        if lone:
            known = self._books.known([each.id for each in lone], {each.order_id for each in lone if each.order_id})
            found = [each for each in found if each not in lone or not {each.id, each.order_id} & known]
        differences = compare_payments(found, orders, by_payment, until, self._provider)
        return differences + unreadable(self._provider, aside)

    def _refunds(self, cursor: str | None, since: float, until: float) -> dict[str, Any]:
        found, following = self._lists.refunds(cursor, since)
        return page(len(found), self._compared_refunds(found, until), following, seen=[each.id for each in found])

    def _refunds_by_id(self, ids: Sequence[str], until: float) -> dict[str, Any]:
        asked = {each: self._lists.refund(each) for each in ids}
        there = [refund for refund in asked.values() if refund is not None]
        gone = self._books.refunds_by_id([each for each, refund in asked.items() if refund is None])
        missing = compare_missing_refunds(gone.values(), self._provider)
        return page(0, [*self._compared_refunds(there, until), *missing])

    def _compared_refunds(self, listed: list[Refunded | SetAside], until: float) -> list[Any]:
        found, aside = sorted_out(listed)
        by_payment = self._books.by_payment({each.payment for each in found})
        ours = self._books.refunds_by_id([each.id for each in found])
        differences = compare_refunds(found, ours, by_payment, until, self._provider)
        return differences + unreadable(self._provider, aside)

    def _disputes(self, cursor: str | None, since: float, until: float) -> dict[str, Any]:
        if self._cases_there is None:
            return page(0, [])
        found, following = self._cases_there.cases(cursor, since)
        return page(len(found), self._compared_cases(found, until), following, seen=[each.id for each in found])

    def _disputes_by_id(self, ids: Sequence[str], until: float) -> dict[str, Any]:
        if self._cases_there is None:
            raise no_such_part("disputes")
        ours = self._books.cases_by_id(ids)
        asked = {each: self._cases_there.case(each, ours[each].kind) for each in ids if each in ours}
        there = [case for case in asked.values() if case is not None]
        gone = [ours[each] for each, case in asked.items() if case is None]
        by_payment = self._books.by_payment({case.payment for case in gone})
        missing = compare_missing_cases(gone, by_payment, self._provider)
        return page(0, [*self._compared_cases(there, until), *missing])

    def _compared_cases(self, listed: list[Case | SetAside], until: float) -> list[Any]:
        found, aside = sorted_out(listed)
        by_payment = self._books.by_payment({each.payment for each in found})
        ours = self._books.cases_by_id([each.id for each in found])
        return compare_cases(found, ours, by_payment, until, self._provider) + unreadable(self._provider, aside)

    def _cases(self, cursor: str | None, since: float, until: float) -> dict[str, Any]:
        cases, following = self._books.case_page(cursor, since, until)
        known = [case.id for case in cases] if self._cases_there is not None else []
        return page(len(cases), [], following, known=known)

    def _orders(self, cursor: str | None, since: float, until: float) -> dict[str, Any]:
        listed, following = self._books.page(cursor, since, until)
        orders, aside = sorted_out(listed)
        keys = [order.stock_key for order in orders if order.stock_key]
        shipments = [order.shipment for order in orders if order.shipment]
        held = set(self._products.held(keys)) if keys else set()
        labelled = set(self._shipping.shipments_with_label(shipments)) if shipments else set()
        # Read what is owed first: a return that completes meanwhile is then already in shipping's records.
        finished = over(orders, self._books.owed_for([order.id for order in orders]))
        unreturned = set(self._shipping.unreturned(finished)) if finished else set()
        owed = self._books.owed_for([order.id for order in orders])
        # Read the orders again: the other services' answers may be newer than the page.
        now = self._books.by_id([order.id for order in orders])
        found = compare_orders(now.values(), owed, held, labelled, unreturned, until, self._provider)
        found += compare_codes(now.values(), self._books.redeemed([order.id for order in orders]), until)
        # No order relies on a payment that was canceled.
        known = [order.payment for order in orders if order.payment and order.status != CANCELED]
        return page(len(listed), found + unreadable("the shop", aside), following, known=known)

    def _returns(self, cursor: str | None, since: float, until: float) -> dict[str, Any]:
        refunds, following = self._books.refund_page(cursor, since, until)
        return page(len(refunds), [], following, known=[refund.id for refund in refunds])

    def _redemptions(self, cursor: str | None, since: float, until: float) -> dict[str, Any]:
        ids, following = self._books.redemption_page(cursor, since, until)
        orders = self._books.by_id(ids)
        # What an unreadable order has redeemed is not redeemed for nobody.
        missing = set(ids) - orders.keys()
        broken = self._books.known([], missing) if missing else set()
        found = compare_redemptions([each for each in ids if each not in broken], orders, until)
        return page(len(ids), found, following)

    def _taxes(self, cursor: str | None, since: float, until: float) -> dict[str, Any]:
        listed, following = self._books.page(cursor, since, until)
        orders, _ = sorted_out(listed)  # unreadable ones are reported by "orders"
        taxed = [order.id for order in orders if order.tax is not None]
        tasks = self._books.tax_tasks(taxed)
        # Read the orders again: a refund that completes meanwhile is then newer than its work, and left alone.
        found, recorded = compare_taxes(self._books.by_id(taxed).values(), tasks, until)
        return page(len(taxed), found, following, known=recorded if self._taxes_there is not None else [])

    def _transactions_by_task(self, ids: Sequence[str], until: float) -> dict[str, Any]:
        if self._taxes_there is None:
            raise no_such_part("transactions")
        names = self._books.orders_of_tasks(ids)
        tasks = {key: row for rows in self._books.tax_tasks(names).values() for key, row in rows.items()}
        entries = {key: self._taxes_there.find(tasks[key]["answer"]["entry"]) for key in ids}
        orders = self._books.by_id(names)
        return page(0, compare_entries(entries, tasks, orders, until, self._provider))

    def _stock(self, cursor: str | None, since: float, until: float) -> dict[str, Any]:
        held = self._products.audit(cursor, since, until)
        names = {order_of(key) for key in held["keys"]}
        orders = self._books.by_id(names)
        # Stock that an unreadable order holds is not orphaned.
        missing = names - orders.keys()
        broken = self._books.known([], missing) if missing else set()
        keys = [key for key in held["keys"] if order_of(key) not in broken]
        found = compare_holds(keys, orders, self._books.still_owed(keys), until)
        return page(len(held["keys"]), found, held["next"])

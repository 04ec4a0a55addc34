"""The cart service's records as a comparison reads them: pages, and the rows that belong to a page."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from cart.deliveries.taxes import TAX_KINDS
from cart.rules.dispute import Case
from cart.rules.order import Order
from cart.rules.reconcile import Refunded
from cart.rules.refunds import DONE
from cart.store.orders import read_order
from cart.store.tables import orders, refunds
from cart.store.unit_of_work import CartStore
from chassis.db.engine import plain
from chassis.db.shared_tables import tasks
from chassis.records import SetAside, read_each, read_one
from chassis.work.tasks import WAITING
from contracts.errors import Conflict

PAGE = 100


class AuditBooks:
    """Orders, refunds and owed work, as a comparison reads them.

    Args:
        store: the service's.
    """

    def __init__(self, store: CartStore) -> None:
        self._store = store
        self._database = store.database

    def page(self, cursor: str | None, since: float, until: float) -> tuple[list[Order | SetAside], str | None]:
        """A page of the orders placed between two moments, oldest first, and the cursor of the next one.

        An unreadable order is in the page as set aside.
        """
        wanted = [orders.c.created >= since, orders.c.created <= until]
        with self._database.read() as connection:
            if cursor is not None:
                last = connection.execute(sa.select(orders.c.created).where(orders.c.id == cursor)).scalar_one()
                wanted.append(sa.tuple_(orders.c.created, orders.c.id) > sa.tuple_(sa.literal(last), cursor))
            query = sa.select(orders).where(*wanted).order_by(orders.c.created, orders.c.id).limit(PAGE + 1)
            rows = connection.execute(query).mappings().all()
        page = [read_one("order", row, read_order) for row in rows[:PAGE]]
        return page, rows[PAGE - 1]["id"] if len(rows) > PAGE else None

    def known(self, payments: Collection[str], ids: Collection[str]) -> set[str]:
        """Those of the payments and order ids that belong to an order, whether readable or not."""
        here = sa.or_(orders.c.payment.in_(sorted(payments)), orders.c.id.in_(sorted(ids)))
        with self._database.read() as connection:
            rows = connection.execute(sa.select(orders.c.id, orders.c.payment).where(here)).all()
        return {name for row in rows for name in row if name}

    def by_id(self, ids: Collection[str]) -> dict[str, Order]:
        """The orders with those ids, by id."""
        return {order.id: order for order in self._orders(orders.c.id.in_(sorted(ids)))}

    def by_payment(self, payments: Collection[str]) -> dict[str, Order]:
        """The orders with these payments, by the payment."""
        return {order.payment or "": order for order in self._orders(orders.c.payment.in_(sorted(payments)))}

    def owed_for(self, ids: Collection[str]) -> dict[str, dict[str, str]]:
        """What is or was owed for these orders: order id -> kind -> state."""
        query = sa.select(tasks.c.subject, tasks.c.kind, tasks.c.state).where(tasks.c.subject.in_(sorted(ids)))
        kinds: dict[str, dict[str, str]] = {}
        with self._database.read() as connection:
            for row in connection.execute(query):
                kinds.setdefault(row.subject, {})[row.kind] = row.state
        return kinds

    def tax_tasks(self, ids: Collection[str]) -> dict[str, dict[str, dict[str, Any]]]:
        """The work of recording the taxes of these orders: order id -> key -> task."""
        query = sa.select(tasks).where(tasks.c.subject.in_(sorted(ids)), tasks.c.kind.in_(TAX_KINDS))
        found: dict[str, dict[str, dict[str, Any]]] = {}
        with self._database.read() as connection:
            for row in connection.execute(query.order_by(tasks.c.created)).mappings():
                found.setdefault(row["subject"], {})[row["key"]] = plain(row)
        return found

    def orders_of_tasks(self, keys: Collection[str]) -> set[str]:
        """The ids of the orders that these tasks are about."""
        query = sa.select(tasks.c.subject).where(tasks.c.key.in_(sorted(keys)))
        with self._database.read() as connection:
            return {subject for subject in connection.execute(query).scalars() if subject}

    def still_owed(self, keys: Collection[str]) -> set[str]:
        """Those of the keys whose work is owed and not done."""
        query = sa.select(tasks.c.key).where(tasks.c.key.in_(sorted(keys)), tasks.c.state == WAITING)
        with self._database.read() as connection:
            return set(connection.execute(query).scalars())

    def owe_missing(self, order_id: str, wanted: Mapping[str, str], statuses: Collection[str]) -> list[str]:
        """Record the owed work that an order lacks; returns the kinds that it lacked.

        Args:
            wanted: kind -> key.
            statuses: the statuses in which the order has a right to it.

        Raises NotFound, Conflict (the order now has another status).
        """
        with self._database.write() as connection:
            order = self._store.orders.locked(order_id)
            if order.status not in statuses:
                raise Conflict(f"Order {order_id} is {order.status} by now.")
            known = set(connection.execute(sa.select(tasks.c.key).where(tasks.c.subject == order_id)).scalars())
            missing = {kind: key for kind, key in wanted.items() if key not in known}
            for kind, key in missing.items():
                self._store.deliveries.add(key, kind, order_id)
        return list(missing)

    def refunds_by_id(self, ids: Collection[str]) -> dict[str, Refunded]:
        """Our refunds, by the provider's id."""
        query = sa.select(refunds).where(refunds.c.provider_id.in_(sorted(ids)))
        with self._database.read() as connection:
            return {row.provider_id: _refunded(row) for row in connection.execute(query)}

    def refund_page(self, cursor: str | None, since: float, until: float) -> tuple[list[Refunded], str | None]:
        """A page of our refunds that the provider has accepted, begun between two moments, by id."""
        wanted = [refunds.c.provider_id.is_not(None), refunds.c.began >= since, refunds.c.began <= until]
        if cursor is not None:
            wanted.append(refunds.c.provider_id > cursor)
        query = sa.select(refunds).where(*wanted).order_by(refunds.c.provider_id).limit(PAGE + 1)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [_refunded(row) for row in rows[:PAGE]], rows[PAGE - 1].provider_id if len(rows) > PAGE else None

    def cases_by_id(self, ids: Collection[str]) -> dict[str, Case]:
        """Our disputes and fraud warnings, by id."""
        return self._store.disputes.by_id(ids)

    def case_page(self, cursor: str | None, since: float, until: float) -> tuple[list[Case], str | None]:
        """A page of our disputes and fraud warnings, made between two moments, by id."""
        return self._store.disputes.page(cursor, since, until, PAGE)

    def redeemed(self, ids: Collection[str]) -> dict[str, str]:
        """The discount codes that these orders have redeemed, by the order's id."""
        return self._store.discounts.redeemed_by(ids)

    def redemption_page(self, cursor: str | None, since: float, until: float) -> tuple[list[str], str | None]:
        """A page of the orders whose code was redeemed between two moments, by id, and the cursor of the next one."""
        return self._store.discounts.redemption_page(cursor, since, until, PAGE)

    def _orders(self, condition: sa.ColumnElement[bool]) -> list[Order]:
        with self._database.read() as connection:
            rows = connection.execute(sa.select(orders).where(condition)).mappings().all()
        return read_each("order", rows, read_order)[0]


def _refunded(row: sa.Row[tuple[object, ...]]) -> Refunded:
    state = "pending" if row.state == DONE and row.pending else row.state
    return Refunded(row.provider_id, row.payment, row.amount, state, row.order_id, row.began)

"""The operator's list: orders that need a person."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import sqlalchemy as sa

from cart.rules.attention import MESSAGE, WORDS
from cart.rules.order import LABEL, MESSAGES, SETTLED
from cart.store.tables import DELIVERIES, Store, attention, orders
from chassis.db.engine import Database, once_more, plain
from chassis.db.shared_tables import tasks
from chassis.logs import log
from chassis.work.tasks import FAILED, Tasks

NOTICE = "notice"


class Attention(Store):
    """The operator's list, in SQL. An entry is open until its cause is gone, or an operator dismisses it.

    Args:
        deliveries: an opened entry owes the operator a mail; a delivery that was given up is an entry, too.
    """

    def __init__(self, database: Database, clock: Callable[[], float], deliveries: Tasks) -> None:
        super().__init__(database, clock)
        self._deliveries = deliveries

    def open(self, order_id: str, kind: str, about: str, detail: str) -> None:
        """Record that an order needs a person, and owe the operator a mail; for an open entry only the detail changes.

        Part of the caller's transaction, which is `once_more`.

        Args:
            kind: one of `cart.rules.attention.WORDS`.
            about: the id of the dispute, warning, refund or payment, or the delivery's key; at most 128 characters.
            detail: what an operator needs to know.
        """
        assert kind in WORDS, kind
        this = _entry(order_id, kind, about)
        with self._database.write() as connection:
            known = connection.execute(sa.select(attention).where(*this).with_for_update()).mappings().first()
            if known is not None and known["ended"] is None:
                connection.execute(sa.update(attention).where(*this).values(detail=detail))
                return
            openings = 1 if known is None else known["openings"] + 1
            values = {"detail": detail, "since": self._clock(), "ended": None, "openings": openings}
            if known is None:
                new = {"order_id": order_id, "kind": kind, "about": about, **values}
                connection.execute(sa.insert(attention).values(**new))
            else:
                connection.execute(sa.update(attention).where(*this).values(**values))
            facts = {"kind": kind, "about": about, "detail": detail}
            self._deliveries.add(f"{order_id}:{NOTICE}:{kind}:{about}:{openings}", NOTICE, order_id, facts)
            self._database.after_commit(lambda: log.warning("order needs attention", order_id=order_id, **facts))

    def close(self, order_id: str | None, kind: str, about: str) -> bool:
        """Record that the cause of an entry is gone; returns whether it was open. Part of the caller's transaction.

        Args:
            order_id: None if only `about` is known.
        """
        this = (*_entry(order_id, kind, about), attention.c.ended.is_(None))
        with self._database.write() as connection:
            return connection.execute(sa.update(attention).where(*this).values(ended=self._clock())).rowcount == 1

    def is_open(self, order_id: str | None, kinds: Collection[str], about: str | None = None) -> bool:
        """Whether an order, or any if it is None, needs a person because of one of these kinds, or because of
        `about`."""
        wanted: list[sa.ColumnElement[bool]] = [attention.c.kind.in_(kinds), attention.c.ended.is_(None)]
        if order_id is not None:
            wanted.append(attention.c.order_id == order_id)
        if about is not None:
            wanted.append(attention.c.about == about)
        with self._database.read() as connection:
            return connection.execute(sa.select(attention.c.about).where(*wanted).limit(1)).first() is not None

    @once_more
    def dismiss(self, order_id: str, kind: str, about: str) -> bool:
        """Close an entry because an operator has dealt with it; returns whether there was one."""
        if self.close(order_id, kind, about):
            return True
        with self._database.write() as connection:
            this = (tasks.c.key == about, tasks.c.kind == kind, tasks.c.subject == order_id)
            row = connection.execute(sa.select(tasks.c.error).where(*this, _given_up()).with_for_update()).first()
            if row is None:
                return False
            now = self._clock()
            closed = {"detail": row.error or "", "since": now, "ended": now, "openings": 0}
            before = sa.update(attention).where(*_entry(order_id, kind, about)).values(**closed)
            if connection.execute(before).rowcount == 0:
                connection.execute(sa.insert(attention).values(order_id=order_id, kind=kind, about=about, **closed))
            return True

    def list(self, limit: int) -> list[dict[str, Any]]:
        """The open entries, oldest first: ``[{"order_id", "kind", "about", "detail", "since" (Unix seconds)}]``."""
        names = ("order_id", "kind", "about", "detail", "since")
        opened = sa.select(*(attention.c[name] for name in names)).where(attention.c.ended.is_(None))
        failed = sa.select(tasks.c.subject, tasks.c.kind, tasks.c.key, tasks.c.error, tasks.c.created)
        both = sa.union_all(opened, failed.where(_given_up())).subquery()
        with self._database.read() as connection:
            query = sa.select(both).order_by(both.c.since, both.c.order_id).limit(limit)
            return [plain(row) for row in connection.execute(query).mappings()]


def replayable() -> sa.ColumnElement[bool]:
    """The condition that a delivery is still wanted: nobody has dismissed it, and no later message replaces it."""
    later = tasks.alias()
    same = (later.c.subject == tasks.c.subject, later.c.kind == tasks.c.kind, later.c.created > tasks.c.created)
    replaced = sa.and_(tasks.c.kind.in_(MESSAGES), sa.exists().where(*same))
    return sa.and_(~sa.exists().where(attention.c.about == tasks.c.key, _dismissed()), ~replaced)


def _dismissed() -> sa.ColumnElement[bool]:
    """The condition that an operator has dismissed a delivery since it was last owed."""
    return sa.and_(attention.c.kind == tasks.c.kind, attention.c.ended >= tasks.c.created)


def _entry(order_id: str | None, kind: str, about: str) -> tuple[sa.ColumnElement[bool], ...]:
    this = (attention.c.kind == kind, attention.c.about == about)
    return this if order_id is None else (attention.c.order_id == order_id, *this)


def _given_up() -> sa.ColumnElement[bool]:
    """The deliveries that were given up, and that nobody has dismissed since they were last owed; without those that
    have an open entry of their own, and without the labels and messages of orders that are `over`."""
    own = sa.and_(attention.c.kind == MESSAGE, attention.c.ended.is_(None))
    listed = sa.exists().where(attention.c.about == tasks.c.key, sa.or_(_dismissed(), own))
    over = (orders.c.id == tasks.c.subject, orders.c.status.in_(SETTLED), orders.c.stock_key.is_(None))
    needless = sa.and_(tasks.c.kind.in_((LABEL, *MESSAGES)), sa.exists().where(*over))
    return sa.and_(tasks.c.queue == DELIVERIES, tasks.c.state == FAILED, ~listed, ~needless)

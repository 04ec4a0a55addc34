"""The disputes and fraud warnings of our payments, as the provider last reported them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, fields
from typing import Any

import sqlalchemy as sa

from cart.rules.attention import FRAUD_WARNING
from cart.rules.dispute import Case
from cart.store.tables import Store, disputes

_FIELDS = [field.name for field in fields(Case)]


class DisputeRows(Store):
    """The cases, in SQL."""

    def of_order(self, order_id: str) -> list[Case]:
        """The cases of an order, oldest first."""
        return self._read(disputes.c.order_id == order_id)

    def by_id(self, ids: Collection[str]) -> dict[str, Case]:
        """Those of the cases that are recorded, by id."""
        return {case.id: case for case in self._read(disputes.c.id.in_(sorted(ids)))}

    def open_payments(self, warned_since: float) -> set[str]:
        """The payments with a dispute that is not decided yet, or with a fraud warning that is not over.

        Args:
            warned_since: older warnings (Unix seconds) are left out.
        """
        recent = sa.or_(disputes.c.kind != FRAUD_WARNING, disputes.c.created >= warned_since)
        return {case.payment for case in self._read(disputes.c.open, recent)}

    def page(self, cursor: str | None, since: float, until: float, limit: int) -> tuple[list[Case], str | None]:
        """A page of the cases that were made between two moments (Unix seconds), by id, and the next one's cursor."""
        wanted = [disputes.c.created >= since, disputes.c.created <= until]
        if cursor is not None:
            wanted.append(disputes.c.id > cursor)
        query = sa.select(disputes).where(*wanted).order_by(disputes.c.id).limit(limit + 1)
        with self._database.read() as connection:
            found = [_case(row) for row in connection.execute(query).mappings()]
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    def replace(self, order_id: str, cases: Sequence[Case]) -> None:
        """Record that these are the cases of an order. Part of the transaction that has locked the order."""
        mine = disputes.c.order_id == order_id
        with self._database.write() as connection:
            connection.execute(sa.delete(disputes).where(mine))
            for case in cases:
                connection.execute(sa.insert(disputes).values(**asdict(case), order_id=order_id, open=case.is_open))

    def _read(self, *wanted: sa.ColumnElement[bool]) -> list[Case]:
        query = sa.select(disputes).where(*wanted).order_by(disputes.c.created, disputes.c.id)
        with self._database.read() as connection:
            return [_case(row) for row in connection.execute(query).mappings()]


def _case(row: Any) -> Case:
    return Case(**{name: row[name] for name in _FIELDS})

"""The work that is still owed for the orders, and the claims on it."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cart.tables import Store, owed, plain
from chassis.clock import due

OWED, DONE, FAILED = "owed", "done", "failed"

# Work that remained untried for this long after its time (seconds) was untried because no copy was running.
UNTRIED = 900.0
# The longest wait for a next try (seconds); twice `cart.outbox.PATIENT_WAIT`.
LONGEST_WAIT_S = 600.0


class OwedThings(Store):
    """The owed work, in SQL."""

    def owe(
        self,
        connection: Connection,
        order_id: str,
        kind: str,
        key: str,
        due: float,
        details: dict[str, Any] | None = None,
    ) -> None:
        """Record that work is owed for an order, once per `key`. Part of the transaction that makes it owed.

        Args:
            details: its arguments, if they are not in the order.
        """
        if connection.execute(sa.select(owed.c.key).where(owed.c.key == key)).first() is None:
            values = {"key": key, "order_id": order_id, "kind": kind, "state": OWED, "since": self._clock()}
            connection.execute(sa.insert(owed).values(tries=0, due=due, details=details, **values))

    def owed(
        self, order_id: str | None = None, state: str | None = None, limit: int = 100, key: str | None = None
    ) -> list[dict[str, Any]]:
        """What is or was owed, oldest first, of one order, in one state (``owed``, ``done``, ``failed``), or by key.

        `held` says for each whether a live copy has claimed it until `due`.
        """
        conditions = {owed.c.order_id: order_id, owed.c.state: state, owed.c.key: key}
        wanted = [column == value for column, value in conditions.items() if value is not None]
        void = self._database.heartbeat.is_void(owed.c.holder, owed.c.due, self._clock())
        held = sa.and_(owed.c.claim.is_not(None), sa.not_(void))
        with self._database.read() as connection:
            query = sa.select(owed, held.label("held")).where(*wanted)
            query = query.order_by(owed.c.since, owed.c.key).limit(limit)
            return [plain(row) for row in connection.execute(query).mappings()]

    def due(self, limit: int = 20, kinds: Collection[str] | None = None) -> list[str]:
        """The keys of the work that can be tried now: what is due, and what a dead copy had claimed."""
        wanted = [owed.c.state == OWED, self._owed_is_free()]
        if kinds is not None:
            wanted.append(owed.c.kind.in_(kinds))
        with self._database.read() as connection:
            # First the work of a dead copy: it is late already, although its own time is still to come.
            first = sa.case((self._left_by_the_dead(owed.c.holder), 0.0), else_=owed.c.due)
            query = sa.select(owed.c.key).where(*wanted).order_by(first).limit(limit)
            return list(connection.execute(query).scalars())

    def claim_owed(self, key: str, hand: float) -> dict[str, Any] | None:
        """Claim one owed thing for `hand` seconds; None when it is done, not due, or claimed by another.

        A time in which the whole shop was down does not count toward its age.

        Raises Unavailable.
        """
        holder = self._database.heartbeat.hold()
        with self._database.write() as connection:
            free = sa.and_(owed.c.key == key, owed.c.state == OWED, self._owed_is_free())
            now = self._clock()
            away = sa.case((owed.c.due < now - UNTRIED, now - owed.c.due), else_=0.0)
            values = {"claim": uuid.uuid4().hex, "holder": holder, "due": now + hand, "since": owed.c.since + away}
            taken = sa.update(owed).where(free).values(tries=owed.c.tries + 1, **values)
            if connection.execute(taken).rowcount != 1:
                return None
            return plain(connection.execute(sa.select(owed).where(owed.c.key == key)).mappings().one())

    def settle_owed(self, key: str, claim: str, **values: Any) -> None:
        """Record how an attempt ended (``state``, ``answer``, ``due``, ``error``); later if that cannot be written now.
        Does nothing when another has taken it over."""
        mine = sa.update(owed).where(owed.c.key == key, owed.c.claim == claim)
        self._database.deferred.write(mine.values(claim=None, holder=None, **values), key)

    def owe_again(self, key: str | None = None, kind: str | None = None) -> list[str]:
        """Make failed work owed again: one thing, all of a kind, or all; returns its keys."""
        conditions = {owed.c.key: key, owed.c.kind: kind}
        wanted = [column == value for column, value in conditions.items() if value is not None]
        with self._database.write() as connection:
            given_up = sa.select(owed.c.key).where(owed.c.state == FAILED, *wanted).order_by(owed.c.since)
            keys = list(connection.execute(given_up.with_for_update()).scalars())
            now = self._clock()
            again = sa.update(owed).where(owed.c.state == FAILED, *wanted)
            connection.execute(again.values(state=OWED, due=now, since=now, tries=0))
            return keys

    def _owed_is_free(self) -> sa.ColumnElement[bool]:
        now = self._clock()
        waits = sa.and_(owed.c.holder.is_(None), due(owed.c.due, now, LONGEST_WAIT_S))
        return sa.or_(waits, self._left(owed.c.holder, owed.c.due, now))

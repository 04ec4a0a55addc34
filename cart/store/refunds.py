"""Refunds in progress: each is recorded before it is requested, and the order shows its outcome."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cart.rules.order import Order, Return
from cart.rules.payments import OrderRefund
from cart.rules.refunds import ASKED, DONE, FAILED
from cart.store.orders import Orders
from cart.store.tables import LONGEST_LOOK_S, Store, refunds
from chassis.db.claims import RELEASED, ClaimLost, Claims
from chassis.db.engine import Database, once_more, plain
from contracts.currencies import charge_step
from contracts.errors import Conflict, InvalidRequest, NotFound, Refused


class RefundRows(Store):
    """The refunds, in SQL.

    Args:
        orders: an order shows the outcome of its refunds.
    """

    def __init__(self, database: Database, clock: Callable[[], float], orders: Orders) -> None:
        super().__init__(database, clock)
        self._claims = Claims(database, refunds)
        self._orders = orders

    @once_more
    def ask(self, order_id: str, amount: int | None, key: str, until: float) -> tuple[dict[str, Any], bool]:
        """Record a refund, once per `key`, and claim it until `until` (Unix seconds).

        Args:
            amount: in the currency's smallest unit; None for all that is left.

        Returns the row, and whether this call wrote and claimed it.

        Raises NotFound, InvalidRequest (no amount, or more than is left), Conflict (not paid, or nothing left),
        Refused (the key was used for another order).
        """
        claim = self._claims.new(until)
        with self._database.write() as connection:
            order = self._orders.locked(order_id)
            row = connection.execute(sa.select(refunds).where(refunds.c.key == key)).mappings().first()
            if row is not None:
                if row["order_id"] != order_id:
                    raise Refused("This key was used to refund another order.")
                return plain(row), False
            left = self._left(connection, order)
            wanted = checked_amount(order, amount, left)
            now = self._clock()
            new = {
                "id": f"rf_{_digest(key)}",
                "order_id": order_id,
                "key": key,
                "payment": order.payment,
                "amount": wanted,
                "state": ASKED,
                **claim,
                "looks": 0,
                "spent": 0,
                "rest": amount is None,
                "began": now,
            }
            connection.execute(sa.insert(refunds).values(**new))
            return {**new, "provider_id": None, "ended": None, "error": None, "pending": None, "repeats": None}, True

    def left(self, order: Order) -> int:
        """How much of an order can still be refunded, in the currency's smallest unit."""
        with self._database.read() as connection:
            return self._left(connection, order)

    def get(self, refund_id: str) -> dict[str, Any]:
        """One refund. Raises NotFound."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(refunds).where(refunds.c.id == refund_id)).mappings().first()
            if row is None:
                raise NotFound(f"There is no refund {refund_id}.")
            return plain(row)

    def of_order(self, order_id: str) -> list[dict[str, Any]]:
        """The refunds of an order, oldest first, failed ones included."""
        query = sa.select(refunds).where(refunds.c.order_id == order_id).order_by(refunds.c.began, refunds.c.id)
        with self._database.read() as connection:
            return [plain(row) for row in connection.execute(query).mappings()]

    def known(self, provider_ids: Sequence[str]) -> dict[str, tuple[bool, bool]]:
        """The provider's refunds that are recorded here: whether each counts as refunded, and whether it is pending."""
        query = sa.select(refunds.c.provider_id, refunds.c.state, refunds.c.pending)
        with self._database.read() as connection:
            rows = connection.execute(query.where(refunds.c.provider_id.in_(provider_ids)))
            return {row.provider_id: (row.state == DONE, bool(row.pending)) for row in rows}

    def pending_payments(self) -> set[str]:
        """The payments that have a pending refund."""
        query = sa.select(refunds.c.payment).where(refunds.c.state == DONE, refunds.c.pending.is_(True))
        with self._database.read() as connection:
            return set(connection.execute(query).scalars())

    def claim(self, refund_id: str, until: float, hurry: bool = True) -> dict[str, Any] | None:
        """Claim a refund that is not complete until `until`; None when it has ended, or another has claimed it.

        Args:
            hurry: False to leave a released one alone until its time.
        """
        claims, now = self._claims, self._clock()
        free = claims.is_void(now) if hurry else claims.is_ready(now, LONGEST_LOOK_S)
        claim = claims.new(until)
        with self._database.write() as connection:
            return claims.take(connection, refund_id, claim, sa.and_(refunds.c.state == ASKED, free))

    def let_go(self, row: dict[str, Any], due_at: float) -> None:
        """Release a refund for anyone to resume; the completer does so at `due_at` (Unix seconds). If the database is
        away, the release is written once it is back. Raises ClaimLost."""
        if not self._claims.release(row["id"], row["claim"], due_at=due_at, looks=row["looks"] + 1):
            raise ClaimLost(row["id"])

    def spend_key(self, row: dict[str, Any]) -> None:
        """The provider would repeat its last answer under this key: use another one from now on. Raises ClaimLost."""
        self._settle(row, spent=row["spent"] + 1)

    def lower(self, row: dict[str, Any]) -> bool:
        """The provider refuses a refund of the rest as too large: request what is left now, under another key.

        Returns False, with nothing written, when it is not a refund of the rest, or what is left is 0 or not less.
        Raises ClaimLost.
        """
        with self._database.write() as connection:
            left = self._left(connection, self._orders.locked(row["order_id"])) + row["amount"]
            if not row["rest"] or not 0 < left < row["amount"]:
                return False
            values = {"amount": left, "spent": row["spent"] + 1}
            self._settle(row, **values)
        row.update(values)
        return True

    def fail(self, row: dict[str, Any], error: str) -> None:
        """The provider will never make this refund. Raises ClaimLost."""
        self._settle(row, **RELEASED, state=FAILED, ended=self._clock(), error=error)

    def record(self, order: Order, reported: Sequence[OrderRefund]) -> list[OrderRefund]:
        """Record the provider's state of some or all refunds of a locked order, including those made elsewhere.

        Part of the transaction that stores the order, which is `once_more`. Returns those that have failed since the
        last time.
        """
        with self._database.write() as connection:
            failed = [refund for refund in reported if self._take_in(connection, order, refund) and refund.failed]
        done = [row for row in reversed(self.of_order(order.id)) if row["state"] == DONE]
        returns = [
            Return(row["id"], row["amount"], int(row["began"]), row["provider_id"], bool(row["pending"]))
            for row in done
        ]
        order.give_back(returns, int(self._clock()))
        return failed

    def repeat(self, row: dict[str, Any]) -> None:
        """Record that a refund which has failed is to be made again, once: the completer does so.

        Part of the transaction that records the failure, which is `once_more`.
        """
        key, now = f"{row['id']}:again", self._clock()
        same = {name: row[name] for name in ("order_id", "payment", "amount")}
        new = {
            "id": f"rf_{_digest(key)}",
            "key": key,
            "state": ASKED,
            "repeats": row["id"],
            "began": now,
            "due_at": now,
        }
        with self._database.write() as connection:
            if connection.execute(sa.select(refunds.c.id).where(refunds.c.key == key)).first() is None:
                connection.execute(sa.insert(refunds).values(**same, **new, **RELEASED, looks=0, spent=0, rest=False))

    def stalled(self, limit: int = 20) -> list[str]:
        """Refunds whose work was abandoned, and those that are due to be checked again."""
        with self._database.read() as connection:
            ready = self._claims.is_ready(self._clock(), LONGEST_LOOK_S)
            query = sa.select(refunds.c.id).where(refunds.c.state == ASKED, ready)
            return list(connection.execute(query.order_by(refunds.c.due_at).limit(limit)).scalars())

    def _take_in(self, connection: Connection, order: Order, refund: OrderRefund) -> bool:
        """Record the provider's state of one refund; returns whether it is news."""
        # A second refund that names a row is one of its own, as if it had been made elsewhere.
        named = sa.and_(refunds.c.id == (refund.refund_id or ""), refunds.c.provider_id.is_(None))
        ours = sa.or_(refunds.c.provider_id == refund.id, named)
        now = self._clock()
        state = {"state": FAILED if refund.failed else DONE, "pending": refund.pending}
        values: dict[str, Any] = {**state, "provider_id": refund.id, "ended": now, "error": refund.error, **RELEASED}
        known = connection.execute(sa.select(refunds).where(ours)).first()
        if known is None:
            values.update(id=f"rf_{_digest(refund.id)}", order_id=order.id, key=refund.id, payment=order.payment)
            values.update(amount=refund.amount, due_at=now, looks=0, began=refund.created)
            connection.execute(sa.insert(refunds).values(**values))
        elif (known.state, bool(known.pending)) != (state["state"], refund.pending):
            connection.execute(sa.update(refunds).where(refunds.c.id == known.id).values(**values))
        else:
            return False
        return True

    def _left(self, connection: Connection, order: Order) -> int:
        query = sa.select(sa.func.coalesce(sa.func.sum(refunds.c.amount), 0))
        gone = query.where(refunds.c.order_id == order.id, refunds.c.state.in_([ASKED, DONE]))
        return order.amount - order.amount_lost - int(connection.execute(gone).scalar_one())

    def _settle(self, row: dict[str, Any], **values: Any) -> None:
        with self._database.write() as connection:
            if connection.execute(self._claims.update(row["id"], row["claim"]).values(**values)).rowcount != 1:
                raise ClaimLost(row["id"])


def checked_amount(order: Order, amount: int | None, left: int) -> int:
    """The amount to refund of an order of which `left` remains. Raises as `RefundRows.ask` does."""
    if not order.settled:
        raise Conflict(f"Order {order.id} is {order.public_status}: there is no money to give back.")
    if not order.amount:
        raise Conflict(f"Order {order.id} has cost nothing: there is no money to give back.")
    if order.dispute is not None and order.dispute.blocks_refunds and not order.amount_lost:
        what = f"Order {order.id} is disputed ({order.dispute.id}), and the bank has withdrawn the money"
        raise Conflict(f"{what}: nothing can be given back before it decides.")
    if left <= 0 and order.amount_lost:
        raise Conflict(f"The bank has given back order {order.id} by a dispute: nothing is left to give back.")
    if left <= 0:
        raise Conflict(f"All of order {order.id} is given back already, or on its way.")
    if amount is not None and order.amount_lost and left < amount <= left + order.amount_lost:
        why = f"the bank has given back {order.amount_lost} by a dispute"
        raise Conflict(f"Only {left} of order {order.id} is left to give back: {why}.")
    wanted = left if amount is None else amount
    if isinstance(wanted, bool) or not isinstance(wanted, int) or not 1 <= wanted <= left:
        message = f"must be a whole number from 1 to {left}, what is left of the order"
        raise InvalidRequest(f"{amount} cannot be given back of order {order.id}.", {"errors": {"amount": [message]}})
    step = charge_step(order.currency)
    if amount is not None and wanted % step:
        message = f"must be a multiple of {step} in {order.currency}"
        raise InvalidRequest(f"{amount} cannot be given back of order {order.id}.", {"errors": {"amount": [message]}})
    return wanted


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]

"""The orders, and the claims on them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from cart.rules.dispute import Dispute
from cart.rules.order import (
    AT_WORK,
    CANCELED,
    CANCELING,
    CONFIRMING,
    CREATED,
    PAID,
    PAYING,
    PROCESSING,
    PUBLIC,
    RETURNED,
    Order,
    OrderTax,
)
from cart.rules.order_token import new_token, opens
from cart.rules.public_order import parse, render
from cart.store.card_attempts import CardAttempts
from cart.store.email_key import email_key
from cart.store.journal import Journal
from cart.store.tables import LONGEST_LOOK_S, LONGEST_PROCESSING_LOOK_S, Store, orders
from chassis.cursors import Cursor, place
from chassis.db.claims import RELEASED, ClaimLost, Claims
from chassis.db.engine import Database, once_more
from chassis.records import Unreadable, read_each
from contracts.errors import Conflict, InvalidRequest, NotFound

# How long a repeated checkout returns an unpaid order (seconds): its shipping rates are then as old. Shippo sells a
# label at a rate for 7 days, and the order may be paid some time later.
REUSED_FOR_S = 24 * 3600.0
# Pause before an unreadable order is checked again (seconds): the longest legal wait, since a time further ahead counts
# as due.
PUT_OFF_S = LONGEST_LOOK_S
# How many orders receive their key in one transaction, which takes a few milliseconds.
FILLED_AT_ONCE = 100

# The sort order of the list of orders, and its name in cursors.
NEWEST = "-created"
_newest = sa.tuple_(orders.c.created, orders.c.id)

# What a row has in addition to the order's document. The token is not part of it: a claim holder writes its order back
# later, and would undo a revocation.
_STATE = (
    *("cart_id", "status", "attempt", "payment", "stock_key", "card", "waits_for", "discount", "redirects"),
    *("claim", "holder", "claimed_until", "due_at", "looks"),
)


class Orders(Store):
    """The orders, in SQL.

    Args:
        journal, attempts: written in the transaction of a claim.
    """

    def __init__(
        self, database: Database, clock: Callable[[], float], journal: Journal, attempts: CardAttempts
    ) -> None:
        super().__init__(database, clock)
        self._claims = Claims(database, orders)
        self._journal = journal
        self._attempts = attempts

    def placed(self, key: str) -> Order | None:
        """The order that was placed under `key`, if any."""
        return self._first(orders.c.key == key)

    def unpaid(self, cart_id: str, digest: str) -> Order | None:
        """The unpaid order that an identical checkout of this cart recently placed, if any."""
        fresh = orders.c.created > self._clock() - REUSED_FOR_S
        # This includes an order that is being paid: otherwise the second order could be paid as well.
        unpaid = orders.c.status.in_((CREATED, PAYING, CONFIRMING))
        return self._first(orders.c.cart_id == cart_id, orders.c.digest == digest, unpaid, fresh)

    @once_more
    def place(self, order: Order, key: str, digest: str | None = None) -> Order:
        """Store a new order, once per `key`; returns the order stored under it.

        Args:
            digest: of the order's input. While an order of this cart with the same digest is unpaid, it is returned
                instead: two simultaneous checkouts make one order.
        """
        with self._database.write() as connection:
            before = self.placed(key)
            if before is None and digest is not None:
                self.lock(f"checkout:{order.cart_id}")
                before = self.unpaid(order.cart_id, digest)
            if before is None:
                order.token = new_token()
                new = {
                    **{"key": key, "created": self._clock(), "digest": digest, "token": order.token},
                    **_row(order),
                }
                connection.execute(sa.insert(orders).values(**new))
            return before or order

    def get(self, order_id: str, cart_id: str | None = None, token: str | None = None) -> Order:
        """One order; only for that cart or for the bearer of its token, unless both are None. Raises NotFound."""
        with self._database.read() as connection:
            row = _found(connection, order_id, cart_id if token is None else None)
        if token is not None and row["cart_id"] != cart_id and not opens(token, row["token"]):
            raise _missing(order_id)
        return read_order(row)

    def locked(self, order_id: str, cart_id: str | None = None) -> Order:
        """One order, which until the end of the transaction nobody else changes. Raises NotFound."""
        with self._database.write() as connection:
            return read_order(_found(connection, order_id, cart_id, lock=True))

    def save(self, order: Order) -> None:
        """Store an order that this transaction has locked."""
        with self._database.write() as connection:
            connection.execute(sa.update(orders).where(orders.c.id == order.id).values(**_row(order)))

    def of_payment(self, payment_id: str) -> Order | None:
        """The order that a payment is for; None when it belongs to no order (any more)."""
        return self._first(orders.c.payment == payment_id)

    def may_see_shipment(
        self, shipment_id: str, cart_id: str | None, token: str | None = None, of_no_order: bool = False
    ) -> bool:
        """Whether a shipment is for an order of that cart, or for the order of that token.

        Args:
            of_no_order: the answer for a shipment that is for no order.
        """
        with self._database.read() as connection:
            owner = sa.select(orders.c.cart_id, orders.c.token).where(orders.c.shipment == shipment_id)
            row = connection.execute(owner).first()
        if row is None:
            return of_no_order
        return row.cart_id == cart_id or (token is not None and opens(token, row.token))

    def issue_tokens(self, shown: Sequence[Order]) -> None:
        """Give a token to those of the orders that have none: an earlier release placed them."""
        for order in shown:
            if order.token is None:
                this = orders.c.id == order.id
                with self._database.write() as connection:
                    missing = sa.update(orders).where(this, orders.c.token.is_(None))
                    connection.execute(missing.values(token=new_token()))
                    order.token = connection.execute(sa.select(orders.c.token).where(this)).scalar_one()

    def revoke_token(self, order_id: str) -> Order:
        """Replace an order's token by a new one; returns the order. Raises NotFound."""
        with self._database.write() as connection:
            order = self.locked(order_id)
            order.token = new_token()
            connection.execute(sa.update(orders).where(orders.c.id == order_id).values(token=order.token))
            return order

    def settled_with(self, shipments: Collection[str]) -> list[Order]:
        """The paid and returned orders of some shipments, locked, in the sequence of their ids."""
        here = orders.c.shipment.in_(sorted(set(shipments)))
        query = sa.select(orders).where(here, orders.c.status.in_((PAID, RETURNED)))
        with self._database.write() as connection:
            rows = connection.execute(query.order_by(orders.c.id).with_for_update()).mappings().all()
        return read_each("order", rows, read_order)[0]

    def page(
        self, status: str | None, email: str | None, limit: int, starting_after: str | None
    ) -> tuple[list[Order], str | None, int]:
        """A page of orders, newest first: the orders, the cursor of the next page or None, and the total number.

        Raises InvalidRequest when `starting_after` is neither a cursor nor an order.
        """
        place_after = place(starting_after, NEWEST, float)
        wanted: list[sa.ColumnElement[bool]] = []
        if status is not None:
            hidden = [inner for inner, public in PUBLIC.items() if public == status]
            wanted.append(orders.c.status.in_([status, *hidden]))
        if email is not None:
            unkeyed = sa.and_(orders.c.email_key.is_(None), orders.c.email == email)
            wanted.append(sa.or_(orders.c.email_key == email_key(email), unkeyed))
        with self._database.read() as connection:
            total = connection.execute(sa.select(sa.func.count()).select_from(orders).where(*wanted)).scalar_one()
            after = []
            if isinstance(place_after, Cursor):
                if place_after.key is None:
                    message = "is no cursor of this list"
                    raise InvalidRequest("The list cannot start there.", {"errors": {"starting_after": [message]}})
                after = [_newest < sa.tuple_(sa.literal(place_after.key), place_after.id)]
            elif starting_after is not None:
                last = connection.execute(sa.select(orders.c.created).where(orders.c.id == starting_after)).scalar()
                if last is None:
                    raise InvalidRequest(
                        "There is no such order to start after.",
                        {"errors": {"starting_after": [f"no such order: {starting_after}"]}},
                    )
                after = [_newest < sa.tuple_(sa.literal(last), starting_after)]
            query = sa.select(orders).where(*wanted, *after)
            query = query.order_by(orders.c.created.desc(), orders.c.id.desc()).limit(limit + 1)
            rows = connection.execute(query).mappings().all()
        following = None
        if len(rows) > limit:
            following = Cursor(NEWEST, rows[limit - 1]["created"], rows[limit - 1]["id"]).text()
        return read_each("order", rows[:limit], read_order)[0], following, total

    @once_more
    def update(
        self, order_id: str, cart_id: str | None, change: Callable[[Order], Any], key: str | None = None
    ) -> Order:
        """Read an order, change it with `change(order)`, once per `key`, and store it; returns the order. An error of
        `change` rolls everything back."""
        with self._database.write():
            order = self.locked(order_id, cart_id)
            if self.first_time(key):
                change(order)
                self.save(order)
            return order

    # Claims

    def claim(
        self,
        order_id: str,
        cart_id: str | None,
        until: float,
        to: str = PAYING,
        fresh: bool = True,
        hurry: bool = True,
        payer: str | None = None,
    ) -> Order | None:
        """Claim an order until `until` (Unix seconds), for paying or for canceling; None when that is not possible now.

        An unclaimed order moves to `to`; paying begins a new attempt. An order whose claim is void, because it ran out
        or its holder has died, is claimed in its current state, to be resumed. None for an order that is paid or
        claimed, that is being canceled when it should be paid, or that is already canceled when it should be canceled.

        Args:
            fresh: False to resume unfinished work only, and begin nothing.
            hurry: False to leave a released order alone until its time.
            payer: whose new attempt it is; None, without a limit, when no shopper requested it.

        Raises NotFound, Conflict (the order is canceled, or a bank settles its payment, which cannot be canceled),
        TooManyRequests (see `CardAttempts.begin`), Unavailable.
        """
        claim = self._claims.new(until)
        with self._database.write() as connection:
            now = self._clock()
            void = self._claims.is_void(now)
            row = _found(connection, order_id, cart_id, lock=True, also=[void.label("void")])
            order = read_order(row)
            busy = order.status in AT_WORK and not row["void"]
            longest = LONGEST_PROCESSING_LOOK_S if order.waits_for == PROCESSING else LONGEST_LOOK_S
            waiting = now < order.due_at <= now + longest and not hurry
            ended = order.settled or (order.status == CANCELED and to == CANCELING)
            nothing_left = not fresh and order.status in (CREATED, CANCELED)
            if ended or nothing_left or busy or waiting or (order.status == CANCELING and to == PAYING):
                return None
            if order.processing and to == CANCELING:
                raise Conflict(f"A bank is processing the payment of order {order_id}; it cannot be canceled now.")
            if order.status not in AT_WORK:
                if order.status == CREATED and to == PAYING:
                    order.attempt += 1
                    order.waits_for = order.failure = None
                    self._attempts.begin(order, payer)
                order.become(to, int(now))
            order = replace(order, **claim)
            self.save(order)
            self._journal.note(order, "claim" if to == PAYING else "cancel", {"holder": order.holder})
            return order

    def keep(self, order: Order, until: float | None = None, outcome: dict[str, Any] | None = None) -> None:
        """Store the claim holder's changes to its order.

        Args:
            until: prolongs the claim (Unix seconds).
            outcome: how every open step has ended.

        Raises ClaimLost when another has taken it over meanwhile: the caller's transaction must write nothing then.
        """
        if until is not None:
            order.claimed_until = until
        ends = order.status not in AT_WORK
        if ends:
            order.looks = 0
        with self._database.write() as connection:
            values = {**_row(order), **(RELEASED if ends else {})}
            if connection.execute(self._claims.update(order.id, order.claim).values(**values)).rowcount != 1:
                raise ClaimLost(order.id)
            if outcome is not None:
                self._journal.end(order, outcome)
            if ends:
                self._database.after_commit(lambda: _release(order))

    def let_go(self, order: Order, due_at: float) -> None:
        """Release an order as it is stored, for anyone to resume; the completer does so at `due_at` (Unix seconds).

        If the database is away, the release is written once it is back. Raises ClaimLost.
        """
        if order.claim is None:
            raise ClaimLost(order.id)
        if not self._claims.release(order.id, order.claim, due_at=due_at, looks=order.looks + 1):
            raise ClaimLost(order.id)
        _release(order)

    def stalled(self, limit: int = 20) -> list[str]:
        """Orders whose work was abandoned, and those that are due to be checked again."""
        query = sa.select(orders.c.id).where(self._is_stalled(self._clock())).order_by(orders.c.due_at).limit(limit)
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())

    def put_off(self, order_id: str) -> None:
        """Check an unreadable order again in `PUT_OFF_S` seconds, so that it does not block others."""
        now = self._clock()
        with self._database.write() as connection:
            this = sa.update(orders).where(orders.c.id == order_id, self._is_stalled(now))
            connection.execute(this.values(**RELEASED, due_at=now + PUT_OFF_S))

    def fill_email_keys(self) -> int:
        """Set the key of some orders that older code wrote; returns how many.

        Fewer than `FILLED_AT_ONCE` when there are no more. A locked order is left for the next time, so that nothing
        waits.
        """
        with self._database.write() as connection:
            unkeyed = sa.select(orders.c.id, orders.c.email).where(orders.c.email_key.is_(None)).limit(FILLED_AT_ONCE)
            rows = connection.execute(unkeyed.with_for_update(skip_locked=True)).all()
            for row in rows:
                here = sa.update(orders).where(orders.c.id == row.id)
                connection.execute(here.values(email_key=email_key(row.email)))
            return len(rows)

    def begin_step(self, order: Order, step: str, until: float) -> None:
        """Record that a step begins, and hold the claim until `until` (Unix seconds). Raises ClaimLost."""
        with self._database.write():
            self.keep(order, until)
            self._journal.begin(order, step)

    def _is_stalled(self, now: float) -> sa.ColumnElement[bool]:
        waiting = orders.c.status.in_([*AT_WORK, CONFIRMING])
        longest = sa.case((orders.c.waits_for == PROCESSING, LONGEST_PROCESSING_LOOK_S), else_=LONGEST_LOOK_S)
        return sa.and_(waiting, self._claims.is_ready(now, longest))

    def _first(self, *wanted: sa.ColumnElement[bool]) -> Order | None:
        query = sa.select(orders).where(*wanted).order_by(orders.c.created.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else read_order(row)


def read_order(row: RowMapping) -> Order:
    """The order in a row. Raises Unreadable."""
    try:
        tax = None if row["tax"] is None else OrderTax(**row["tax"])
        order = parse(row["document"], token=row["token"], tax=tax, **{name: row[name] for name in _STATE})
        if row["amount_lost"] is not None:
            order.dispute = None if row["dispute"] is None else Dispute(**row["dispute"])
            order.amount_lost = row["amount_lost"]
            order.amount_returned = order.given_back or order.amount_returned
        return order
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreadable(f"the document of order {row['id']} cannot be read") from error


def _found(
    connection: Connection, order_id: str, cart_id: str | None, lock: bool = False, also: Sequence[Any] = ()
) -> RowMapping:
    query = sa.select(orders, *also).where(orders.c.id == order_id)
    if cart_id is not None:
        query = query.where(orders.c.cart_id == cart_id)
    if lock:
        query = query.with_for_update()  # on SQLite the whole file is locked already
    row = connection.execute(query).mappings().first()
    if row is None:
        raise _missing(order_id)
    return row


def _missing(order_id: str) -> NotFound:
    return NotFound(f"There is no order {order_id}.")


def _release(order: Order) -> None:
    order.claim, order.holder, order.claimed_until = None, None, 0.0


def _row(order: Order) -> dict[str, Any]:
    state = {name: getattr(order, name) for name in _STATE}
    email = order.customer.email
    document = {"document": render(order), "email": email, "email_key": email_key(email), "shipment": order.shipment}
    tax = None if order.tax is None else asdict(order.tax)
    dispute = None if order.dispute is None else asdict(order.dispute)
    lost = {"dispute": dispute, "amount_lost": order.amount_lost}
    return {"id": order.id, **state, **document, "tax": tax, **lost}

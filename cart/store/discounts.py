"""The discount codes, how often each was redeemed, and which code a cart has."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from cart.rules.discount import REMOVE_IT, Discount, Terms, folded, unknown, used_up
from cart.rules.order import CONFIRMING, PAYING, Order
from cart.store.tables import Store, cart_discounts, discounts, orders, redemptions
from chassis.clock import AHEAD_S
from chassis.cursors import Cursor, place
from chassis.db.engine import once_more
from chassis.db.upsert import insert, insert_new
from contracts.errors import Conflict, wrong_field

# The sort order of the list of codes, and its name in cursors.
NEWEST = "-created"
_newest = sa.tuple_(discounts.c.created, discounts.c.id)

_TERMS = ("code", "hundredths", "amount_off", "currency", "minimum_amount", "max_redemptions", "expires_at")


class DiscountRows(Store):
    """The codes and redemptions, in SQL. A redemption and its code's count change in one transaction."""

    def put(self, discount: Discount, read_at: float) -> None:
        """Store the provider's state of a code, but never over a later one; its redemptions stay.

        Args:
            read_at: when the provider was asked (Unix seconds).
        """
        terms = {name: getattr(discount.terms, name) for name in _TERMS}
        known = {**terms, "code_key": folded(discount.terms.code), "active": discount.active}
        known |= {"terms_id": discount.terms_id, "created": discount.created}
        values: dict[str, Any] = {**known, "read_at": read_at}
        with self._database.write() as connection:
            row = insert(connection, discounts).values(id=discount.id, redeemed=0, **values)
            if not discount.active and discount.expired(read_at):
                # The provider does not say whether an expired code was withdrawn before. Orders that were placed
                # with it in time can still be paid.
                values["active"] = discounts.c.active
            older = self._read_before(read_at)
            connection.execute(row.on_conflict_do_update(index_elements=["id"], set_=values, where=older))

    def withdraw(self, discount_id: str, read_at: float) -> None:
        """Make a code unusable, after its provider did. `read_at`: as for `put`."""
        with self._database.write() as connection:
            this = sa.update(discounts).where(discounts.c.id == discount_id)
            connection.execute(this.values(active=False, read_at=read_at))

    def withdraw_unread(self, since: float, discount_id: str | None = None) -> None:
        """Make the codes unusable, or this one, that were not read since then (Unix seconds): the provider no longer
        has them, or in a form that cannot be read."""
        older = discounts.c.read_at != since, self._read_before(since)
        gone = sa.update(discounts).where(discounts.c.active, *older)
        if discount_id is not None:
            gone = gone.where(discounts.c.id == discount_id)
        with self._database.write() as connection:
            connection.execute(gone.values(active=False, read_at=since))

    def with_terms(self, terms_id: str, limit: int) -> list[str]:
        """The ids of at most `limit` active codes that have these terms at the provider, or may have them."""
        # The release before did not store `terms_id`. The next reading of all codes does.
        may_share = sa.or_(discounts.c.terms_id == terms_id, discounts.c.terms_id.is_(None))
        query = sa.select(discounts.c.id).where(discounts.c.active, may_share).order_by(discounts.c.id).limit(limit)
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())

    def _read_before(self, read_at: float) -> sa.ColumnElement[bool]:
        """The condition that the stored state of a code is older than an answer to a request made at `read_at`."""
        # Ahead of now, not of the request: the last page of a long list comes minutes after its request.
        return sa.or_(discounts.c.read_at <= read_at, discounts.c.read_at > self._clock() + AHEAD_S)

    def find(self, code: str) -> Discount:
        """The code spelled like this that applies now, or else the newest one that did. Raises NotFound."""
        query = sa.select(discounts).where(discounts.c.code_key == folded(code))
        # An expired code can still be active, although a newer one of its name is withdrawn.
        expired = sa.func.coalesce(discounts.c.expires_at <= self._clock(), sa.false())
        applies = sa.case((discounts.c.active & ~expired, 1), else_=0)
        query = query.order_by(applies.desc(), discounts.c.created.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise unknown(code)
        return _discount(row)

    def page(self, limit: int, starting_after: str | None) -> tuple[list[Discount], str | None, int]:
        """A page of the codes, newest first: the codes, the cursor of the next page or None, and the total number.

        Raises InvalidRequest when `starting_after` is neither a cursor nor the id of a code.
        """
        after = place(starting_after, NEWEST, int)
        query = sa.select(discounts).order_by(discounts.c.created.desc(), discounts.c.id.desc()).limit(limit + 1)
        with self._database.read() as connection:
            total = connection.execute(sa.select(sa.func.count()).select_from(discounts)).scalar_one()
            if isinstance(after, Cursor):
                if after.key is None:
                    raise wrong_field("starting_after", "is no cursor of this list")
                query = query.where(_newest < sa.tuple_(sa.literal(after.key), after.id))
            elif after is not None:
                last = sa.select(discounts.c.created).where(discounts.c.id == after)
                created = connection.execute(last).scalar()
                if created is None:
                    raise wrong_field("starting_after", f"there is no discount {after}")
                query = query.where(_newest < sa.tuple_(sa.literal(created), after))
            rows = connection.execute(query).all()
        following = None
        if len(rows) > limit:
            following = Cursor(NEWEST, rows[limit - 1].created, rows[limit - 1].id).text()
        return [_discount(row) for row in rows[:limit]], following, total

    # Redemptions

    def redeem(self, order: Order) -> None:
        """Count an order's code as redeemed, once per order, and never more often than the code allows.

        Part of the transaction that checks the claim on the order. Whether the code has expired since the checkout
        makes no difference: its discount was fixed then, as the prices were. Raises Conflict when the code is used up
        or withdrawn.
        """
        with self._database.write() as connection:
            if self._count(connection, order, discounts.c.active & _free()):
                return
            row = connection.execute(sa.select(discounts).where(discounts.c.id == order.discount)).first()
            if row is not None and row.active:
                raise Conflict(f"{used_up(row.code).detail} {REMOVE_IT}")
            code = order.code or order.discount
            raise Conflict(f"The discount code {code} was withdrawn. {REMOVE_IT}")

    def count(self, order: Order) -> None:
        """Count an order's code as redeemed although it may be used up: the order is paid. Raises Conflict when the
        code is not known here."""
        with self._database.write() as connection:
            if not self._count(connection, order, sa.true()):
                raise Conflict(f"The discount code of order {order.id} is not known here.")

    def give_back(self, order_id: str) -> bool:
        """An order will not be paid after all: its code can be redeemed once more. Returns whether it was redeemed.

        Part of the transaction that opens or cancels the order.
        """
        with self._database.write() as connection:
            here = redemptions.c.order_id == order_id
            row = connection.execute(sa.select(redemptions.c.discount).where(here).with_for_update()).first()
            if row is None or connection.execute(sa.delete(redemptions).where(here)).rowcount != 1:
                return False
            this = sa.update(discounts).where(discounts.c.id == row.discount)
            connection.execute(this.values(redeemed=discounts.c.redeemed - 1))
            return True

    def redeemed_by(self, orders: Collection[str]) -> dict[str, str]:
        """The codes that these orders have redeemed: order id -> the code's id."""
        query = sa.select(redemptions.c.order_id, redemptions.c.discount)
        with self._database.read() as connection:
            rows = connection.execute(query.where(redemptions.c.order_id.in_(sorted(orders))))
            return {row.order_id: row.discount for row in rows}

    def in_payment(self, cart_id: str, discount_id: str) -> bool:
        """Whether an order of this cart that is being paid has redeemed a code."""
        paying = orders.c.status.in_((PAYING, CONFIRMING))
        query = sa.select(redemptions.c.order_id).join(orders, orders.c.id == redemptions.c.order_id)
        query = query.where(orders.c.cart_id == cart_id, paying, redemptions.c.discount == discount_id)
        with self._database.read() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def redemption_page(
        self, cursor: str | None, since: float, until: float, size: int
    ) -> tuple[list[str], str | None]:
        """The orders with a redemption made between two moments (Unix seconds), by id, and the next page's cursor."""
        wanted = [redemptions.c.at >= since, redemptions.c.at <= until]
        if cursor is not None:
            wanted.append(redemptions.c.order_id > cursor)
        query = sa.select(redemptions.c.order_id).where(*wanted).order_by(redemptions.c.order_id).limit(size + 1)
        with self._database.read() as connection:
            found = list(connection.execute(query).scalars())
        return found[:size], found[size - 1] if len(found) > size else None

    def _count(self, connection: Connection, order: Order, allowed: sa.ColumnElement[bool]) -> bool:
        """Insert the redemption and count it; False, with nothing written, when the code does not allow one more."""
        if connection.execute(sa.select(redemptions).where(redemptions.c.order_id == order.id)).first() is not None:
            return True
        # One statement compares and counts, so simultaneous payers of one code take turns at its row.
        this = sa.update(discounts).where(discounts.c.id == order.discount, allowed)
        if connection.execute(this.values(redeemed=discounts.c.redeemed + 1)).rowcount != 1:
            return False
        values = {"order_id": order.id, "discount": order.discount, "at": self._clock()}
        connection.execute(sa.insert(redemptions).values(**values))
        return True

    # Carts

    def of_cart(self, cart_id: str) -> str | None:
        """The code of a cart, as its shopper typed it."""
        with self._database.read() as connection:
            return connection.execute(sa.select(cart_discounts.c.code).where(_of(cart_id))).scalar()

    @once_more
    def apply(self, cart_id: str, code: str, key: str | None = None) -> None:
        """Give a cart this code, in place of the one that it has, once per `key`."""
        with self._database.write() as connection:
            if self.first_time(key) and not insert_new(connection, cart_discounts, {"cart_id": cart_id, "code": code}):
                connection.execute(sa.update(cart_discounts).where(_of(cart_id)).values(code=code))

    @once_more
    def remove(self, cart_id: str, key: str | None = None) -> None:
        """Remove the code of a cart, if it has one, once per `key`."""
        with self._database.write() as connection:
            if self.first_time(key):
                connection.execute(sa.delete(cart_discounts).where(_of(cart_id)))

    def bought(self, order: Order) -> None:
        """Remove the code with which an order was paid from its cart. Part of the transaction that makes it paid."""
        if order.code is None:
            return
        with self._database.write() as connection:
            same = sa.func.lower(cart_discounts.c.code) == folded(order.code)
            connection.execute(sa.delete(cart_discounts).where(_of(order.cart_id), same))


def _free() -> sa.ColumnElement[bool]:
    return sa.or_(discounts.c.max_redemptions.is_(None), discounts.c.redeemed < discounts.c.max_redemptions)


def _of(cart_id: str) -> sa.ColumnElement[bool]:
    return cart_discounts.c.cart_id == cart_id


def _discount(row: Row[Any]) -> Discount:
    terms = Terms(**{name: getattr(row, name) for name in _TERMS})
    return Discount(row.id, terms, row.active, row.created, row.redeemed, row.terms_id)

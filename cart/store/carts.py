"""The contents of the carts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cart.rules.cart import Item, check_currency, check_quantity, item, offered
from cart.rules.order import Order
from cart.store.tables import Store, additions, cart_discounts, items
from chassis.db.engine import once_more
from contracts.errors import NotFound

# Additions are remembered for longer than any message can stay in a queue, and than any key
# (`chassis.work.idempotency`).
ADDITIONS_KEPT_S = 72 * 3600.0


class Carts(Store):
    """The carts, in SQL."""

    def items(self, cart_id: str) -> list[Item]:
        """The items of a cart, in the order in which they were added."""
        with self._database.read() as connection:
            return _cart(connection, cart_id)

    def added(self, key: str) -> bool:
        """Whether the change under `key` has been made."""
        with self._database.read() as connection:
            return connection.execute(sa.select(additions.c.key).where(additions.c.key == key)).first() is not None

    @once_more
    def add(self, cart_id: str, product_id: str, offer: dict[str, Any], quantity: int, key: str) -> list[Item]:
        """Add `quantity` of an offered product to a cart, once per `key`; returns the cart.

        Raises Conflict when the sum exceeds the stock or the cart has another currency, InvalidRequest when it is more
        than a cart can hold.
        """
        now = self._clock()
        with self._database.write() as connection:
            if self.first_time(key):
                self.lock(f"cart:{cart_id}")  # an empty cart has no row to lock, and must get one currency
                others = {each["parent"]: each for each in _cart(connection, cart_id, lock=True)}
                held = others.pop(offer["sku"], None)
                total = quantity + (held["quantity"] if held else 0)
                check_quantity(total, offer)
                check_currency(others.values(), offer)
                _put(connection, cart_id, product_id, offer, total, held is None, now)
            return _cart(connection, cart_id)

    @once_more
    def set(
        self, cart_id: str, product_id: str, offer: dict[str, Any], quantity: int, key: str | None = None
    ) -> list[Item]:
        """Set the quantity of a product that is in the cart, once per `key`; returns the cart. Raises NotFound, and as
        `add` does."""
        with self._database.write() as connection:
            if self.first_time(key):
                if _held(connection, cart_id, offer["sku"]) is None:
                    raise NotFound(f"Product {product_id} is not in the cart.")
                check_quantity(quantity, offer)
                _put(connection, cart_id, product_id, offer, quantity, False, self._clock())
            return _cart(connection, cart_id)

    def skus_of(self, cart_id: str, product_id: str) -> list[str]:
        """The SKUs of a product that the cart contains."""
        query = sa.select(items.c.sku).where(_of(cart_id, items.c.product_id == product_id))
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())

    def show(self, cart_id: str, shown: Mapping[str, Mapping[str, Any]]) -> list[Item]:
        """Change how some items are shown, by SKU; returns the cart. A name that is not given stays."""
        query = sa.select(items.c.sku, items.c.shown).where(_of(cart_id))
        with self._database.read() as connection:
            known = {row.sku: row.shown or {} for row in connection.execute(query)}
        changed = {sku: {**known[sku], **shown[sku]} for sku in sorted(known.keys() & shown.keys())}
        changed = {sku: now for sku, now in changed.items() if now != known[sku]}
        if not changed:
            return self.items(cart_id)
        with self._database.write() as connection:
            for sku, now in changed.items():  # always in the same sequence, to prevent deadlocks
                connection.execute(sa.update(items).where(_of(cart_id, items.c.sku == sku)).values(shown=now))
            return _cart(connection, cart_id)

    @once_more
    def remove(self, cart_id: str, product_id: str, key: str | None = None, sku: str | None = None) -> list[Item]:
        """Remove a product, or one of its SKUs, from the cart, whether it was in it or not, once per `key`; returns the
        cart."""
        which = [items.c.product_id == product_id, *([] if sku is None else [items.c.sku == sku])]
        with self._database.write() as connection:
            if self.first_time(key):
                connection.execute(sa.delete(items).where(_of(cart_id, *which)))
            return _cart(connection, cart_id)

    @once_more
    def clear(self, cart_id: str, key: str | None = None) -> list[Item]:
        """Empty the cart, and remove its discount code, once per `key`; returns the cart."""
        with self._database.write() as connection:
            if self.first_time(key):
                connection.execute(sa.delete(items).where(_of(cart_id)))
                connection.execute(sa.delete(cart_discounts).where(cart_discounts.c.cart_id == cart_id))
            return _cart(connection, cart_id)

    def bought(self, order: Order) -> None:
        """Remove what an order has bought from the cart: of each product at most the order's quantity.

        Part of the transaction that makes the order paid.
        """
        with self._database.write() as connection:
            for sku, quantity in order.pieces.items():  # always in the same sequence, to prevent deadlocks
                held = _held(connection, order.cart_id, sku)
                here = _of(order.cart_id, items.c.sku == sku)
                if held is not None and held > quantity:
                    connection.execute(sa.update(items).where(here).values(quantity=held - quantity))
                else:
                    connection.execute(sa.delete(items).where(here))

    def forget_additions(self) -> None:
        """Delete additions that no message can repeat any more."""
        with self._database.write() as connection:
            connection.execute(sa.delete(additions).where(additions.c.added < self._clock() - ADDITIONS_KEPT_S))


def _of(cart_id: str, *more: Any) -> Any:
    return sa.and_(items.c.cart_id == cart_id, *more)


def _cart(connection: Connection, cart_id: str, lock: bool = False) -> list[Item]:
    columns = (items.c.sku, items.c.product_id, items.c.quantity, items.c.shown)
    # Rows are always locked in the same sequence, to prevent deadlocks.
    sequence = (items.c.sku,) if lock else (items.c.added, items.c.sku)
    query = sa.select(*columns).where(_of(cart_id)).order_by(*sequence)
    query = query.with_for_update() if lock else query
    return [item(row.sku, row.product_id, row.quantity, row.shown) for row in connection.execute(query)]


def _held(connection: Connection, cart_id: str, sku: str) -> int | None:
    query = sa.select(items.c.quantity).where(_of(cart_id, items.c.sku == sku)).with_for_update()
    return connection.execute(query).scalar()


def _put(
    connection: Connection, cart_id: str, product_id: str, offer: dict[str, Any], quantity: int, new: bool, now: float
) -> None:
    sku, values = offer["sku"], {"quantity": quantity, "shown": offered(offer)}
    if new:
        known = {"cart_id": cart_id, "sku": sku, "product_id": product_id, "added": now}
        connection.execute(sa.insert(items).values(**known, **values))
    else:
        connection.execute(sa.update(items).where(_of(cart_id, items.c.sku == sku)).values(**values))

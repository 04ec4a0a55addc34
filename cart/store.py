"""What the cart service keeps: carts, orders, the steps of each payment, and what is still owed to the shopper."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from cart.cart import Item, check_quantity, item
from cart.order import CONFIRMING, CREATED, PAYING, PUBLIC, Order
from chassis.database import Database, once_more
from contracts.errors import InvalidRequest, NotFound

metadata = sa.MetaData()

items = sa.Table(
    "cart_items",
    metadata,
    sa.Column("cart_id", sa.String(128), primary_key=True),
    sa.Column("sku", sa.String(255), primary_key=True),
    sa.Column("product_id", sa.String(255), nullable=False),
    sa.Column("quantity", sa.Integer, nullable=False),
    sa.Column("added", sa.Float(53), nullable=False),
)

# Which additions a cart has had already: a message that is delivered again must not add twice.
additions = sa.Table(
    "cart_additions",
    metadata,
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("added", sa.Float(53), nullable=False),
)

orders = sa.Table(
    "orders",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("key", sa.String(255), nullable=False, unique=True),
    sa.Column("cart_id", sa.String(128), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("email", sa.String(320), nullable=False),
    sa.Column("document", sa.JSON, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("payment", sa.String(255)),
    sa.Column("stock_key", sa.String(255)),
    sa.Column("card", sa.String(64)),
    sa.Column("claim", sa.String(64)),
    sa.Column("lease", sa.Float(53), nullable=False),
    sa.Column("created", sa.Float(53), nullable=False),
    sa.Index("orders_newest", "created", "id"),
    sa.Index("orders_status", "status", "lease"),
)

steps = sa.Table(
    "purchase_steps",
    metadata,
    sa.Column("order_id", sa.String(64), primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("step", sa.String(32), primary_key=True),
    sa.Column("began", sa.Float(53), nullable=False),
    sa.Column("ended", sa.Float(53)),
    sa.Column("outcome", sa.JSON),
)

owed = sa.Table(
    "owed",
    metadata,
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("order_id", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("since", sa.Float(53), nullable=False),
    sa.Column("due", sa.Float(53), nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("claim", sa.String(64)),
    sa.Column("answer", sa.JSON),
    sa.Column("error", sa.Text),
    sa.Index("owed_due", "state", "due"),
    sa.Index("owed_order", "order_id"),
)

# Additions are remembered for longer than any message can live in a queue.
ADDITIONS_KEPT = 24 * 3600.0


class ClaimLost(Exception):
    """The claim on an order ran out, and somebody else has taken the order up."""


class CartStore:
    """Carts and orders in SQL; every method is one transaction.

    Args:
        database: the cart service's own.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def database(self) -> Database:
        """The service's database, for what else is kept in it."""
        return self._database

    def ping(self) -> None:
        self._database.ping()

    # The cart

    def cart(self, cart_id: str) -> list[Item]:
        """The items of a cart, in the order in which they came in."""
        with self._database.read() as connection:
            return _cart(connection, cart_id)

    @once_more
    def add(self, cart_id: str, product_id: str, offer: dict[str, Any], quantity: int, key: str) -> list[Item]:
        """Put `quantity` more of what is offered into a cart, once per `key`; the cart.

        Raises Conflict when the sum is more than there is, InvalidRequest when it is more than a cart holds.
        """
        now = time.time()
        with self._database.write() as connection:
            known = connection.execute(sa.select(additions.c.key).where(additions.c.key == key)).first()
            if known is None:
                held = _held(connection, cart_id, offer["sku"])
                check_quantity((held or 0) + quantity, offer)
                connection.execute(sa.insert(additions).values(key=key, added=now))
                _put(connection, cart_id, product_id, offer["sku"], (held or 0) + quantity, held is None, now)
            return _cart(connection, cart_id)

    def set(self, cart_id: str, product_id: str, offer: dict[str, Any], quantity: int) -> list[Item]:
        """Make it `quantity` of a product that is in the cart; the cart. Raises NotFound, and as `add` does."""
        with self._database.write() as connection:
            if _held(connection, cart_id, offer["sku"]) is None:
                raise NotFound(f"Product {product_id} is not in the cart.")
            check_quantity(quantity, offer)
            _put(connection, cart_id, product_id, offer["sku"], quantity, False, time.time())
            return _cart(connection, cart_id)

    def holds(self, cart_id: str, product_id: str) -> bool:
        """Is any of the product in the cart?"""
        with self._database.read() as connection:
            row = connection.execute(sa.select(items.c.sku).where(_of(cart_id, items.c.product_id == product_id)))
            return row.first() is not None

    def remove(self, cart_id: str, product_id: str) -> list[Item]:
        """Take a product out of the cart, whether it was in it or not; the cart."""
        with self._database.write() as connection:
            connection.execute(sa.delete(items).where(_of(cart_id, items.c.product_id == product_id)))
            return _cart(connection, cart_id)

    def clear(self, cart_id: str) -> list[Item]:
        """Empty the cart."""
        with self._database.write() as connection:
            connection.execute(sa.delete(items).where(items.c.cart_id == cart_id))
            return []

    def forget_additions(self, now: float) -> None:
        """Forget additions that no message can repeat any more."""
        with self._database.write() as connection:
            connection.execute(sa.delete(additions).where(additions.c.added < now - ADDITIONS_KEPT))

    # Orders

    def placed(self, key: str) -> Order | None:
        """The order that was placed under `key`, if one was."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(orders).where(orders.c.key == key)).mappings().first()
            return None if row is None else _order(row)

    @once_more
    def place(self, order: Order, key: str) -> Order:
        """Keep a new order, once per `key`; the order that is kept under it."""
        with self._database.write() as connection:
            row = connection.execute(sa.select(orders).where(orders.c.key == key)).mappings().first()
            if row is not None:
                return _order(row)
            connection.execute(sa.insert(orders).values(key=key, created=time.time(), **_row(order)))
            return order

    def order(self, order_id: str, cart_id: str | None = None) -> Order:
        """One order; of that cart only, unless `cart_id` is None. Raises NotFound."""
        with self._database.read() as connection:
            return _order(_found(connection, order_id, cart_id))

    def orders(
        self, status: str | None, email: str | None, limit: int, starting_after: str | None
    ) -> tuple[list[Order], bool, int]:
        """A page of orders, newest first: the orders, whether there are more, and how many there are in all.

        Raises InvalidRequest when `starting_after` is no order.
        """
        wanted: list[sa.ColumnElement[bool]] = []
        if status is not None:
            hidden = [inner for inner, public in PUBLIC.items() if public == status]
            wanted.append(orders.c.status.in_([status, *hidden]))
        if email is not None:
            wanted.append(orders.c.email == email)
        with self._database.read() as connection:
            total = connection.execute(sa.select(sa.func.count()).select_from(orders).where(*wanted)).scalar_one()
            after = []
            if starting_after is not None:
                last = connection.execute(sa.select(orders.c.created).where(orders.c.id == starting_after)).scalar()
                if last is None:
                    raise InvalidRequest(
                        "There is no such order to start after.",
                        {"errors": {"starting_after": [f"no such order: {starting_after}"]}},
                    )
                after = [sa.tuple_(orders.c.created, orders.c.id) < sa.tuple_(sa.literal(last), starting_after)]
            query = sa.select(orders).where(*wanted, *after)
            query = query.order_by(orders.c.created.desc(), orders.c.id.desc()).limit(limit + 1)
            rows = connection.execute(query).mappings().all()
        return [_order(row) for row in rows[:limit]], len(rows) > limit, total

    def update(self, order_id: str, cart_id: str | None, change: Any) -> Order:
        """Read an order, let `change(order)` alter it, keep it; the order. What `change` raises undoes everything."""
        with self._database.write() as connection:
            order = _order(_found(connection, order_id, cart_id, lock=True))
            change(order)
            connection.execute(sa.update(orders).where(orders.c.id == order.id).values(**_row(order)))
            return order

    # Payments: who is at work, and which steps were taken

    def claim(self, order_id: str, cart_id: str | None, token: str, lease: float, now: float) -> Order | None:
        """Claim an order for paying until `lease`; None when somebody else holds it, or has just paid it.

        An order whose claim has run out is claimed as it stands, in its attempt, to be resumed.
        """
        with self._database.write() as connection:
            order = _order(_found(connection, order_id, cart_id, lock=True))
            if order.settled or (order.status == PAYING and order.lease > now):
                return None
            if order.status != PAYING:
                fresh = order.status == CREATED
                order.become(PAYING, int(now))
                order.attempt += 1 if fresh else 0
            order.claim, order.lease = token, lease
            connection.execute(sa.update(orders).where(orders.c.id == order.id).values(**_row(order)))
            return order

    def keep(self, order: Order, lease: float | None = None, also: Any = None) -> None:
        """Keep what the holder of the claim has done to its order, and whatever `also(connection)` writes with it.

        Raises ClaimLost when it has been taken over meanwhile: nothing is written then.
        """
        if lease is not None:
            order.lease = lease
        with self._database.write() as connection:
            held = sa.and_(orders.c.id == order.id, orders.c.claim == order.claim)
            values = _row(order)
            if order.status != PAYING:
                values["claim"] = None
            if connection.execute(sa.update(orders).where(held).values(**values)).rowcount != 1:
                raise ClaimLost(order.id)
            if also is not None:
                also(connection)
        if order.status != PAYING:
            order.claim = None

    def begin_step(self, order: Order, step: str, lease: float) -> None:
        """Note that a step begins, and hold the claim until `lease`.

        Raises ClaimLost.
        """

        def note(connection: Connection) -> None:
            if connection.execute(sa.select(steps.c.step).where(_step(order, step))).first() is None:
                values = {"order_id": order.id, "attempt": order.attempt, "step": step, "began": time.time()}
                connection.execute(sa.insert(steps).values(**values))

        self.keep(order, lease, also=note)

    def end_step(self, order: Order, step: str, outcome: dict[str, Any]) -> None:
        """Note how a step ended, with the order as it now stands. Raises ClaimLost."""

        def note(connection: Connection) -> None:
            connection.execute(sa.update(steps).where(_step(order, step)).values(ended=time.time(), outcome=outcome))

        self.keep(order, also=note)

    def steps(self, order_id: str) -> list[dict[str, Any]]:
        """Every step ever taken to pay an order, oldest first: what an operator reads."""
        with self._database.read() as connection:
            query = sa.select(steps).where(steps.c.order_id == order_id).order_by(steps.c.began)
            return [_plain(row) for row in connection.execute(query).mappings()]

    def stalled(self, now: float, limit: int = 20) -> list[str]:
        """Orders whose payment nobody is at work on any more, and those that wait for a bank's answer."""
        with self._database.read() as connection:
            waiting = sa.and_(orders.c.status.in_([PAYING, CONFIRMING]), orders.c.lease <= now)
            query = sa.select(orders.c.id).where(waiting).order_by(orders.c.lease).limit(limit)
            return list(connection.execute(query).scalars())

    # What is owed

    def owe(self, connection: Connection, order_id: str, kind: str, key: str, due: float) -> None:
        """Note that something is owed for an order; part of the transaction that makes it so. Once per `key`."""
        if connection.execute(sa.select(owed.c.key).where(owed.c.key == key)).first() is None:
            now = time.time()
            values = {"key": key, "order_id": order_id, "kind": kind, "state": "owed", "since": now, "due": due}
            connection.execute(sa.insert(owed).values(tries=0, **values))

    def bought(self, connection: Connection, order: Order) -> None:
        """Take out of the cart what an order has bought: never more than the order had of each."""
        for line in sorted(order.stock, key=lambda line: str(line["parent"])):  # one order, so that no two deadlock
            held = _held(connection, order.cart_id, line["parent"])
            here = sa.and_(items.c.cart_id == order.cart_id, items.c.sku == line["parent"])
            if held is not None and held > line["quantity"]:
                connection.execute(sa.update(items).where(here).values(quantity=held - line["quantity"]))
            else:
                connection.execute(sa.delete(items).where(here))

    def owed(
        self, order_id: str | None = None, state: str | None = None, limit: int = 100, key: str | None = None
    ) -> list[dict[str, Any]]:
        """What is or was owed, oldest first, of one order, in one state (``owed``, ``done``, ``failed``), or by key."""
        conditions = {owed.c.order_id: order_id, owed.c.state: state, owed.c.key: key}
        wanted = [column == value for column, value in conditions.items() if value is not None]
        with self._database.read() as connection:
            query = sa.select(owed).where(*wanted).order_by(owed.c.since, owed.c.key).limit(limit)
            return [_plain(row) for row in connection.execute(query).mappings()]

    def due(self, now: float, limit: int = 20) -> list[str]:
        """The keys of what is owed and due."""
        with self._database.read() as connection:
            query = sa.select(owed.c.key).where(owed.c.state == "owed", owed.c.due <= now)
            return list(connection.execute(query.order_by(owed.c.due).limit(limit)).scalars())

    def claim_owed(self, key: str, token: str, until: float, now: float) -> dict[str, Any] | None:
        """Take one owed thing in hand until `until`; None when it is done, or in another's hand."""
        with self._database.write() as connection:
            free = sa.and_(owed.c.key == key, owed.c.state == "owed", owed.c.due <= now)
            taken = sa.update(owed).where(free).values(claim=token, due=until, tries=owed.c.tries + 1)
            if connection.execute(taken).rowcount != 1:
                return None
            return _plain(connection.execute(sa.select(owed).where(owed.c.key == key)).mappings().one())

    def settle_owed(self, key: str, token: str, **values: Any) -> None:
        """Note how an attempt ended (``state``, ``answer``, ``due``, ``error``). Nothing when it was taken over."""
        with self._database.write() as connection:
            mine = sa.update(owed).where(owed.c.key == key, owed.c.claim == token)
            connection.execute(mine.values(claim=None, **values))

    def owe_again(self, key: str) -> bool:
        """Put what was given up back among what is owed; whether there was such a thing."""
        with self._database.write() as connection:
            again = sa.update(owed).where(owed.c.key == key, owed.c.state == "failed")
            now = time.time()
            return connection.execute(again.values(state="owed", due=now, since=now, tries=0)).rowcount == 1


def _plain(row: RowMapping) -> dict[str, Any]:
    # SQLAlchemy names columns by a str of its own, which the JSON of the wire does not take for a key.
    return {str(name): value for name, value in row.items()}


def _of(cart_id: str, *more: Any) -> Any:
    return sa.and_(items.c.cart_id == cart_id, *more)


def _cart(connection: Connection, cart_id: str) -> list[Item]:
    query = sa.select(items.c.sku, items.c.quantity).where(_of(cart_id)).order_by(items.c.added, items.c.sku)
    return [item(row.sku, row.quantity) for row in connection.execute(query)]


def _held(connection: Connection, cart_id: str, sku: str) -> int | None:
    query = sa.select(items.c.quantity).where(_of(cart_id, items.c.sku == sku)).with_for_update()
    return connection.execute(query).scalar()


def _put(connection: Connection, cart_id: str, product_id: str, sku: str, quantity: int, new: bool, now: float) -> None:
    if new:
        values = {"cart_id": cart_id, "sku": sku, "product_id": product_id, "quantity": quantity, "added": now}
        connection.execute(sa.insert(items).values(**values))
    else:
        connection.execute(sa.update(items).where(_of(cart_id, items.c.sku == sku)).values(quantity=quantity))


def _found(connection: Connection, order_id: str, cart_id: str | None, lock: bool = False) -> RowMapping:
    query = sa.select(orders).where(orders.c.id == order_id)
    if cart_id is not None:
        query = query.where(orders.c.cart_id == cart_id)
    if lock:
        query = query.with_for_update()  # on SQLite the whole file is locked already
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFound(f"There is no order {order_id}.")
    return row


def _step(order: Order, step: str) -> Any:
    return sa.and_(steps.c.order_id == order.id, steps.c.attempt == order.attempt, steps.c.step == step)


_SAME: Sequence[str] = (
    "id",
    "cart_id",
    "status",
    "document",
    "attempt",
    "payment",
    "stock_key",
    "card",
    "claim",
    "lease",
)


def _order(row: RowMapping) -> Order:
    return Order(**{name: row[name] for name in _SAME})


def _row(order: Order) -> dict[str, Any]:
    return {**{name: getattr(order, name) for name in _SAME}, "email": order.document["email"]}

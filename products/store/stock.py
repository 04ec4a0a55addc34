"""What is left and who holds it, in SQL: taken by compare-and-set, all of an order or nothing of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from chassis.clock import now as clock_now
from chassis.db.engine import Database
from chassis.db.upsert import insert, insert_new
from contracts.errors import Conflict
from products.rules.stock import FINITE, HELD, RELEASED, Filling, Inventory, Line, Problem, gone, short, unsold
from products.store.bodies import product_of
from products.store.tables import fillings, holds, products, skus, stock

# Fillings are remembered for longer than any message can live in a queue.
FILLINGS_KEPT_S = 72 * 3600


class StockStore:
    """The shelves and the holds on them.

    Args:
        database: where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def reserve(self, key: str, lines: list[Line]) -> None:
        """Take all of `lines` off the stock for `key`, or nothing. Repeating the key changes nothing.

        Args:
            key: owner of the hold.
            lines: one per SKU, sorted by SKU (`rules.stock.lines`), so that two orders never deadlock.

        Raises Conflict when a SKU is short or not on sale (it names them all), when the key was released, or when it
        holds other items.
        """
        now = int(clock_now())
        with self.database.write() as connection:
            # Claimed first: a second message with this key waits here for the first one's end.
            row = {"key": key, "state": HELD, "lines": [], "created": now, "updated": now}
            if not insert_new(connection, holds, row):
                _same_again(connection, key, lines)
                return
            names = _names(connection, lines)
            taken = [_take(connection, line, names) for line in lines]
            problems = [each for each in taken if isinstance(each, Problem)]
            if problems:
                raise unsold(problems)  # this rolls back what was taken
            held = [{**asdict(line), "taken": pieces} for line, pieces in zip(lines, taken, strict=True)]
            connection.execute(sa.update(holds).where(holds.c.key == key).values(lines=held))

    def release(self, key: str) -> None:
        """Give back what `key` holds, once; a key that holds nothing yet never will."""
        now = int(clock_now())
        holding = (holds.c.key == key) & (holds.c.state == HELD)
        with self.database.write() as connection:
            # Twice at most: a reserve that was under way is not seen at first, but the insert waits for it, and then
            # the second look finds what it took.
            for _ in range(2):
                if connection.execute(sa.update(holds).where(holding).values(state=RELEASED, updated=now)).rowcount:
                    _give_back(connection, key)
                    return
                row = {"key": key, "state": RELEASED, "lines": [], "created": now, "updated": now}
                if insert_new(connection, holds, row):
                    return

    def forget_fillings(self) -> None:
        """Forget fillings that no message can repeat any more."""
        with self.database.write() as connection:
            connection.execute(sa.delete(fillings).where(fillings.c.made < int(clock_now()) - FILLINGS_KEPT_S))


def put_new(connection: Connection, inventories: dict[str, Inventory]) -> None:
    """Fill the shelves of new SKUs; one that has a shelf keeps what is on it."""
    rows = [{"sku": sku, **inventory.public()} for sku, inventory in sorted(inventories.items())]
    connection.execute(insert(connection, stock).on_conflict_do_nothing(), rows)


def put(connection: Connection, filling: Filling, revision: int) -> None:
    """Say what is on the shelf now, once per key; a newer statement, made since the change began, stays."""
    if insert_new(connection, fillings, {"key": filling.key, "made": int(clock_now())}):
        older = (stock.c.sku == filling.sku) & (stock.c.filled <= filling.began_at)
        connection.execute(sa.update(stock).where(older).values(filled=revision, **filling.inventory.public()))


def _same_again(connection: Connection, key: str, wanted: list[Line]) -> None:
    row = connection.execute(sa.select(holds.c.state, holds.c.lines).where(holds.c.key == key)).one()
    if row.state == RELEASED:
        raise Conflict("What this order held was given back; it takes nothing any more.")
    if [Line(line["parent"], line["quantity"]) for line in row.lines] != wanted:
        raise Conflict("This key holds other items already.")


def products_of(ids: Sequence[str]) -> sa.ColumnElement[bool]:
    """The condition for the products that have one of these SKUs, or had it."""
    first = sa.select(products.c.id).where(products.c.sku.in_(ids))
    return products.c.id.in_(first.union(sa.select(skus.c.product).where(skus.c.sku.in_(ids))))


def former_products(connection: Connection, ids: Collection[str]) -> dict[str, str]:
    """Map SKUs to the product that has them, or had them."""
    if not ids:
        return {}
    return {row.sku: row.product for row in connection.execute(sa.select(skus).where(skus.c.sku.in_(sorted(ids))))}


def _names(connection: Connection, lines: list[Line]) -> dict[str, tuple[str, bool]]:
    """SKU to the name of what it stands for and whether it is on sale, for those of `lines` that this shop knows."""
    wanted = {line.parent for line in lines}
    chosen = sa.select(products.c.removed, products.c.body).where(products_of(sorted(wanted)))
    found: dict[str, tuple[str, bool]] = {}
    names: dict[str, str] = {}
    for row in connection.execute(chosen):
        product = product_of(row.body)
        names[product.id] = product.name
        for sku in product.skus:
            if sku.id in wanted:
                found[sku.id] = (product.titled(sku), product.sells(sku) and not row.removed)
    for sku_id, product_id in former_products(connection, wanted - found.keys()).items():
        found[sku_id] = (names[product_id], False)
    return found


def _take(connection: Connection, line: Line, names: dict[str, tuple[str, bool]]) -> int | Problem:
    """Take one line off its shelf; how many pieces that took (none from a shelf that is not counted)."""
    name, on_sale = names.get(line.parent, (None, False))
    if name is None or not on_sale:
        return gone(line.parent, name)
    enough = (stock.c.sku == line.parent) & (stock.c.type == FINITE) & (stock.c.quantity >= line.quantity)
    left = stock.c.quantity - line.quantity
    if connection.execute(sa.update(stock).where(enough).values(quantity=left)).rowcount:
        return line.quantity
    row = connection.execute(sa.select(*stock.c).where(stock.c.sku == line.parent)).one()
    inventory = Inventory(row.type, row.quantity, row.value)
    # A counted shelf was too low a moment ago: if it was filled since, nothing has been taken from it all the same.
    if inventory.type == FINITE or not inventory.covers(line.quantity):
        return short(line.parent, name, line.quantity, inventory)
    return 0


def _give_back(connection: Connection, key: str) -> None:
    held = connection.execute(sa.select(holds.c.lines).where(holds.c.key == key)).scalar_one()
    for line in held:  # sorted by SKU, as they were taken
        if line["taken"]:
            counted = (stock.c.sku == line["parent"]) & (stock.c.type == FINITE)
            connection.execute(sa.update(stock).where(counted).values(quantity=stock.c.quantity + line["taken"]))

"""The projection of the catalogue in SQL: serves gets and lists without a call to Stripe."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from chassis.clock import now as clock_now
from chassis.db.claims import Claims
from chassis.db.engine import Database, once_more
from chassis.db.upsert import insert, insert_new
from chassis.deadline import bounded
from chassis.logs import log
from chassis.records import read_each
from contracts.errors import Conflict
from products.rules.catalog import Product, sort_key
from products.rules.stock import Filling, Inventory
from products.store import listing
from products.store.bodies import body_of, off_sale, product_of
from products.store.stock import StockStore, former_products, products_of, put, put_new
from products.store.tables import asides, milestones, product_metadata, product_terms, products, skus, stock

CATALOGUE_READ = "catalogue read"
# How long one change of a product's SKUs may take before another may begin (seconds): longer than any caller waits.
CLAIM_S = 60.0
# How long a change waits for another one of the same product, and how often it looks (seconds).
CLAIM_WAIT_S = 3.0
LOOK_INTERVAL_S = 0.05


@dataclass(frozen=True)
class Kept:
    """A product as stored in the projection.

    Attributes:
        product: the product.
        left: the current stock of its SKUs.
        revision: the number of the write that produced it.
        removed: True when only its tombstone is left.
    """

    product: Product
    left: dict[str, Inventory]
    revision: int
    removed: bool

    def public(self) -> dict[str, Any]:
        """Return the product in the public shape."""
        return self.product.public(self.left)


class ProductStore:
    """The products service's tables.

    Args:
        database: where they are stored.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.stock = StockStore(database)
        self._claims = Claims(database, products)

    @contextmanager
    def alone(self, product_id: str) -> Iterator[None]:
        """Change a product's SKUs, while no one else does.

        Raises Conflict, when another change of them takes too long.
        """
        claim = self._claims.new(clock_now() + CLAIM_S)
        until = time.monotonic() + bounded(CLAIM_WAIT_S)
        while not self._claimed(product_id, claim):
            if time.monotonic() > until:
                raise Conflict("The SKUs of this product are being changed by others.", {"retry_after": 1})
            time.sleep(LOOK_INTERVAL_S)
        try:
            yield
        finally:
            self._claims.release(product_id, claim["claim"])

    def _claimed(self, product_id: str, claim: dict[str, Any]) -> bool:
        with self.database.write() as connection:
            void = self._claims.is_void(clock_now())
            return self._claims.take(connection, product_id, claim, void) is not None

    def kept(self, product_id: str) -> Kept | None:
        """Return the product, or its tombstone; None when it never existed."""
        with self.database.read() as connection:
            rows = connection.execute(_SELECT.where(products.c.id == product_id)).all()
            found = [_product(row) for row in rows]
            stocks = _stocks(connection, rows, found)
        return next((_kept(row, each, stocks) for row, each in zip(rows, found, strict=True)), None)

    def by_sku(self, wanted: Collection[str]) -> dict[str, Kept]:
        """Return the products that have the SKUs of `wanted`, or had them, by SKU; without unknown ones.

        They have the stock of those SKUs only.
        """
        with self.database.read() as connection:
            rows = connection.execute(_SELECT.where(products_of(sorted(wanted)))).all()
            readable, _ = read_each("product", rows, lambda row: (row, _product(row)))
            stocks = _stocks(connection, *_split(readable), only=wanted)
            keeps = {each.id: _kept(row, each, stocks) for row, each in readable}
            found = {sku.id: kept for kept in keeps.values() for sku in kept.product.skus if sku.id in wanted}
            former = former_products(connection, set(wanted) - found.keys())
        return found | {sku: keeps[product] for sku, product in former.items() if product in keeps}

    def had(self, product_id: str, sku: str) -> bool:
        """Whether the product has the SKU, or had it."""
        with self.database.read() as connection:
            return former_products(connection, [sku]).get(sku) == product_id

    def page(
        self, category: str | None, order_by: str, limit: int, starting_after: str | None
    ) -> tuple[list[dict[str, Any]], str | None, int]:
        """Return one page of the list, using two queries.

        Args:
            category: what to search for, or None for everything.
            order_by: a column or a metadata name, with a leading "-" to reverse.
            limit: the most products on the page, which ends earlier when they have many SKUs.
            starting_after: the previous page's cursor, the id of its last product, or None.

        Returns the public products, the cursor of the next page or None, and the total number of matches. Raises
        InvalidRequest for an `order_by` that no product has, or an unknown `starting_after`.
        """
        with self.database.read() as connection:
            rows, following, total = listing.page(connection, category, order_by, limit, starting_after)
            readable, _ = read_each("product", rows, lambda row: (row, _product(row)))
            stocks = _stocks(connection, *_split(readable))
        public, _ = read_each("product", readable, lambda each: each[1].public(_left(*each, stocks)))
        return public, following, total

    def save(self, product: Product, expected: int, filling: Filling | None = None) -> bool:
        """Write the current catalogue state of `product`.

        Args:
            product: the product.
            expected: the revision that it is based on; 0 for a product that the projection does not have.
            filling: the new stock of a SKU, if the change sets it; else existing stock is kept.

        Returns False, with nothing written, when another writer has written it since.
        """
        with self.database.write() as connection:
            if not _save(connection, [(product, expected)]):
                return False
            if filling is not None:
                put(connection, filling, expected + 1)
            return True

    def save_all(self, found: Sequence[tuple[Product, int]]) -> int:
        """Write many products, each as `save` does, except unchanged ones; return how many were written."""
        ids = [product.id for product, _ in found]
        with self.database.write() as connection:
            readable = products.c.id.not_in(sa.select(asides.c.product))
            rows = connection.execute(sa.select(products.c.id, products.c.body).where(products.c.id.in_(ids), readable))
            bodies = {row.id: row.body for row in rows}
            changed = [each for each in found if bodies.get(each[0].id) != body_of(each[0])]
            # A fixed order, so that two concurrent rebuilds wait for each other and never deadlock.
            return len(_save(connection, sorted(changed, key=lambda each: each[0].id)))

    def remove(self, product_id: str) -> None:
        """Keep only the tombstone of a product: removed from every list, its SKUs off sale."""
        # Its metadata stays, for a page that continues after it.
        which = (products.c.id == product_id) & (products.c.removed == sa.false())
        values = {"removed": True, "on_sale": False, "revision": products.c.revision + 1}
        with self.database.write() as connection:
            connection.execute(sa.update(products).where(which).values(values))
            connection.execute(sa.delete(product_terms).where(product_terms.c.product == product_id))
            connection.execute(sa.delete(asides).where(asides.c.product == product_id))

    @once_more
    def set_aside(self, product_id: str, reason: str, expected: int) -> bool:
        """Take a product off sale because its catalogue record cannot be read; the next `save` puts it back on sale.

        Args:
            reason: for the operator.
            expected: as for `save`.

        Returns False, with nothing written, when another writer has written the product since.
        """
        with self.database.write() as connection:
            here = products.c.id == product_id
            row = connection.execute(sa.select(products.c.revision, products.c.body).where(here)).one_or_none()
            if (0 if row is None else row.revision) != expected:
                return False
            mine = asides.c.product == product_id
            known = connection.execute(sa.select(asides.c.reason).where(mine)).scalar()
            body = None if row is None else off_sale(row.body)
            if known == reason and (row is None or row.body == body):
                return True
            if known is None:
                values = {"product": product_id, "reason": reason, "since": int(clock_now())}
                connection.execute(sa.insert(asides).values(values))
            else:
                connection.execute(sa.update(asides).where(mine).values(reason=reason))
            if row is not None:
                values = {"body": body, "on_sale": False, "revision": expected + 1}
                connection.execute(sa.update(products).where(here).values(values))
        log.warning("product off sale", product=product_id, reason=reason)
        return True

    def is_aside(self, product_id: str) -> bool:
        """Whether the product is set aside."""
        with self.database.read() as connection:
            query = sa.select(asides.c.product).where(asides.c.product == product_id)
            return connection.execute(query).first() is not None

    def aside(self, limit: int) -> list[dict[str, Any]]:
        """Return the set-aside products, oldest first: ``{"product", "reason", "since"}``, `since` in Unix seconds."""
        query = sa.select(asides).order_by(asides.c.since, asides.c.product).limit(limit)
        with self.database.read() as connection:
            return [
                {"product": row.product, "reason": row.reason, "since": row.since} for row in connection.execute(query)
            ]

    def forget_aside(self, there: Collection[str]) -> None:
        """Delete the set-aside products that are not in `there`."""
        with self.database.read() as connection:
            known = set(connection.execute(sa.select(asides.c.product)).scalars())
        gone = sorted(known - set(there))
        for start in range(0, len(gone), 100):
            with self.database.write() as connection:
                connection.execute(sa.delete(asides).where(asides.c.product.in_(gone[start : start + 100])))

    def revisions(self) -> dict[str, int]:
        """Map the id of every product that is not removed to its revision."""
        chosen = sa.select(products.c.id, products.c.revision).where(products.c.removed == sa.false())
        with self.database.read() as connection:
            return {row.id: row.revision for row in connection.execute(chosen)}

    def skus_of(self, ids: Collection[str]) -> dict[str, set[str]]:
        """Map products to their SKUs, for those of `ids` that have several."""
        query = sa.select(products.c.id, products.c.body).where(
            products.c.id.in_(
                sa.select(skus.c.product)
                .where(skus.c.product.in_(sorted(ids)))
                .group_by(skus.c.product)
                .having(sa.func.count() > 1)
            )
        )
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        return {each.id: {sku.id for sku in each.skus} for each in read_each("product", rows, _product)[0]}

    def catalogue_read(self) -> bool:
        """Whether the projection has ever been filled from the catalogue."""
        with self.database.read() as connection:
            found = connection.execute(sa.select(milestones.c.name).where(milestones.c.name == CATALOGUE_READ))
            return found.one_or_none() is not None

    def set_catalogue_read(self) -> None:
        """Record that the projection has been filled."""
        with self.database.write() as connection:
            insert_new(connection, milestones, {"name": CATALOGUE_READ, "reached": int(clock_now())})


_SELECT = sa.select(*products.c, stock.c.type, stock.c.quantity, stock.c.value).join_from(
    products, stock, stock.c.sku == products.c.sku
)


def _save(connection: Connection, found: Iterable[tuple[Product, int]]) -> list[Product]:
    """Write each product whose revision is still the one it is based on (0: not stored yet); return those written.

    Dependent rows are written in bulk for all products, because a rebuild writes thousands.
    """
    written = [product for product, expected in found if _save_row(connection, product, expected)]
    if not written:
        return []
    ids = [product.id for product in written]
    connection.execute(sa.delete(product_terms).where(product_terms.c.product.in_(ids)))
    connection.execute(sa.delete(product_metadata).where(product_metadata.c.product.in_(ids)))
    connection.execute(sa.delete(asides).where(asides.c.product.in_(ids)))
    connection.execute(
        sa.insert(product_terms),
        [{"term": term, "product": product.id} for product in written for term in sorted(product.terms())],
    )
    entries = [
        {"name": name, "product": product.id, "value_key": sort_key(value)}
        for product in written
        for name, value in product.metadata.items()
    ]
    if entries:
        connection.execute(sa.insert(product_metadata), entries)
    every = [(sku, product.id) for product in written for sku in product.skus]
    known = [{"sku": sku.id, "product": product_id} for sku, product_id in every]
    connection.execute(insert(connection, skus).on_conflict_do_nothing(), known)
    put_new(connection, {sku.id: sku.inventory for sku, _ in every})
    return written


def _save_row(connection: Connection, product: Product, expected: int) -> bool:
    columns = {
        "sku": product.skus[0].id,
        "revision": expected + 1,
        "removed": False,
        "on_sale": product.sells(product.skus[0]),
        "name_key": sort_key(product.name),
        "price": product.price,
        "created": product.created,
        "updated": product.updated,
        "body": body_of(product),
    }
    if expected == 0:
        return insert_new(connection, products, {"id": product.id, **columns})
    built_on = (products.c.id == product.id) & (products.c.revision == expected) & (products.c.removed == sa.false())
    return connection.execute(sa.update(products).where(built_on).values(columns)).rowcount == 1


def _product(row: Any) -> Product:
    return product_of(row.body)


def _split(readable: Sequence[tuple[Any, Product]]) -> tuple[list[Any], list[Product]]:
    return [row for row, _ in readable], [each for _, each in readable]


def _stocks(
    connection: Connection, rows: Sequence[Any], found: Sequence[Product], only: Collection[str] | None = None
) -> dict[str, Inventory]:
    """The stock of the SKUs of some products; of those in `only`, if given. Of a first SKU it is in the row already."""
    more = [sku.id for product in found for sku in product.skus[1:] if only is None or sku.id in only]
    stocks = {product.skus[0].id: _inventory(row) for row, product in zip(rows, found, strict=True)}
    if more:
        rest = connection.execute(sa.select(stock).where(stock.c.sku.in_(more)))
        stocks.update((row.sku, _inventory(row)) for row in rest)
    return stocks


def _inventory(row: Any) -> Inventory:
    return Inventory(row.type, row.quantity, row.value)


def _left(row: Any, product: Product, stocks: dict[str, Inventory]) -> dict[str, Inventory]:
    return {sku.id: stocks[sku.id] for sku in product.skus if sku.id in stocks}


def _kept(row: Any, product: Product, stocks: dict[str, Inventory]) -> Kept:
    return Kept(product, _left(row, product, stocks), row.revision, row.removed)

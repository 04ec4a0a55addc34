"""The projection of the catalogue in SQL: serves gets and lists without a call to Stripe."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from chassis.clock import now as clock_now
from chassis.db.engine import Database, once_more
from chassis.db.upsert import insert_new
from chassis.logs import log
from chassis.records import read_each
from products.rules.catalog import Product, Sku, sort_key
from products.rules.stock import Filling, Inventory
from products.store import listing
from products.store.stock import StockStore, put, put_new
from products.store.tables import asides, milestones, product_metadata, product_terms, products, stock

CATALOGUE_READ = "catalogue read"


@dataclass(frozen=True)
class Kept:
    """A product as stored in the projection.

    Attributes:
        product: the product.
        left: its current stock.
        revision: the number of the write that produced it.
        removed: True when only its tombstone is left.
    """

    product: Product
    left: Inventory
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

    def kept(self, product_id: str) -> Kept | None:
        """Return the product, or its tombstone; None when it never existed."""
        with self.database.read() as connection:
            row = connection.execute(_SELECT.where(products.c.id == product_id)).one_or_none()
        return None if row is None else _kept(row)

    def by_sku(self, skus: Iterable[str]) -> dict[str, Kept]:
        """Return the products of `skus`, by SKU, without those that are unknown."""
        with self.database.read() as connection:
            rows = connection.execute(_SELECT.where(products.c.sku.in_(list(skus)))).all()
        return {kept.product.sku.id: kept for kept in read_each("product", rows, _kept)[0]}

    def page(
        self, category: str | None, order_by: str, limit: int, starting_after: str | None
    ) -> tuple[list[dict[str, Any]], str | None, int]:
        """Return one page of the list, using two queries.

        Args:
            category: what to search for, or None for everything.
            order_by: a column or a metadata name, with a leading "-" to reverse.
            limit: products on the page.
            starting_after: the previous page's cursor, the id of its last product, or None.

        Returns the public products, the cursor of the next page or None, and the total number of matches. Raises
        InvalidRequest for an `order_by` that no product has, or an unknown `starting_after`.
        """
        with self.database.read() as connection:
            rows, following, total = listing.page(connection, category, order_by, limit, starting_after)
        public, _ = read_each("product", rows, lambda row: _product(row.body).public(_left(row)))
        return public, following, total

    def save(self, product: Product, expected: int, filling: Filling | None = None) -> bool:
        """Write the current catalogue state of `product`.

        Args:
            product: the product.
            expected: the revision that it is based on; 0 for a product that the projection does not have.
            filling: its new stock, if the change sets it; else existing stock is kept.

        Returns False, with nothing written, when another writer has written it since.
        """
        with self.database.write() as connection:
            if not _save(connection, [(product, expected)]):
                return False
            if filling is not None:
                put(connection, product.sku.id, filling, expected + 1)
            return True

    def save_all(self, found: Sequence[tuple[Product, int]]) -> int:
        """Write many products, each as `save` does, except unchanged ones; return how many were written."""
        ids = [product.id for product, _ in found]
        with self.database.write() as connection:
            readable = products.c.id.not_in(sa.select(asides.c.product))
            rows = connection.execute(sa.select(products.c.id, products.c.body).where(products.c.id.in_(ids), readable))
            bodies = {row.id: row.body for row in rows}
            changed = [each for each in found if bodies.get(each[0].id) != _body(each[0])]
            # A fixed order, so that two concurrent rebuilds wait for each other and never deadlock.
            return len(_save(connection, sorted(changed, key=lambda each: each[0].id)))

    def remove(self, product_id: str) -> None:
        """Keep only the tombstone of a product: removed from every list, its SKU off sale."""
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
            if known == reason and (row is None or not row.body["sku"]["active"]):
                return True
            if known is None:
                values = {"product": product_id, "reason": reason, "since": int(clock_now())}
                connection.execute(sa.insert(asides).values(values))
            else:
                connection.execute(sa.update(asides).where(mine).values(reason=reason))
            if row is not None:
                body = {**row.body, "sku": {**row.body["sku"], "active": False}}
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
    put_new(connection, {product.sku.id: product.inventory for product in written})
    return written


def _save_row(connection: Connection, product: Product, expected: int) -> bool:
    columns = {
        "sku": product.sku.id,
        "revision": expected + 1,
        "removed": False,
        "on_sale": product.on_sale,
        "name_key": sort_key(product.name),
        "price": product.sku.price,
        "created": product.created,
        "updated": product.updated,
        "body": _body(product),
    }
    if expected == 0:
        return insert_new(connection, products, {"id": product.id, **columns})
    built_on = (products.c.id == product.id) & (products.c.revision == expected) & (products.c.removed == sa.false())
    return connection.execute(sa.update(products).where(built_on).values(columns)).rowcount == 1


def _body(product: Product) -> dict[str, Any]:
    return {
        "document": product.document,
        "attributes": product.attributes,
        "sku": asdict(product.sku),
        "inventory": product.inventory.public(),
    }


def _product(body: dict[str, Any]) -> Product:
    return Product(body["document"], body["attributes"], Sku(**body["sku"]), Inventory(**body["inventory"]))


def _left(row: Any) -> Inventory:
    return Inventory(row.type, row.quantity, row.value)


def _kept(row: Any) -> Kept:
    return Kept(_product(row.body), _left(row), row.revision, row.removed)

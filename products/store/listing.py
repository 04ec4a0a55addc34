"""The list of products: filtered, sorted and paged in two queries that run on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from chassis.cursors import Cursor, place
from contracts.errors import wrong_field
from products.rules.catalog import CATEGORY_NAMES, fold, whole_term, words
from products.store.bodies import sku_count
from products.store.tables import product_metadata, product_terms, products, stock

COLUMNS: dict[str, sa.Column[Any]] = {
    "name": products.c.name_key,
    "price": products.c.price,
    "created": products.c.created,
    "updated": products.c.updated,
}

# A page ends before the product whose SKUs would be more than this, but has one product at least. Each is about half a
# kilobyte of the answer.
SKUS_ON_A_PAGE = 1000


def page(
    connection: Connection, category: str | None, order_by: str, limit: int, starting_after: str | None
) -> tuple[Sequence[Any], str | None, int]:
    """Return one page, as `ProductStore.page` does: rows with body and first SKU's stock, cursor and total."""
    name = order_by.removeprefix("-")
    reverse = order_by.startswith("-")
    by_metadata = name not in COLUMNS
    entry = product_metadata.alias("entry")
    key: sa.ColumnElement[Any] = entry.c.value_key if by_metadata else COLUMNS[name]
    after = place(starting_after, order_by, int if name in ("price", "created", "updated") else str)
    last_id = after if isinstance(after, str) else None
    found = sa.join(products, stock, stock.c.sku == products.c.sku)
    if by_metadata:
        found = found.outerjoin(entry, (entry.c.product == products.c.id) & (entry.c.name == name))
    matches = [products.c.removed == sa.false(), *_matches(category)]

    def at_last(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """A column of the previous page's last product; a removed one still has its position."""
        if last_id is None:
            return sa.null()
        return sa.select(column).select_from(found).where(products.c.id == last_id).scalar_subquery()

    about = connection.execute(
        sa.select(
            sa.select(sa.func.count()).select_from(products).where(*matches).scalar_subquery().label("total"),
            at_last(products.c.id).label("cursor"),
            at_last(key).label("cursor_key"),
            _is_known(name).label("known"),
        )
    ).one()
    if not about.known:
        raise wrong_field("order_by", f"no product has {name}")
    if last_id is not None:
        if about.cursor is None:
            raise wrong_field("starting_after", f"there is no product {last_id}")
        matches.append(_after(key, about.cursor_key, about.cursor, reverse, by_metadata))
    elif isinstance(after, Cursor):
        if after.key is None and not by_metadata:
            raise wrong_field("starting_after", "is no cursor of this list")
        matches.append(_after(key, after.key, after.id, reverse, by_metadata))

    order = key.desc() if reverse else key.asc()
    chosen = (
        sa.select(products.c.id, key.label("sort_key"), products.c.body, stock.c.type, stock.c.quantity, stock.c.value)
        .select_from(found)
        .where(*matches)
        .order_by(order.nulls_last() if by_metadata else order, products.c.id)
        .limit(limit + 1)
    )
    rows: list[Any] = []
    following, skus = None, 0
    with closing(connection.execute(chosen)) as result:
        for row in result:
            skus += sku_count(row.body)
            if rows and (len(rows) == limit or skus > SKUS_ON_A_PAGE):
                following = Cursor(order_by, rows[-1].sort_key, rows[-1].id).text()
                break
            rows.append(row)
    return rows, following, about.total


def _matches(category: str | None) -> list[sa.ColumnElement[bool]]:
    """Match if the whole text is a name, an attribute or a category, or if name and description contain all of its
    words."""
    if category is None or not fold(category):
        return []
    term, product = product_terms.c.term, product_terms.c.product
    parts = sorted(words(category))
    if len(parts) <= 1:
        return [products.c.id.in_(sa.select(product).where(term.in_([whole_term(category), *parts])))]
    by_words = sa.select(product).where(term.in_(parts)).group_by(product).having(sa.func.count() == len(parts))
    return [products.c.id.in_(sa.select(product).where(term == whole_term(category)).union(by_words))]


def _after(
    key: sa.ColumnElement[Any], cursor_key: Any, cursor: str, reverse: bool, by_metadata: bool
) -> sa.ColumnElement[bool]:
    """Select what follows the cursor: a later key, or the same key and a later id. Products without a key come last."""
    if cursor_key is None:
        return key.is_(None) & (products.c.id > cursor)
    later = key < cursor_key if reverse else key > cursor_key
    # The first half is redundant, but an index can use it.
    reach = key <= cursor_key if reverse else key >= cursor_key
    rest: sa.ColumnElement[bool] = reach & (later | (products.c.id > cursor))
    return rest | key.is_(None) if by_metadata else rest


def _is_known(name: str) -> sa.ColumnElement[bool]:
    """Whether products can be sorted by `name`: a built-in field, or a metadata name that some product has."""
    if name in COLUMNS or name in CATEGORY_NAMES:
        return sa.true()
    return (
        sa.select(product_metadata.c.name)
        .join(products, products.c.id == product_metadata.c.product)
        .where(product_metadata.c.name == name, products.c.removed == sa.false())
        .exists()
    )

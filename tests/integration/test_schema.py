"""The migrations create the tables that the code describes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

import cart.store.tables
import notifications.store.tables
import products.store.tables
import shipping.store.tables
from chassis.db.engine import Database
from chassis.db.shared_tables import shared_by_all, shared_by_webhook_services

SCHEMAS = {
    "products": (products.store.tables.metadata, shared_by_all),
    "cart": (cart.store.tables.metadata, shared_by_all, shared_by_webhook_services),
    "shipping": (shipping.store.tables.metadata, shared_by_all, shared_by_webhook_services),
    "notifications": (notifications.store.tables.metadata, shared_by_all, shared_by_webhook_services),
}
# Columns and tables that PostgreSQL keeps for copies of the previous release (`chassis.db.shared_revisions`).
OLD_COLUMNS = {("answers", "until"), ("orders", "lease"), ("refunds", "lease")}
OLD_TABLES = {"events", "owed"}


@pytest.mark.parametrize("service", SCHEMAS)
def test_migrations_make_the_described_tables(database: Callable[[str], Database], service: str) -> None:
    assert differences(database(service), SCHEMAS[service]) == []


def test_differences_are_found(database: Callable[[str], Database]) -> None:
    cart_database = database("cart")
    with cart_database.write() as connection:
        connection.execute(sa.text("DROP INDEX tasks_due"))
        connection.execute(sa.text("ALTER TABLE cursors ADD COLUMN stray INTEGER"))
    found = [str(difference[:2]) for difference in differences(cart_database, SCHEMAS["cart"])]
    assert len(found) == 2
    assert "add_index" in found[0] + found[1]
    assert "remove_column" in found[0] + found[1]


def differences(database: Database, schema: Sequence[sa.MetaData]) -> list[tuple[object, ...]]:
    """The changes that Alembic would make to turn the migrated database into `schema`."""
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "target_metadata": schema})
        found = compare_metadata(context, schema)  # type: ignore[arg-type]
        keeps = connection.dialect.name == "postgresql"
    return [each for each in found if "alembic_version" not in str(each) and not (keeps and is_kept(each))]


def is_kept(difference: tuple[Any, ...]) -> bool:
    """Whether copies of the previous release still need this table, column or index."""
    match difference[0]:
        case "remove_column":
            return (difference[2], difference[3].name) in OLD_COLUMNS
        case "remove_table":
            return difference[1].name in OLD_TABLES
        case "remove_index":
            return difference[1].table.name in OLD_TABLES
    return False

"""Inserting rows that may already exist: both databases have one syntax, but SQLAlchemy has a class for each."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection


def insert(connection: Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that may have an ON CONFLICT."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def insert_new(connection: Connection, table: sa.Table, values: dict[str, Any]) -> bool:
    """Insert a row unless one has its primary key (or another unique value); returns whether it was inserted."""
    return connection.execute(insert(connection, table).values(values).on_conflict_do_nothing()).rowcount == 1

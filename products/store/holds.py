"""Which reservations hold stock, for comparison with the orders that they were made for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from chassis.db.engine import Database
from products.rules.stock import HELD
from products.store.tables import holds

PAGE = 200


def held_page(database: Database, after: str | None, since: float, until: float) -> dict[str, Any]:
    """A page of the reservations that hold stock.

    Args:
        after: the last key of the previous page.
        since, until: limits of the creation time (Unix seconds).

    Returns ``{"keys": [...], "next"}``: `next` is the `after` of the next page, or None.
    """
    wanted = [holds.c.state == HELD, holds.c.created >= int(since), holds.c.created <= int(until)]
    if after is not None:
        wanted.append(holds.c.key > after)
    query = sa.select(holds.c.key).where(*wanted).order_by(holds.c.key).limit(PAGE + 1)
    with database.read() as connection:
        keys = list(connection.execute(query).scalars())
    return {"keys": keys[:PAGE], "next": keys[PAGE - 1] if len(keys) > PAGE else None}


def held_of(database: Database, keys: Sequence[str]) -> list[str]:
    """Return the members of `keys` that hold stock."""
    query = sa.select(holds.c.key).where(holds.c.key.in_(list(keys)), holds.c.state == HELD)
    with database.read() as connection:
        return sorted(connection.execute(query).scalars())

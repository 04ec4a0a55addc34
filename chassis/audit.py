"""What all comparisons of a service's records with a provider's list have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from chassis.db.engine import Database
from chassis.records import SetAside
from contracts.differences import Difference, page
from contracts.errors import InvalidRequest


def known_page(
    database: Database,
    key: sa.Column[Any],
    provider_id: sa.Column[Any],
    wanted: list[sa.ColumnElement[bool]],
    cursor: str | None,
    size: int,
) -> dict[str, Any]:
    """A page of our records that the provider's list should contain, too, as `contracts.differences.page`.

    Args:
        key: the column that the page is ordered by and cut at.
        provider_id: the column with the provider's id of the record.
        wanted: selects the rows.
        cursor: from the previous page; None for the first.
        size: the number of rows.
    """
    after = [] if cursor is None else [key > cursor]
    query = sa.select(key, provider_id).where(*wanted, *after).order_by(key).limit(size + 1)
    with database.read() as connection:
        rows = connection.execute(query).all()
    following = rows[size - 1][0] if len(rows) > size else None
    return page(len(rows[:size]), [], following, known=[row[1] for row in rows[:size]])


def unreadable(whose: str, aside: Iterable[SetAside]) -> list[Difference]:
    """The report that records could not be compared because those of `whose` ("Stripe") cannot be read."""
    return [
        Difference(
            "record that cannot be read",
            each.id,
            "not compared",
            f"{whose} says: {each.reason}",
            advice=f"see what {whose} has under this id",
        )
        for each in aside
    ]


def no_such_part(part: str) -> InvalidRequest:
    """The error for a part that cannot be compared."""
    return InvalidRequest(f"There is no part {part!r} to compare.", {"errors": {"part": ["no such part"]}})


def no_such_repair() -> InvalidRequest:
    """The error for a repair that does not exist."""
    return InvalidRequest("There is no such repair.", {"errors": {"do": ["no such repair"]}})

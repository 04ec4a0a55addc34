"""What every comparison of a service's books with a provider's list does alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from chassis.database import Database
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
    """A page of what our books have, for the provider's list should have it, too, as `contracts.differences.page`.

    Args:
        key: what the page is ordered by, and cut at.
        provider_id: the provider's id of it.
        wanted: which rows.
        cursor: from the page before; None for the first.
        size: how many.
    """
    after = [] if cursor is None else [key > cursor]
    query = sa.select(key, provider_id).where(*wanted, *after).order_by(key).limit(size + 1)
    with database.read() as connection:
        rows = connection.execute(query).all()
    following = rows[size - 1][0] if len(rows) > size else None
    return page(len(rows[:size]), [], following, known=[row[1] for row in rows[:size]])


def unreadable(whose: str, aside: Iterable[SetAside]) -> list[Difference]:
    """The report that records could not be compared, because `whose` ("Stripe") records cannot be read."""
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
    """What to raise where a part is asked for that nobody compares."""
    return InvalidRequest(f"There is no part {part!r} to compare.", {"errors": {"part": ["no such part"]}})


def no_such_repair() -> InvalidRequest:
    """What to raise where mending is asked for that nobody does."""
    return InvalidRequest("There is no such repair.", {"errors": {"do": ["no such repair"]}})

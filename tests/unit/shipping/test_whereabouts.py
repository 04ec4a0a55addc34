"""The status of a parcel, from tracking updates in any order."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from shipping.rules.whereabouts import Whereabouts, whereabouts

NOON = 1_504_612_836.546


def test_shippo_status_and_time_are_read() -> None:
    update = {"status": "TRANSIT", "status_date": "2017-09-05T12:00:36.546Z", "object_id": "x"}
    assert whereabouts(update) == Whereabouts("TRANSIT", NOON)
    assert whereabouts({"status": "TRANSIT", "status_date": None}) == Whereabouts("TRANSIT", None)
    assert whereabouts({"status": "TRANSIT", "status_date": "yesterday"}) == Whereabouts("TRANSIT", None)
    assert whereabouts({"status": "TRANSIT", "status_date": "2017-09-05T12:00:36"}) == Whereabouts(
        "TRANSIT", NOON - 0.546
    )


@pytest.mark.parametrize("update", [None, "TRANSIT", {}, {"status": None}, {"status": "LOST IN SPACE"}, {"status": []}])
def test_unreadable_tracking_status_is_ignored(update: Any) -> None:
    assert whereabouts(update) is None


@pytest.mark.parametrize(
    ("known", "update", "follows"),
    [
        ("PRE_TRANSIT", "TRANSIT", True),
        ("UNKNOWN", "PRE_TRANSIT", True),
        ("TRANSIT", "DELIVERED", True),
        ("DELIVERED", "TRANSIT", False),
        ("DELIVERED", "PRE_TRANSIT", False),
        ("TRANSIT", "PRE_TRANSIT", False),
        ("TRANSIT", "UNKNOWN", False),
        ("TRANSIT", "TRANSIT", False),
        ("FAILURE", "TRANSIT", True),
        ("FAILURE", "DELIVERED", True),
        ("FAILURE", "PRE_TRANSIT", False),
        ("TRANSIT", "FAILURE", True),
        ("DELIVERED", "FAILURE", False),
        ("DELIVERED", "RETURNED", True),
        ("RETURNED", "DELIVERED", False),
        ("RETURNED", "TRANSIT", False),
        ("PRE_TRANSIT", "RETURNED", True),
    ],
)
def test_later_status_follows_if_it_goes_forward(known: str, update: str, follows: bool) -> None:
    assert Whereabouts(update, 2.0).follows(Whereabouts(known, 1.0)) is follows


def test_earlier_status_follows_only_on_the_usual_way() -> None:
    assert Whereabouts("DELIVERED", 1.0).follows(Whereabouts("TRANSIT", 2.0))
    assert not Whereabouts("FAILURE", 1.0).follows(Whereabouts("TRANSIT", 2.0))
    assert not Whereabouts("TRANSIT", 1.0).follows(Whereabouts("FAILURE", 2.0))
    assert not Whereabouts("RETURNED", 1.0).follows(Whereabouts("DELIVERED", 2.0))
    assert Whereabouts("RETURNED", None).follows(Whereabouts("DELIVERED", 2.0))


def test_order_of_updates_does_not_change_the_status() -> None:
    steps = [Whereabouts(status, at) for at, status in enumerate(("PRE_TRANSIT", "TRANSIT", "FAILURE", "DELIVERED"))]
    for order in itertools.permutations(steps):
        known = None
        for update in order:
            known = update if update.follows(known) else known
        assert known == steps[-1]

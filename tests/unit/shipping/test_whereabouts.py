"""Where a parcel is, told in any order."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from shipping.whereabouts import Whereabouts, whereabouts

NOON = 1_504_612_836.546


def test_shippo_s_word_and_time_are_read() -> None:
    told = {"status": "TRANSIT", "status_date": "2017-09-05T12:00:36.546Z", "object_id": "x"}
    assert whereabouts(told) == Whereabouts("TRANSIT", NOON)
    assert whereabouts({"status": "TRANSIT", "status_date": None}) == Whereabouts("TRANSIT", None)
    assert whereabouts({"status": "TRANSIT", "status_date": "yesterday"}) == Whereabouts("TRANSIT", None)
    assert whereabouts({"status": "TRANSIT", "status_date": "2017-09-05T12:00:36"}) == Whereabouts(
        "TRANSIT", NOON - 0.546
    )


@pytest.mark.parametrize("told", [None, "TRANSIT", {}, {"status": None}, {"status": "LOST IN SPACE"}, {"status": []}])
def test_what_nobody_understands_is_nothing(told: Any) -> None:
    assert whereabouts(told) is None


@pytest.mark.parametrize(
    ("known", "told", "news"),
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
def test_a_later_word_is_news_when_it_goes_forward(known: str, told: str, news: bool) -> None:
    assert Whereabouts(told, 2.0).follows(Whereabouts(known, 1.0)) is news


def test_an_earlier_word_is_news_only_along_the_way() -> None:
    assert Whereabouts("DELIVERED", 1.0).follows(Whereabouts("TRANSIT", 2.0))
    assert not Whereabouts("FAILURE", 1.0).follows(Whereabouts("TRANSIT", 2.0))
    assert not Whereabouts("TRANSIT", 1.0).follows(Whereabouts("FAILURE", 2.0))
    assert not Whereabouts("RETURNED", 1.0).follows(Whereabouts("DELIVERED", 2.0))
    assert Whereabouts("RETURNED", None).follows(Whereabouts("DELIVERED", 2.0))


def test_a_parcel_is_where_it_is_in_whatever_order_that_is_told() -> None:
    steps = [Whereabouts(status, at) for at, status in enumerate(("PRE_TRANSIT", "TRANSIT", "FAILURE", "DELIVERED"))]
    for order in itertools.permutations(steps):
        known = None
        for told in order:
            known = told if told.follows(known) else known
        assert known == steps[-1]

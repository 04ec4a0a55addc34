"""An unreadable record is set aside and logged once. It hides neither bugs nor outages."""

from __future__ import annotations

from typing import Any

import pytest

from chassis import records
from chassis.records import SetAside, Unreadable, read_each, read_one
from contracts.errors import Unavailable


@pytest.fixture(autouse=True)
def _nothing_logged() -> None:
    records._logged.clear()


def _read(record: dict[str, Any]) -> int:
    if record["value"] == "odd":
        raise Unreadable("it is odd")
    return int(record["value"])


GOOD, ODD, BROKEN = {"id": "a", "value": "1"}, {"id": "b", "value": "odd"}, {"id": "c"}


def test_unreadable_records_are_set_aside() -> None:
    values, aside = read_each("thing", [ODD, GOOD, BROKEN], _read)
    assert values == [1]
    assert aside == [SetAside("b", "it is odd"), SetAside("c", "KeyError: 'value'")]


def test_outage_is_not_blamed_on_the_record() -> None:
    def away(record: Any) -> None:
        raise Unavailable("away")

    with pytest.raises(Unavailable):
        read_one("thing", GOOD, away)


def test_each_reason_is_logged_once(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        read_each("thing", [ODD, BROKEN], _read)
    logged = capsys.readouterr().out
    assert logged.count("it is odd") == 1
    assert logged.count("record set aside") == 2
    assert logged.count("Traceback") == 1  # only for the unexpected error, which may be our bug
    read_one("thing", {"id": "b", "value": "x"}, _read)
    assert "ValueError" in capsys.readouterr().out
    read_one("thing", {"id": "b", "value": "1"}, _read)
    read_one("thing", ODD, _read)
    assert "it is odd" in capsys.readouterr().out


def test_memory_of_what_was_logged_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_REMEMBERED", 3)
    read_each("thing", [{"id": str(number), "value": "odd"} for number in range(10)], _read)
    assert len(records._logged) == 3

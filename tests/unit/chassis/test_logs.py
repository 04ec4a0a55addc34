"""The log writes one JSON line for any value. A failing log never fails its caller."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

from chassis import logs
from chassis.logs import log


class Nameless:
    """A value whose `str` and `repr` raise."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


@pytest.mark.parametrize(
    "value",
    ["half a character: \ud83d", 2**70, Nameless(), {"deep": [Nameless(), {1: 2}]}, b"\xff", float("nan"), "a\nb"],
    ids=["surrogate", "huge", "nameless", "deep", "bytes", "nan", "newline"],
)
def test_anything_can_be_logged_in_one_line(capsys: pytest.CaptureFixture[str], value: Any) -> None:
    log.info("something", value=value)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["event"] == "something"


class Broken:
    """A standard output that accepts nothing."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def write(self, _text: str) -> int:
        raise self.error

    def flush(self) -> None:
        raise self.error


@pytest.mark.parametrize(
    "error", [OSError(28, "no space left"), BrokenPipeError(), ValueError("closed file")], ids=repr
)
def test_failing_output_does_not_fail_the_caller(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(error))
    for level in ("debug", "info", "warning", "error", "exception", "critical"):
        getattr(log, level)("something")


def test_bound_values_are_logged_until_cleared(capsys: pytest.CaptureFixture[str]) -> None:
    logs.bind(request_id="r1", service="cart")
    log.info("first")
    logs.clear()
    log.info("second")
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["request_id"], first["service"]) == ("r1", "cart")
    assert "request_id" not in second
    assert second["timestamp"].endswith("Z")


def test_records_of_libraries_have_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logs.json_formatter())
    record = logging.LogRecord("some.library", logging.WARNING, "file", 1, "lost %s", ("it",), None)
    line = json.loads(handler.format(record))
    assert (line["event"], line["logger"], line["level"]) == ("lost it", "some.library", "warning")

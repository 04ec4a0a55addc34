"""The log: one JSON line whatever is logged, and never a reason for anything to fail."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

from chassis import logs
from chassis.logs import log


class Nameless:
    """It cannot even be named."""

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
def test_output_that_fails_fails_nothing_else(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(error))
    for level in ("debug", "info", "warning", "error", "exception", "critical"):
        getattr(log, level)("something")


def test_what_is_bound_is_in_every_line_until_it_is_forgotten(capsys: pytest.CaptureFixture[str]) -> None:
    logs.bind(request_id="r1", service="cart")
    log.info("first")
    logs.clear()
    log.info("second")
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["request_id"], first["service"]) == ("r1", "cart")
    assert "request_id" not in second
    assert second["timestamp"].endswith("Z")


def test_the_libraries_own_records_look_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logs.json_formatter())
    record = logging.LogRecord("some.library", logging.WARNING, "file", 1, "lost %s", ("it",), None)
    line = json.loads(handler.format(record))
    assert (line["event"], line["logger"], line["level"]) == ("lost it", "some.library", "warning")

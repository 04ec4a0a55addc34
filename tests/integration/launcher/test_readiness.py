"""Readiness checks against a gateway that is late, dies while it answers, or repeats an old answer."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import gateway.readiness
from launcher import readiness
from launcher.shop import Shop
from tests.scripted_server import Scripted, ScriptedServer

LATE = b'{"parts": {"cart": {"status": "unavailable", "database": "unknown"}}}'


@pytest.mark.parametrize("status", [200, 503])
def test_truncated_answer_counts_as_none(scripted: ScriptedServer, status: int) -> None:
    scripted.answers = [Scripted(status, LATE, cut=True)]
    assert readiness.ask(scripted.url) == (0, None)


def test_part_that_is_late_once_is_not_missing(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(readiness.time, "sleep", slept.append)
    scripted.answers = [Scripted(503, LATE), Scripted(200, b"{}")]
    assert readiness.ask_twice(scripted.url)[0] == 200
    assert slept[0] > gateway.readiness.ANSWER_FRESH_S  # an earlier request gets the cached answer
    scripted.answers = [Scripted(503, LATE)]
    status, body = readiness.ask_twice(scripted.url)
    assert (status, readiness.missing(body)) == (503, ["cart"])


@pytest.mark.parametrize("how", ["kill", "halt"])
def test_wait_ready_ignores_answers_from_before_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The gateway caches its answer. The cached answer would still report the stopped cart as ready."""
    shop = Shop.on_free_ports(tmp_path)
    waits: list[float] = []
    asked_at: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        asked_at.append(time.monotonic() + seconds)

    monkeypatch.setattr("launcher.shop.time.sleep", sleep)
    monkeypatch.setattr(readiness, "until_ready", lambda *_: None)
    monkeypatch.setattr(shop.supervisor, "halt", lambda _part: None)
    monkeypatch.setattr(shop.supervisor, "parts", lambda _part: [])
    shop.wait_ready()
    assert waits == [0]
    stopped_at = time.monotonic()
    getattr(shop, how)("cart")
    shop.wait_ready()
    assert asked_at[1] - stopped_at > gateway.readiness.ANSWER_FRESH_S

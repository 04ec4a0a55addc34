"""Whether the shop is ready, asked of a gateway that is late, dies while it answers, or repeats itself."""

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
def test_an_answer_that_breaks_off_is_none(scripted: ScriptedServer, status: int) -> None:
    scripted.answers = [Scripted(status, LATE, cut=True)]
    assert readiness.ask(scripted.url) == (0, None)


def test_who_was_late_once_is_not_missing(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(readiness.time, "sleep", slept.append)
    scripted.answers = [Scripted(503, LATE), Scripted(200, b"{}")]
    assert readiness.ask_twice(scripted.url)[0] == 200
    assert slept[0] > gateway.readiness.ANSWER_FRESH_S  # sooner it would be the same answer
    scripted.answers = [Scripted(503, LATE)]
    status, body = readiness.ask_twice(scripted.url)
    assert (status, readiness.missing(body)) == (503, ["cart"])


@pytest.mark.parametrize("how", ["kill", "halt"])
def test_what_was_found_out_before_a_part_was_taken_away_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The gateway's answer is one of the last second: that all is well would be said of a cart that has gone since."""
    shop = Shop.on_free_ports(tmp_path)
    waited: list[float] = []
    looked: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        looked.append(time.monotonic() + seconds)

    monkeypatch.setattr("launcher.shop.time.sleep", sleep)
    monkeypatch.setattr(readiness, "until_ready", lambda *_: None)
    monkeypatch.setattr(shop.supervisor, "halt", lambda _part: None)
    monkeypatch.setattr(shop.supervisor, "parts", lambda _part: [])
    shop.wait_ready()
    assert waited == [0]
    struck = time.monotonic()
    getattr(shop, how)("cart")
    shop.wait_ready()
    assert looked[1] - struck > gateway.readiness.ANSWER_FRESH_S

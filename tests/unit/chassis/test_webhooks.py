"""Webhooks of any provider are verified before they are read, and stored before they are acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest

from chassis.webhook_service import WebhookVerbs
from chassis.work.inbox import Inbox
from chassis.work.webhooks import Webhooks, is_current, unsigned
from contracts.errors import InvalidRequest, NotFound, Unavailable
from contracts.webhooks import Event, Handling, Reply


class RecordingInbox:
    """An inbox that records what happens to it.

    Attributes:
        down: the next call fails: "keep" or "handle".
    """

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.kept: set[str] = set()
        self.down = ""

    def keep(self, event_id: str, kind: str, body: Any, done: bool = False) -> bool:
        if self.down == "keep":
            raise Unavailable("away")
        self.log.append(f"keep {event_id}{' as done' if done else ''}")
        new = event_id not in self.kept
        self.kept.add(event_id)
        return new

    def handle(self, event_id: str, handler: Callable[[str, dict[str, Any]], None]) -> bool:
        if self.down == "handle":
            raise Unavailable("away")
        handler("moved", {"id": event_id})
        return True


class Source:
    """A provider that signs with the word "good", and whose body is the ids of its events, separated by blanks."""

    kinds = ("moved",)

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def verify(self, raw: bytes, headers: Mapping[str, str]) -> None:
        self.log.append("verify")
        if headers.get("x-signature") != "good":
            raise unsigned("X-Signature", "is not Acme's")

    def parse(self, raw: bytes) -> list[Event]:
        self.log.append("parse")
        reply = Reply("text/xml", "<Response/>")
        return [
            Event(each, "moved", {"id": each}, _handling(each), reply if each.startswith("r") else None)
            for each in raw.decode().split()
        ]

    def handle(self, kind: str, body: dict[str, Any]) -> None:
        self.log.append(f"handle {body['id']}")


def _handling(event_id: str) -> Handling:
    return {"l": Handling.LATER, "n": Handling.NEVER}.get(event_id[0], Handling.AT_ONCE)


class Shop:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.inbox = RecordingInbox(self.log)
        self.webhooks = Webhooks(cast(Inbox, self.inbox), {"acme": Source(self.log)})

    def accept(self, raw: str, signature: str = "good") -> dict[str, Any]:
        return self.webhooks.accept("acme", raw, {"X-SIGNATURE": signature})


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_event_is_verified_stored_and_then_handled(shop: Shop) -> None:
    assert shop.accept("e1 l1 n1") == {"received": True, "duplicate": False}
    assert shop.log == ["verify", "parse", "keep e1", "keep l1", "keep n1 as done", "handle e1"]


def test_unsigned_body_is_neither_read_nor_stored(shop: Shop) -> None:
    with pytest.raises(InvalidRequest) as refused:
        shop.accept("e1", "bad")
    assert refused.value.facts["unsigned"]
    assert shop.log == ["verify"]


def test_batch_is_a_duplicate_if_every_event_is(shop: Shop) -> None:
    shop.accept("e1 e2")
    assert shop.accept("e2 e3") == {"received": True, "duplicate": False}
    assert shop.accept("e3 e1") == {"received": True, "duplicate": True}
    assert [each for each in shop.log if each.startswith("handle")] == ["handle e1", "handle e2", "handle e3"]
    assert shop.accept("") == {"received": True, "duplicate": False}


def test_event_may_want_another_answer(shop: Shop) -> None:
    for duplicate in (False, True):
        assert shop.accept("r1") == {
            **{"received": True, "duplicate": duplicate},
            "reply": {"content_type": "text/xml", "text": "<Response/>"},
        }


def test_event_that_cannot_be_stored_is_not_acknowledged(shop: Shop) -> None:
    shop.inbox.down = "keep"
    with pytest.raises(Unavailable):
        shop.accept("e1")


def test_stored_event_is_acknowledged_if_handling_fails(shop: Shop) -> None:
    shop.inbox.down = "handle"
    assert shop.accept("e1") == {"received": True, "duplicate": False}


def test_body_that_is_not_made_of_bytes_is_refused(shop: Shop) -> None:
    with pytest.raises(InvalidRequest):
        shop.accept("\u0416")
    assert shop.log == []


def test_provider_that_is_not_in_use_is_not_found(shop: Shop) -> None:
    with pytest.raises(NotFound):
        shop.webhooks.accept("shippo", "e1", {"X-SIGNATURE": "good"})
    with pytest.raises(NotFound):  # stored when the provider was in use
        shop.webhooks.handle("track_updated", {})


def test_signature_is_current_for_five_minutes() -> None:
    assert [is_current(1000.0, now) for now in (700.0, 1300.0, 699.0, 1301.0)] == [True, True, False, False]
    assert not is_current(float("nan"), 1000.0)


def test_two_providers_cannot_handle_one_kind() -> None:
    with pytest.raises(ValueError, match="same kind"):
        Webhooks(cast(Inbox, None), {"acme": Source([]), "other": Source([])})


def test_batch_of_events_gives_way_to_quick_requests() -> None:
    """A quick verb does not pause between its transactions, and on SQLite the whole process waits for each."""
    [entrypoint] = WebhookVerbs.webhook.nameko_entrypoints  # type: ignore[attr-defined]
    assert not entrypoint.quick

"""The tracker follows parcels by Shippo's events and by polling. Events may arrive in any order and more than once."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from chassis.db.engine import Database
from contracts.errors import InvalidRequest, Unavailable
from contracts.webhooks import Event, Handling
from shipping.shippo.webhooks import ShippoWebhooks, sign
from tests.integration.shipping.test_moves import NOW, sell
from tests.integration.shipping.test_void import Counter

SECRET = "shippo's secret"
BODY = json.dumps({"event": "track_updated", "test": True, "data": {"tracking_number": "ü"}}).encode()


@pytest.fixture
def shop(database: Callable[[str], Database]) -> Counter:
    return Counter(database("shipping"))


def track(status: str, number: str = "94001", at: int = 0) -> dict[str, Any]:
    moment = f"2026-11-21T10:00:{at:02d}.000Z"
    return {"tracking_number": number, "tracking_status": {"status": status, "status_date": moment}}


def keeper(shop: Counter) -> Callable[[str, str, dict[str, Any]], dict[str, Any]]:
    """Store events as they arrive from Shippo, under ids of the test."""
    webhooks = shop.webhooks()

    def keep(event_id: str, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        handling = {"track_updated": Handling.AT_ONCE}.get(kind, Handling.NEVER)
        return webhooks.keep([Event(event_id, kind, data, handling)])

    return keep


def steps(shop: Counter) -> list[str]:
    return [step["status"] for step in shop.store.moves.after(0, 100)]


class NoNews:
    """Records nothing."""

    def record_status(self, tracking_number: str, track: dict[str, Any]) -> None:
        raise NotImplementedError

    def label_changed(self, transaction_id: str) -> None:
        raise NotImplementedError


def verified(body: bytes, signature: str, secret: str, now: float) -> Event:
    source = ShippoWebhooks(secret, NoNews(), lambda: now)
    source.verify(body, {"shippo-auth-signature": signature})
    (event,) = source.parse(body)
    return event


def test_signed_event_is_read() -> None:
    event = verified(BODY, sign(SECRET, BODY, NOW), SECRET, NOW + 299)
    assert (event.kind, event.body) == ("track_updated", {"tracking_number": "ü"})
    assert event.handling is Handling.AT_ONCE
    again = verified(BODY, sign(SECRET, BODY, NOW + 60), SECRET, NOW + 61)
    assert again.id == event.id
    other = BODY.replace(b"true", b"false")
    assert verified(other, sign(SECRET, other, NOW), SECRET, NOW).id != event.id


@pytest.mark.parametrize(
    ("body", "signature", "secret", "now"),
    [
        (BODY + b" ", sign(SECRET, BODY, NOW), SECRET, NOW),
        (BODY, sign("another", BODY, NOW), SECRET, NOW),
        (BODY, sign(SECRET, BODY, NOW), SECRET, NOW + 301),
        (BODY, sign(SECRET, BODY, NOW), SECRET, NOW - 301),
        (BODY, "", SECRET, NOW),
        (BODY, "t=1", SECRET, NOW),
        (BODY, f"t=soon,v1={'0' * 64}", SECRET, NOW),
        (BODY, f"t={int(NOW)},v1=ü", SECRET, NOW),
        (BODY, sign(SECRET, BODY, NOW).replace("t=", "t=1"), SECRET, NOW),
    ],
    ids=["changed", "forged", "old", "early", "no signature", "half", "no time", "no hex", "other time"],
)
def test_event_without_a_valid_signature_is_refused(body: bytes, signature: str, secret: str, now: float) -> None:
    with pytest.raises(InvalidRequest) as refused:
        verified(body, signature, secret, now)
    assert list(refused.value.facts["errors"]) == ["Shippo-Auth-Signature"]
    assert refused.value.facts["unsigned"]


def test_missing_secret_makes_shippo_send_again() -> None:
    with pytest.raises(Unavailable, match="no secret"):
        verified(BODY, sign("", BODY, NOW), "", NOW)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"event": "x"}', b'{"event": 5, "data": {}}', b'{"event": "", "data": {}}']
)
def test_signed_body_without_an_event_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        verified(body, sign(SECRET, body, NOW), SECRET, NOW)
    assert "unsigned" not in refused.value.facts


def test_an_event_is_kept_once_and_handled_once(shop: Counter) -> None:
    shop.buy()
    keep = keeper(shop)
    assert keep("e1", "track_updated", track("TRANSIT")) == {"received": True, "duplicate": False}
    assert keep("e1", "track_updated", track("TRANSIT")) == {"received": True, "duplicate": True}
    assert steps(shop) == ["TRANSIT"]
    assert [event["key"] for event in shop.store.inbox.tasks.rows(state="done")] == ["e1"]


def test_shuffled_and_repeated_events_reach_the_last_status(shop: Counter) -> None:
    shop.buy()
    keep = keeper(shop)
    events = [(f"e{at}", track(status, at=at)) for at, status in enumerate(("PRE_TRANSIT", "TRANSIT", "DELIVERED"))]
    dice = random.Random(5)
    for _ in range(4):
        dice.shuffle(events)
        for event_id, data in events:
            keep(event_id, "track_updated", data)
    assert steps(shop)[-1] == "DELIVERED"
    assert steps(shop).count("DELIVERED") == 1


def test_events_without_our_parcels_are_marked_done(shop: Counter) -> None:
    shop.buy()
    keep = keeper(shop)
    for number, data in enumerate([track("TRANSIT", "another's"), {}, {"tracking_number": "94001"}, track("LOST")]):
        keep(f"e{number}", "track_updated", data)
    keep("e9", "batch_created", {})
    assert steps(shop) == []
    assert len(shop.store.inbox.tasks.rows(state="done")) == 5


def test_timer_handles_a_stored_event(shop: Counter) -> None:
    shop.buy()
    shop.store.inbox.keep("e1", "track_updated", track("TRANSIT"))
    assert steps(shop) == []
    shop.webhooks().sweep(time.monotonic() + 10)
    assert steps(shop) == ["TRANSIT"]


def test_polling_replaces_a_lost_event(shop: Counter) -> None:
    shop.buy()
    shop.carriers.tracks["94001"] = track("DELIVERED")
    shop.tracker().poll(900)
    assert shop.carriers.tracked == []
    shop.clock.now += 901
    shop.tracker().poll(900)
    assert steps(shop) == ["DELIVERED"]
    shop.clock.now += 901
    shop.tracker().poll(900)
    assert shop.carriers.tracked == ["94001"]


def test_poll_stops_at_a_failure_and_resumes_at_the_next_run(shop: Counter) -> None:
    sell(shop.store, "1", "2", "3", at=shop.clock.now)
    shop.carriers.deaf = Unavailable("away")
    shop.clock.now += 901
    shop.tracker().poll(900)
    assert len(shop.carriers.tracked) == 1
    shop.carriers.deaf = None
    shop.tracker().poll(900)
    assert sorted(set(shop.carriers.tracked)) == ["1", "2", "3"]

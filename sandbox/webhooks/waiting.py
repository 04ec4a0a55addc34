"""Webhooks waiting to be sent, recorded in the transaction of the change that they report, so that a restart loses
none.

What became of a webhook stays in its record, an object of the kind `webhook`; the newest records are kept.

Delivery faults can be switched on per provider: loss, duplication, reordering, delay. The switches and the counts are
kept in memory, as the faults are: a restart brings back a healthy provider.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from sandbox.faults import PROVIDERS, BadFault, is_number
from sandbox.ids import alphanumeric
from sandbox.state import State

# The maximum extra delay of a reordered or duplicated webhook (seconds).
LATER = 2.0
# Stripe sends an endpoint the kinds that it is registered for; these are the shop's.
STRIPE_EVENTS = (
    *(
        f"payment_intent.{what}"
        for what in ("succeeded", "payment_failed", "canceled", "requires_action", "processing")
    ),
    *("charge.refunded", "refund.created", "refund.updated", "refund.failed"),
    *(f"charge.dispute.{what}" for what in ("created", "updated", "closed", "funds_withdrawn", "funds_reinstated")),
    *("radar.early_fraud_warning.created", "radar.early_fraud_warning.updated"),
    *("product.created", "product.updated", "product.deleted", "price.created", "price.updated", "price.deleted"),
    *("promotion_code.created", "promotion_code.updated", "coupon.updated", "coupon.deleted"),
)
# How many records of finished webhooks are kept, how many of the last attempts of one, and how often old records are
# looked for (once per this many webhooks).
RECORDS_KEPT, ATTEMPTS_KEPT, PRUNE_INTERVAL = 1000, 20, 100
COUNTS = ("noted", "lost", "duplicated", "sent", "delivered", "failed", "given_up")


@dataclass(frozen=True)
class Switches:
    """The delivery faults of a provider's webhooks.

    enabled: False: none is recorded, as for a disabled endpoint. loss_rate (0…1): silently never sent. duplicate_rate:
    sent twice. reorder_rate: held back for a moment, so that later ones overtake it. delay_ms: each one waits this
    long. seed: the same seed produces the same series. events: the kinds that are sent ("*": all).
    """

    enabled: bool = True
    loss_rate: float = 0
    duplicate_rate: float = 0
    reorder_rate: float = 0
    delay_ms: float = 0
    seed: int | None = None
    events: tuple[str, ...] = ("*",)

    @classmethod
    def from_json(cls, provider: str, body: Any) -> Switches:
        """Parse the switches in a request body, with defaults for the rest; BadFault when it is invalid."""
        if not isinstance(body, dict):
            raise BadFault("webhook switches are a JSON object")
        unknown = sorted(set(body) - set(cls.__dataclass_fields__))
        if unknown:
            raise BadFault(f"unknown: {', '.join(unknown)}; known: {', '.join(cls.__dataclass_fields__)}")
        for name in ("loss_rate", "duplicate_rate", "reorder_rate"):
            if not (is_number(body.get(name, 0)) and 0 <= body.get(name, 0) <= 1):
                raise BadFault(f"{name} must be a number from 0 to 1")
        if not (is_number(body.get("delay_ms", 0)) and 0 <= body.get("delay_ms", 0) <= 86_400_000):
            raise BadFault("delay_ms must be a number from 0 to 86400000")
        if not isinstance(body.get("enabled", True), bool):
            raise BadFault("enabled must be true or false")
        seed = body.get("seed")
        if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
            raise BadFault("seed must be a whole number")
        events = body.get("events", ["*"])
        if not isinstance(events, list) or not all(isinstance(event, str) for event in events):
            raise BadFault("events must be a list of kinds")
        given = {**body, **({"events": tuple(events)} if "events" in body else {})}
        return replace(default(provider), **given)


def default(provider: str) -> Switches:
    """A healthy provider."""
    return Switches(events=STRIPE_EVENTS) if provider == "stripe" else Switches()


class Event(NamedTuple):
    """An event that a provider reports: its kind, the body of the webhook, the callback URL of the request (Twilio
    only), and the seconds until it happens."""

    provider: str
    kind: str
    body: bytes
    url: str = ""
    after: float = 0.0


class Waiting(NamedTuple):
    """A webhook that waits to be sent; `tries`: the number of failed attempts; `record`: the id of its record, or None
    if an earlier version of the sandbox stored it."""

    seq: int
    provider: str
    kind: str
    url: str
    body: bytes
    tries: int
    record: str | None = None


class Outcome(NamedTuple):
    """How an attempt to send ended: the HTTP status of the answer, or why there was none."""

    status: int | None = None
    error: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether it was answered with 2xx."""
        return self.status is not None and self.status // 100 == 2


class Webhooks:
    """The waiting webhooks.

    state: where they are stored. events: returns the events that a change of an object (kind, before, after)
    causes.

    Attributes: counts: per provider, since the start. noticed: called when there is something new to send. last: per
    provider, the headers and the body of the last accepted request.
    """

    def __init__(
        self,
        state: State,
        events: Callable[[str, dict[str, Any] | None, dict[str, Any] | None], Iterable[Event]],
    ) -> None:
        self._state = state
        self._events = events
        self._switches = {provider: default(provider) for provider in PROVIDERS}
        self._dice = {provider: random.Random() for provider in PROVIDERS}  # noqa: S311 - dice, not secrets
        self.counts = {provider: dict.fromkeys(COUNTS, 0) for provider in PROVIDERS}
        self.noticed: Callable[[], None] = lambda: None
        self.last: dict[str, tuple[dict[str, str], bytes]] = {}
        self._until_prune = PRUNE_INTERVAL
        state.observers.append(self._changed)

    def set(self, provider: str, switches: Switches) -> None:
        """Switch on a provider's delivery faults, replacing the previous ones; its counts and its random generator
        restart."""
        self._switches[provider] = switches
        self._dice[provider] = random.Random(switches.seed)  # noqa: S311
        self.counts[provider] = dict.fromkeys(COUNTS, 0)

    def describe(self, provider: str) -> dict[str, Any]:
        """Return the provider's switches as JSON, with the counts and how many wait."""
        waiting = self._state.query("SELECT count(*) FROM webhooks WHERE provider = ?", (provider,))[0][0]
        return {**asdict(self._switches[provider]), "counts": {**self.counts[provider], "waiting": waiting}}

    def next_due(self) -> float | None:
        """Return when the next one is due, in the sandbox's time; None when none waits."""
        due: float | None = self._state.query("SELECT min(due) FROM webhooks")[0][0]
        return due

    def due(self, limit: int, without: Iterable[int] = ()) -> list[Waiting]:
        """Return those that are due now, the longest due first, except those with these numbers."""
        skipped = set(without)
        rows = self._state.query(
            "SELECT seq, provider, kind, url, body, tries, record FROM webhooks WHERE due <= ? "
            "ORDER BY due, seq LIMIT ?",
            (self._state.now(), limit + len(skipped)),
        )
        return [waiting for row in rows if (waiting := Waiting(*row)).seq not in skipped][:limit]

    def done(self, sent: Iterable[Waiting], count: str, outcome: Outcome) -> None:
        """Delete webhooks that were delivered, or given up."""
        with self._state.transaction():
            for one in sent:
                self._state.query("DELETE FROM webhooks WHERE seq = ?", (one.seq,))
                self.counts[one.provider][count] += 1
                self._record_attempt(one, outcome)

    def put_off(self, sent: Iterable[Waiting], seconds: float, outcome: Outcome) -> None:
        """Postpone webhooks by this many seconds."""
        with self._state.transaction():
            for one in sent:
                values = (self._state.now() + seconds, one.seq)
                self._state.query("UPDATE webhooks SET due = ?, tries = tries + 1 WHERE seq = ?", values)
                self.counts[one.provider]["failed"] += 1
                self._record_attempt(one, outcome)

    def repeat(self, record_id: str, times: int) -> dict[str, Any] | None:
        """Send a webhook this many times more, now; return its record, or None when there is none with this id."""
        record = self._state.get("webhook", record_id)
        if record is None:
            return None
        now = self._state.now()
        with self._state.transaction():
            event = Event(record["provider"], record["event"], record["body"].encode(), record["url"])
            for _ in range(times):
                self._queue(event, now, now, record_id)
            record |= {"state": "waiting", "due": now}
            self._state.put("webhook", record_id, record)
        self.noticed()
        return record

    def hurry(self, provider: str) -> dict[int, int]:
        """Make everything that has happened and is held back due now; return their numbers, and how often each was
        tried."""
        now = self._state.now()
        with self._state.transaction():
            self._state.query("UPDATE webhooks SET due = ? WHERE provider = ? AND at <= ?", (now, provider, now))
        self.noticed()
        return self.tries(provider)

    def tries(self, provider: str) -> dict[int, int]:
        """Return how often each due webhook was tried."""
        values = (provider, self._state.now())
        return dict(self._state.query("SELECT seq, tries FROM webhooks WHERE provider = ? AND at <= ?", values))

    def _changed(self, kind: str, object_id: str, before: dict[str, Any] | None, after: dict[str, Any] | None) -> None:
        if kind == "message" and after is not None and after.get("canceled_at"):
            self._forget("twilio", object_id)
        for event in self._events(kind, before, after):
            self._note(event, self._state.values(kind, object_id, "order_id"))

    def _note(self, event: Event, orders: list[str]) -> None:
        provider = event.provider
        switches, dice, counts = self._switches[provider], self._dice[provider], self.counts[provider]
        if not switches.enabled or ("*" not in switches.events and event.kind not in switches.events):
            return
        # All are drawn every time, so that a seed produces the same series independently of the rates.
        lost, twice, late = (
            dice.random() < rate for rate in (switches.loss_rate, switches.duplicate_rate, switches.reorder_rate)
        )
        pauses = [dice.uniform(0, LATER) if late else 0.0, dice.uniform(0, LATER)]
        counts["noted"] += 1
        counts["lost"] += lost
        counts["duplicated"] += twice and not lost
        at = self._state.now() + event.after
        dues = [] if lost else [at + switches.delay_ms / 1000 + pause for pause in pauses[: 2 if twice else 1]]
        record_id = alphanumeric("wh_", 24)
        for due in dues:
            self._queue(event, at, due, record_id)
        record = {
            "id": record_id,
            "provider": provider,
            "event": event.kind,
            "url": event.url,
            "body": event.body.decode(),
            "created": self._state.now(),
            "orders": orders,
            "state": "waiting" if dues else "lost",
            "due": min(dues, default=None),
            "tries": 0,
            "deliveries": 0,
            "attempts": [],
        }
        self._state.put("webhook", record_id, record)
        self._prune()
        self.noticed()

    def _queue(self, event: Event, at: float, due: float, record_id: str) -> None:
        values = (event.provider, event.kind, event.url, event.body, at, due, record_id)
        self._state.query(
            "INSERT INTO webhooks (provider, kind, url, body, at, due, record) VALUES (?, ?, ?, ?, ?, ?, ?)", values
        )

    def _forget(self, provider: str, object_id: str) -> None:
        """Forget the events of an object that have not happened yet, and will not."""
        values = (provider, self._state.now(), object_id.encode())
        where = "provider = ? AND at > ? AND instr(body, ?)"
        for (record_id,) in self._state.query(f"SELECT record FROM webhooks WHERE {where}", values):  # noqa: S608
            self._state.delete("webhook", record_id)
        self._state.query(f"DELETE FROM webhooks WHERE {where}", values)  # noqa: S608

    def _record_attempt(self, one: Waiting, outcome: Outcome) -> None:
        record = self._state.get("webhook", one.record) if one.record else None
        if record is None:
            return
        due = self._state.query("SELECT min(due) FROM webhooks WHERE record = ?", (one.record,))[0][0]
        attempt = {"at": self._state.now(), "status": outcome.status, "error": outcome.error}
        record["attempts"] = [*record["attempts"], attempt][-ATTEMPTS_KEPT:]
        record["tries"] += 1
        record["deliveries"] += outcome.accepted
        record["due"] = due
        record["state"] = "waiting" if due is not None else "delivered" if record["deliveries"] else "given_up"
        self._state.put("webhook", record["id"], record)

    def _prune(self) -> None:
        self._until_prune -= 1
        if self._until_prune > 0:
            return
        self._until_prune = PRUNE_INTERVAL
        for record_id in self._state.beyond("webhook", RECORDS_KEPT, limit=2 * PRUNE_INTERVAL):
            if not self._state.query("SELECT 1 FROM webhooks WHERE record = ? LIMIT 1", (record_id,)):
                self._state.delete("webhook", record_id)

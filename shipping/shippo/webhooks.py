"""Shippo's webhooks."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from typing import Any

from chassis.documents import is_id, read_document
from chassis.logs import log
from chassis.work.webhooks import is_current, signature_in, unsigned
from contracts.errors import InvalidRequest, Unavailable
from contracts.webhooks import Event, Handling
from shipping.rules.carriers import ParcelNews

HEADER = "Shippo-Auth-Signature"
LONGEST_KIND = 128
# The most keys and values of an event; the track of a parcel with a hundred stops has about 2 000.
MAX_VALUES = 20_000
TRACK_UPDATED, TRANSACTION_UPDATED = "track_updated", "transaction_updated"
# The field that identifies an event's label, for each handled event.
NAMED = {TRACK_UPDATED: "tracking_number", TRANSACTION_UPDATED: "object_id"}


def sign(secret: str, payload: bytes, now: float) -> str:
    """Return the header ``Shippo-Auth-Signature`` as Shippo computes it."""
    moment = str(int(now))
    return f"t={moment},v1={_mac(secret, moment, payload)}"


class ShippoWebhooks:
    """Shippo's webhooks, as a `contracts.webhooks.WebhookSource`.

    Args:
        secret: signs them; "" when it is not configured, so that nothing can be verified.
        parcels: records what they report.
        clock: Unix seconds.
    """

    kinds = tuple(NAMED)

    def __init__(self, secret: str, parcels: ParcelNews, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._parcels = parcels
        self._clock = clock

    def verify(self, raw: bytes, headers: Mapping[str, str]) -> None:
        """See the port. The header is ``t=<Unix seconds>,v1=<hex>``."""
        if not self._secret:
            log.error("shippo's events cannot be verified: SHIPPO_WEBHOOK_SECRET is not set")
            raise Unavailable("Shippo's events cannot be verified: no secret is set.", {"retry_after": 60})
        try:
            parts = dict(part.strip().split("=", 1) for part in signature_in(headers, HEADER).split(","))
            moment, mac = parts["t"], parts["v1"].encode()
            current = is_current(int(moment), self._clock())
        except (KeyError, ValueError, OverflowError):
            raise unsigned(HEADER, "cannot be read") from None
        if not hmac.compare_digest(_mac(self._secret, moment, raw).encode(), mac):
            raise unsigned(HEADER, "is not Shippo's")
        if not current:
            raise unsigned(HEADER, "is too old")

    def parse(self, raw: bytes) -> list[Event]:
        """See the port."""
        try:
            body = read_document(raw, MAX_VALUES)
            kind, data = body["event"], body["data"]
        except (ValueError, KeyError, TypeError):
            kind, data = None, None
        if not isinstance(kind, str) or not 0 < len(kind) <= LONGEST_KIND or not isinstance(data, dict):
            raise _no_event("event and data")
        named = NAMED.get(kind)
        if named is not None and not is_id(data.get(named)):
            raise _no_event(f"data.{named}, a text")
        handling = {TRACK_UPDATED: Handling.AT_ONCE, TRANSACTION_UPDATED: Handling.LATER}.get(kind, Handling.NEVER)
        # Shippo's events have no id; a repeated event has the same body.
        return [Event(f"shippo:{hashlib.sha256(raw).hexdigest()}", kind, data, handling)]

    def handle(self, kind: str, body: dict[str, Any]) -> None:
        """See the port."""
        if kind == TRACK_UPDATED:
            self._parcels.record_status(str(body.get("tracking_number") or ""), body)
        else:
            self._parcels.label_changed(str(body.get("object_id") or ""))


def _mac(secret: str, moment: str, payload: bytes) -> str:
    return hmac.new(secret.encode(), moment.encode() + b"." + payload, hashlib.sha256).hexdigest()


def _no_event(wanted: str) -> InvalidRequest:
    return InvalidRequest("This is no event of Shippo's.", {"errors": {"body": [f"must have {wanted}"]}})

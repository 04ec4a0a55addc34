"""Shippo's webhooks: signature verification and parsing."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from chassis.documents import MAX_SIGNATURE_LENGTH, is_id, read_document
from chassis.logs import log
from contracts.errors import InvalidRequest, Unavailable

# An event that was signed longer ago than this is treated as a replay (seconds).
TOLERANCE = 300.0
LONGEST_KIND = 128
# The most keys and values of an event; the track of a parcel with a hundred stops has about 2 000.
MAX_VALUES = 20_000
# The field that identifies an event's label, for each handled event.
NAMED = {"track_updated": "tracking_number", "transaction_updated": "object_id"}


@dataclass(frozen=True)
class Event:
    """A verified event of Shippo's: its id, its kind ("track_updated"), and its data."""

    event_id: str
    kind: str
    data: dict[str, Any]


def sign(secret: str, payload: bytes, now: float) -> str:
    """Return the header ``Shippo-Auth-Signature`` as Shippo computes it."""
    moment = str(int(now))
    return f"t={moment},v1={_mac(secret, moment, payload)}"


def verified(raw: str, signature: str, secret: str, now: float) -> Event:
    """Parse an event after verifying its signature over the raw body.

    Args:
        raw: the body, each byte a character (latin-1).
        signature: the header ``Shippo-Auth-Signature``: ``t=<Unix seconds>,v1=<hex>``.
        secret: the signing secret; "" when it is not configured, so that nothing can be verified.
        now: Unix seconds.

    Raises:
        InvalidRequest: it is not from Shippo, was signed more than five minutes ago, or is not an event.
        Unavailable: no secret is configured; Shippo must keep retrying.
    """
    if not secret:
        log.error("shippo's events cannot be verified: SHIPPO_WEBHOOK_SECRET is not set")
        raise Unavailable("Shippo's events cannot be verified: no secret is set.", {"retry_after": 60})
    if len(signature) > MAX_SIGNATURE_LENGTH:
        raise _refused("cannot be read")
    try:
        payload = raw.encode("latin-1")
        parts = dict(part.strip().split("=", 1) for part in signature.split(","))
        moment, mac = parts["t"], parts["v1"]
        late = abs(now - int(moment)) > TOLERANCE
        sent = mac.encode()
    except (AttributeError, KeyError, ValueError, OverflowError):
        raise _refused("cannot be read") from None
    if not hmac.compare_digest(_mac(secret, moment, payload).encode(), sent):
        raise _refused("is not Shippo's")
    if late:
        raise _refused("is too old")
    return _event(payload)


def _event(payload: bytes) -> Event:
    try:
        body = read_document(payload, MAX_VALUES)
        kind, data = body["event"], body["data"]
    except (ValueError, KeyError, TypeError):
        kind, data = None, None
    if not isinstance(kind, str) or not 0 < len(kind) <= LONGEST_KIND or not isinstance(data, dict):
        raise InvalidRequest("This is no event of Shippo's.", {"errors": {"body": ["must have event and data"]}})
    named = NAMED.get(kind)
    if named is not None and not is_id(data.get(named)):
        raise InvalidRequest("This is no event of Shippo's.", {"errors": {"body": [f"must have data.{named}, a text"]}})
    # Shippo's events have no id; a repeated event has the same body.
    return Event(f"shippo:{hashlib.sha256(payload).hexdigest()}", kind, data)


def _mac(secret: str, moment: str, payload: bytes) -> str:
    return hmac.new(secret.encode(), moment.encode() + b"." + payload, hashlib.sha256).hexdigest()


def _refused(why: str) -> InvalidRequest:
    message = f"The signature {why}."
    return InvalidRequest(message, {"errors": {"Shippo-Auth-Signature": [message]}, "unsigned": True})

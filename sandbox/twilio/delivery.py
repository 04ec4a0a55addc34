"""How a message goes on after Twilio accepted it: its statuses, and when each one begins.

The statuses and their order are those of "Outbound Message Status in Status Callbacks"
(https://www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sandbox.recipients import SMS_OUTCOMES

# Seconds after which a message of a Messaging Service has its sender, and after which a message is sent and delivered.
QUEUED_AFTER = 0.5
SENT_AFTER = 1.0
DELIVERED_AFTER = 2.0
ENDS_WAITING = ("sent", "failed", "canceled", "received")


class Step(NamedTuple):
    """A status of a message, and after how many seconds it begins."""

    status: str
    after: float


def steps(message: dict[str, Any]) -> list[Step]:
    """Return the statuses of a stored message, in order.

    A carrier's receipt decides between `delivered` and `undelivered`. A `failed` message never left Twilio. A message
    of a Messaging Service is `accepted` until the service has chosen a sender, and `scheduled` before its time.
    """
    if message.get("direction") == "inbound":
        return [Step("received", 0.0)]
    outcome = message.get("outcome") or "delivered"
    start, found = 0.0, [Step("queued", 0.0)]
    if message["messaging_service_sid"]:
        found = [Step("accepted", 0.0), Step("queued", QUEUED_AFTER)]
    if message.get("send_at"):
        start = message["send_at"] - message["created"]
        found = [Step("scheduled", 0.0), *(Step(status, start + after) for status, after in found)]
    if message.get("canceled_at"):
        return [Step("scheduled", 0.0), Step("canceled", message["canceled_at"] - message["created"])]
    if outcome == "failed":
        return [*found, Step("failed", start + SENT_AFTER)]
    return [*found, Step("sent", start + SENT_AFTER), Step(outcome, start + DELIVERED_AFTER)]


def sent_at(message: dict[str, Any]) -> float:
    """Return when a message is sent, fails, or is canceled, or when it was received (Unix seconds)."""
    after = next(after for status, after in steps(message) if status in ENDS_WAITING)
    return float(message["created"] + after)


def step_at(message: dict[str, Any], now: float) -> Step:
    """Return the status of a message at `now` (Unix seconds)."""
    found = steps(message)
    return next((step for step in reversed(found) if message["created"] + step.after <= now), found[0])


def settles_in(message: dict[str, Any], now: float) -> float | None:
    """Return the seconds until the status changes, or None when it is the last one."""
    waits = [message["created"] + step.after - now for step in steps(message)]
    return next((round(wait, 3) for wait in waits if wait > 0), None)


def error_of(message: dict[str, Any], status: str) -> int | None:
    """Return Twilio's error code of a message with this status, or None."""
    return message.get("error_code") if status in SMS_OUTCOMES else None

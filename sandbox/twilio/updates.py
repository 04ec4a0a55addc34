"""What can be changed of a message: a scheduled one is canceled, the text of any other is redacted; and its deletion.

"Update a Message resource": https://www.twilio.com/docs/messaging/api/message-resource#update-a-message-resource.
A message that is no longer scheduled: https://www.twilio.com/docs/api/errors/30409. Twilio documents no code for a text
that is not empty, and none for a message that is still on its way; the sandbox assumes 20001 and 20009.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.twilio.delivery import settles_in, step_at
from sandbox.twilio.failures import TwilioFailure


def updated(message: dict[str, Any], given: Mapping[str, str], now: float) -> dict[str, Any]:
    """Return a stored message after an update at `now` (Unix seconds); TwilioFailure when it is not possible."""
    if "Status" in given:
        if given["Status"] != "canceled":
            raise TwilioFailure(400, 20001, "Invalid value for Status: only 'canceled' is allowed")
        if step_at(message, now).status != "scheduled":
            raise TwilioFailure(400, 30409, "This message cannot be canceled")
        message = {**message, "canceled_at": now}
    if "Body" in given:
        if given["Body"]:
            raise TwilioFailure(400, 20001, "Invalid value for Body: only an empty Body is allowed")
        _check_finished(message, now)
        message = {**message, "body": ""}
    return message


def check_deletable(message: dict[str, Any], now: float) -> None:
    """Raise TwilioFailure for a message that is still on its way."""
    _check_finished(message, now)


def _check_finished(message: dict[str, Any], now: float) -> None:
    if settles_in(message, now) is not None:
        raise TwilioFailure(409, 20009, "Cannot change or delete this resource before it is complete")

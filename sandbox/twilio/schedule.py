"""Messages that are sent later: "Message Scheduling" (https://www.twilio.com/docs/messaging/features/message-scheduling).

The codes are those of https://www.twilio.com/docs/api/errors/35111, 35114, 35118 and 35126.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from sandbox.twilio.failures import TwilioFailure

# How long before its time a message may be scheduled (seconds): at least five minutes, at most 35 days.
SOONEST_S, LATEST_S = 300, 35 * 86400


def scheduled_for(given: Mapping[str, str], now: float) -> float | None:
    """Return when a message is to be sent (Unix seconds), or None: at once. TwilioFailure when that is impossible.

    given: the request's form. SendAt counts only with ScheduleType.
    """
    if not given.get("ScheduleType"):
        return None
    if given["ScheduleType"] != "fixed":
        raise TwilioFailure(400, 35126, "The ScheduleType value provided is not supported for this channel")
    if not given.get("MessagingServiceSid"):
        raise TwilioFailure(400, 35118, "MessagingServiceSid is required to schedule a message")
    if not given.get("SendAt"):
        raise TwilioFailure(400, 35111, "SendAt timestamp is missing")
    try:
        moment = datetime.fromisoformat(given["SendAt"])
        at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        at = 0.0
    if not SOONEST_S <= at - now <= LATEST_S:
        raise TwilioFailure(400, 35114, "Scheduling does not support this timestamp")
    return at

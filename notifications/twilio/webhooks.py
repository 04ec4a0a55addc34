"""Twilio's webhooks: signature verification and parsing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from twilio.request_validator import RequestValidator

from chassis.documents import is_id
from contracts.errors import InvalidRequest
from notifications.rules.progress import News, Progress

KIND = "twilio.message"
# The gateway's path for it, which Twilio signs with the rest of the URL.
PATH = "/api/webhooks/twilio/"

# Twilio sends about 20 parameters; its ids have 34 characters.
MAX_PARAMETERS = 100
LONGEST_FIELD = 64
PROGRESS = {
    **dict.fromkeys(("accepted", "scheduled", "queued"), Progress.QUEUED),
    **dict.fromkeys(("sending", "sent"), Progress.SENT),
    **dict.fromkeys(("delivered", "read"), Progress.DELIVERED),
    **dict.fromkeys(("undelivered", "failed", "canceled"), Progress.FAILED),
}


@dataclass(frozen=True)
class SmsEvent:
    """A verified event of Twilio's: its id, and ``{"sid", "status", "error"}``."""

    event_id: str
    body: dict[str, Any]


def callback_url(public_url: str, live: bool) -> str | None:
    """Return the callback URL for a message's status; None when Twilio cannot reach the shop."""
    host = urlsplit(public_url).hostname or ""
    # Twilio itself rejects a message whose callback is on a loopback host.
    unreachable = not host or (live and (host in ("localhost", "::1") or host.startswith("127.")))
    return None if unreachable else public_url + PATH


def verified(raw: str, signature: str, token: str, public_url: str) -> SmsEvent:
    """Parse an event after verifying its signature over the raw form.

    Args:
        raw: the body, each byte a character (latin-1).
        signature: the header ``X-Twilio-Signature``. It contains no time, so an old event counts as a repeated one.
        token: the signing secret.
        public_url: the shop's URL as Twilio calls it.

    Raises:
        InvalidRequest: it is not from Twilio, or does not concern a message.
    """
    try:
        # The signature covers the sorted parameters, so they are parsed first, with a limit on their number.
        pairs = parse_qsl(raw.encode("latin-1").decode(), keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
        form = dict(pairs)
        genuine = RequestValidator(token).validate(public_url + PATH, form, signature)
    except (AttributeError, TypeError, ValueError):
        genuine, form = False, {}
    if not genuine:
        message = "The signature is not Twilio's."
        raise InvalidRequest(message, {"errors": {"X-Twilio-Signature": [message]}, "unsigned": True})
    sid, status, error = (form.get(name, "") for name in ("MessageSid", "MessageStatus", "ErrorCode"))
    if not all(is_id(text) and len(text) <= LONGEST_FIELD for text in (sid, status, error or "none")):
        missing = {"errors": {"body": ["must have MessageSid and MessageStatus, and may have ErrorCode"]}}
        raise InvalidRequest("This is about no message.", missing)
    return SmsEvent(f"{sid}:{status}", {"sid": sid, "status": status, "error": error})


def news_of(status: Any, error: Any) -> News | None:
    """Return Twilio's status and error code in the shop's terms; None for an unknown status."""
    progress = PROGRESS.get(str(status or ""))
    if progress is None:
        return None
    return News(progress, f"Twilio error {error}" if error else "")

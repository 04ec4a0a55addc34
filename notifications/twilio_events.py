"""What Twilio sends by itself: whether it is from Twilio, and what became of a message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from twilio.request_validator import RequestValidator

from chassis.documents import is_id
from contracts.errors import InvalidRequest
from notifications.progress import News, Progress

KIND = "twilio.message"
# Where the gateway takes it, and what Twilio signs with the rest of the URL.
PATH = "/api/webhooks/twilio/"

# Twilio sends about 20 parameters; an id of its has 34 characters.
MOST_PARAMETERS = 100
LONGEST_FIELD = 64
PROGRESS = {
    **dict.fromkeys(("accepted", "scheduled", "queued"), Progress.QUEUED),
    **dict.fromkeys(("sending", "sent"), Progress.SENT),
    **dict.fromkeys(("delivered", "read"), Progress.DELIVERED),
    **dict.fromkeys(("undelivered", "failed", "canceled"), Progress.FAILED),
}


@dataclass(frozen=True)
class SmsEvent:
    """An event that is Twilio's own: its id, and ``{"sid", "status", "error"}``."""

    event_id: str
    body: dict[str, Any]


def callback_url(public_url: str, live: bool) -> str | None:
    """Where Twilio is to tell what becomes of a message; None when there is nowhere that it can reach."""
    host = urlsplit(public_url).hostname or ""
    # Twilio itself refuses a message with a callback to a machine of its own.
    unreachable = not host or (live and (host in ("localhost", "::1") or host.startswith("127.")))
    return None if unreachable else public_url + PATH


def verified(raw: str, signature: str, token: str, public_url: str) -> SmsEvent:
    """Read an event, after its signature was verified over the form as it came.

    Args:
        raw: the body, each byte a character (latin-1).
        signature: the header ``X-Twilio-Signature``. It has no time in it: an old event is only a repeated one.
        token: what Twilio signs with.
        public_url: the shop's, as Twilio knows it.

    Raises:
        InvalidRequest: it is not from Twilio, or tells of no message.
    """
    try:
        # The signature covers the sorted parameters, so they are read first, a bounded number of them.
        pairs = parse_qsl(raw.encode("latin-1").decode(), keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
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
        raise InvalidRequest("This tells of no message.", missing)
    return SmsEvent(f"{sid}:{status}", {"sid": sid, "status": status, "error": error})


def news_of(status: Any, error: Any) -> News | None:
    """Twilio's status and error code in the shop's words; None for a status that nobody understands."""
    progress = PROGRESS.get(str(status or ""))
    if progress is None:
        return None
    return News(progress, f"Twilio error {error}" if error else "")

"""Twilio's webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from twilio.request_validator import RequestValidator

from chassis.documents import is_id
from chassis.work.webhooks import signature_in, unsigned
from contracts.errors import InvalidRequest
from contracts.webhooks import Event
from notifications.rules.progress import News, Progress, Record

KIND = "twilio.message"
# The gateway's path for it, which Twilio signs with the rest of the URL.
PATH = "/api/webhooks/twilio/"
HEADER = "X-Twilio-Signature"

# Twilio sends about 20 parameters in less than a kilobyte; its ids have 34 characters. 64 KiB of escapes take
# 30 ms to parse, and they are parsed before their signature can be verified.
MAX_BYTES = 8 * 1024
MAX_PARAMETERS = 100
LONGEST_FIELD = 64
PROGRESS = {
    **dict.fromkeys(("accepted", "scheduled", "queued"), Progress.QUEUED),
    **dict.fromkeys(("sending", "sent"), Progress.SENT),
    **dict.fromkeys(("delivered", "read"), Progress.DELIVERED),
    **dict.fromkeys(("undelivered", "failed", "canceled"), Progress.FAILED),
}


class TwilioWebhooks:
    """Twilio's webhooks, as a `contracts.webhooks.WebhookSource`.

    Args:
        token: the signing secret.
        public_url: the shop's URL as Twilio calls it.
        record: records the delivery status of a message.
    """

    kinds = (KIND,)

    def __init__(self, token: str, public_url: str, record: Record) -> None:
        self._token = token
        self._url = public_url + PATH
        self._record = record

    def verify(self, raw: bytes, headers: Mapping[str, str]) -> None:
        """See the port. The signature contains no time, so an old event counts as a repeated one."""
        signature = signature_in(headers, HEADER)
        try:
            # The signature covers the sorted parameters, so they are parsed first, with a limit on their number.
            genuine = RequestValidator(self._token).validate(self._url, _form(raw), signature)
        except (AttributeError, TypeError, ValueError):
            genuine = False
        if not genuine:
            raise unsigned(HEADER, "is not Twilio's")

    def parse(self, raw: bytes) -> list[Event]:
        """See the port."""
        sid, status, error = (_form(raw).get(name, "") for name in ("MessageSid", "MessageStatus", "ErrorCode"))
        if not all(is_id(text) and len(text) <= LONGEST_FIELD for text in (sid, status, error or "none")):
            missing = {"errors": {"body": ["must have MessageSid and MessageStatus, and may have ErrorCode"]}}
            raise InvalidRequest("This is about no message.", missing)
        return [Event(f"{sid}:{status}", KIND, {"sid": sid, "status": status, "error": error})]

    def handle(self, kind: str, body: dict[str, Any]) -> None:
        """See the port."""
        self._record("sms", {"provider_id": body["sid"]}, news_of(body["status"], body["error"]))


def callback_url(public_url: str, live: bool) -> str | None:
    """Return the callback URL for a message's status; None when Twilio cannot reach the shop."""
    host = urlsplit(public_url).hostname or ""
    # Twilio itself rejects a message whose callback is on a loopback host.
    unreachable = not host or (live and (host in ("localhost", "::1") or host.startswith("127.")))
    return None if unreachable else public_url + PATH


def news_of(status: Any, error: Any) -> News | None:
    """Return Twilio's status and error code in the shop's terms; None for an unknown status."""
    progress = PROGRESS.get(str(status or ""))
    if progress is None:
        return None
    return News(progress, f"Twilio error {error}" if error else "")


def _form(raw: bytes) -> dict[str, str]:
    """The parameters. Raises ValueError when they are too many or too long."""
    if len(raw) > MAX_BYTES:
        raise ValueError("the form is too long")
    return dict(parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=MAX_PARAMETERS))

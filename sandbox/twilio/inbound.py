"""Messages that shoppers send to the shop's number, and the words by which they stop and start its messages.

The words, and that the message is passed on to the webhook: "Twilio support for opt-out keywords (SMS STOP filtering)"
(https://support.twilio.com/hc/en-us/articles/223134027), with OPTOUT and REVOKE of
https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out. The webhook's form: "Twilio's request to your incoming
message Webhook URL" (https://www.twilio.com/docs/messaging/guides/webhook-request). `OptOutType` is missing, because it
belongs to the Advanced Opt-Out of Messaging Services.
"""

from __future__ import annotations

from typing import Any

from sandbox import settings
from sandbox.ids import hexadecimal
from sandbox.recipients import change
from sandbox.state import State
from sandbox.twilio.segments import segments

# How many of the latest messages are searched for a callback URL.
_RECENT = 100
# The shop's number: the only one that may send with test credentials.
SHOP_NUMBER = "+15005550006"
# A message that is one of these words, in any case.
STOP_WORDS = frozenset(("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "OPTOUT", "REVOKE"))
START_WORDS = frozenset(("START", "YES", "UNSTOP"))


def receive(state: State, sender: str, text: str, default_url: str) -> dict[str, Any]:
    """Store a message from `sender` to the shop's number, and return it; after a word to stop, no message reaches it.

    default_url: where the webhook goes when no message of the shop has named a callback URL yet. A number's webhook is
    configured at Twilio, where the sandbox has no settings, so it goes to the shop's own callback URL.
    """
    latest = state.each("message", limit=_RECENT)
    urls = (message["status_callback"] for message in latest if message["status_callback"])
    message: dict[str, Any] = {
        "sid": hexadecimal("SM"),
        "direction": "inbound",
        "to": SHOP_NUMBER,
        "from": sender,
        "body": text,
        "messaging_service_sid": None,
        "num_media": "0",
        "num_segments": str(segments(text)),
        "status_callback": next(urls, default_url),
        "created": state.now(),
    }
    word = text.strip().upper()
    with state.transaction():
        if word in STOP_WORDS | START_WORDS:
            change(state, sender, opted_out=word in STOP_WORDS)
        state.put("message", message["sid"], message)
    return message


def form_of(message: dict[str, Any]) -> dict[str, str]:
    """Return the webhook's form of a stored message."""
    return {
        "AccountSid": settings.TWILIO_ACCOUNT,
        "ApiVersion": "2010-04-01",
        "Body": message["body"],
        "From": message["from"],
        "MessageSid": message["sid"],
        "NumMedia": message["num_media"],
        "NumSegments": message["num_segments"],
        "SmsMessageSid": message["sid"],
        "SmsSid": message["sid"],
        "SmsStatus": "received",
        "To": message["to"],
    }

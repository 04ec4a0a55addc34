"""Webhooks: events from the providers, passed unread to the service that can verify them.

They need no key and no cart: the signature identifies the sender. A webhook is answered 200 only once the service has
stored it, so that a provider resends what was not stored. One with a valid signature is never limited.
"""

from __future__ import annotations

from typing import Any

from falcon import Request, Response

from chassis.registry import owner_of
from chassis.settings import Settings
from contracts.errors import InvalidRequest
from gateway import limits, visit
from gateway.errors import NoSuchRoute
from gateway.reading import raw_body
from gateway.routing import LARGE_BYTES, USUAL_BYTES, as_json_or_text, post
from gateway.visit import services

# Headers with secrets of this shop, which no provider signs.
PRIVATE = ("AUTHORIZATION", "COOKIE", "CART-ID", "ORDER-TOKEN")


def most_bytes(settings: Settings, provider: str) -> int:
    """Return the size of a provider's largest webhook. Stripe's objects and Shippo's tracking histories have no stated
    size; SendGrid sends batches of up to 768 KB, Twilio short forms."""
    if owner_of(provider, settings.in_use) is None:
        return 0
    return USUAL_BYTES if provider == "twilio" else LARGE_BYTES


@post("/api/webhooks/{provider}", most_bytes=most_bytes, output=as_json_or_text)
def webhook(request: Request, response: Response, provider: str) -> dict[str, Any] | str:
    """A provider's event, such as a payment that succeeded or a parcel that moved; the format is the provider's. So is
    that of the answer to a shopper's text message."""
    owner = owner_of(provider, visit.of(request).gateway.settings.in_use)
    if owner is None:
        raise NoSuchRoute("There is nothing here.")
    service = getattr(services(request), owner)
    headers = {name: value for name, value in request.headers.items() if name not in PRIVATE}
    try:
        kept: dict[str, Any]
        kept = service.webhook(provider, raw_body(request), headers)
    except InvalidRequest as error:
        # A signed event that is not understood is the provider's fault, and does not count.
        if error.facts.get("unsigned"):
            limits.spend(request, limits.WEBHOOK_SIGNATURE)
        raise
    reply = kept.pop("reply", None)
    if reply is None:
        return kept
    response.content_type = reply["content_type"]
    return str(reply["text"])

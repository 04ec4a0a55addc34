"""Webhooks: events from the providers, passed unread to the service that can verify them.

They need no key and no cart: the signature identifies the sender. A webhook is answered 200 only once the service has
stored it, so that a provider resends what was not stored. One with a valid signature is never limited.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from falcon import Request

from contracts.errors import InvalidRequest
from gateway import limits
from gateway.reading import raw_body
from gateway.routing import LARGE_BYTES, post
from gateway.visit import services

Answer = dict[str, Any]  # {"received": True, "duplicate": whether it was stored before}


# Stripe's objects and Shippo's tracking histories have no stated size; SendGrid sends batches of up to 768 KB.
@post("/api/webhooks/stripe", most_bytes=LARGE_BYTES)
def stripe(request: Request) -> Answer:
    """A Stripe event: a payment, a refund or a product has changed."""
    with _counted(request):
        kept: Answer = services(request).cart.stripe_event(raw_body(request), _header(request, "Stripe-Signature"))
    return kept


@post("/api/webhooks/shippo", most_bytes=LARGE_BYTES)
def shippo(request: Request) -> Answer:
    """A Shippo event: a parcel has moved, or a label has changed."""
    with _counted(request):
        kept: Answer = services(request).shipping.shippo_event(
            raw_body(request), _header(request, "Shippo-Auth-Signature")
        )
    return kept


@post("/api/webhooks/twilio")
def twilio(request: Request) -> Answer:
    """Twilio's status callback: the delivery status of an SMS; a form, not JSON."""
    with _counted(request):
        kept: Answer = services(request).notifications.twilio_event(
            raw_body(request), _header(request, "X-Twilio-Signature")
        )
    return kept


@post("/api/webhooks/sendgrid", most_bytes=LARGE_BYTES)
def sendgrid(request: Request) -> Answer:
    """SendGrid events, several at once: the delivery status of email."""
    with _counted(request):
        kept: Answer = services(request).notifications.sendgrid_event(
            raw_body(request),
            _header(request, "X-Twilio-Email-Event-Webhook-Signature"),
            _header(request, "X-Twilio-Email-Event-Webhook-Timestamp"),
        )
    return kept


@contextmanager
def _counted(request: Request) -> Iterator[None]:
    """Count an event whose signature its service refuses. A signed event that is not understood is the provider's
    fault, and does not count."""
    try:
        yield
    except InvalidRequest as error:
        if error.facts.get("unsigned"):
            limits.spend(request, limits.WEBHOOK_SIGNATURE)
        raise


def _header(request: Request, name: str) -> str:
    """The request's header `name`, or "": a missing signature is a bad one, which the service reports."""
    value: str | None = request.get_header(name)
    return value or ""

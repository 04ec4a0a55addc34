"""Notifications: an email or an SMS sent manually."""

from __future__ import annotations

from typing import Any

from falcon import Request

from gateway import schemas, seed_json
from gateway.idempotency import effect, of_admin
from gateway.reading import body
from gateway.routing import LARGE_BYTES, post
from gateway.schemas import spelled
from gateway.visit import services

# The text of the seed's example.
DEFAULT_SMS = "Your order is ready!"


@post("/api/notifications/email", status=202, admin=True, most_bytes=LARGE_BYTES)
def send_email(request: Request) -> dict[str, Any]:
    """Send an email; `content` is text, or HTML when it begins with `<`.

    A mailbox that marked the shop's mail as spam, or unsubscribed, gets receipts only: 422 without `receipt`.
    """
    form = body(request, schemas.EMAIL_MESSAGE)
    once = effect(request, form, of_admin)
    receipt = [True] if form.get("receipt") else []  # a service of the previous release does not know it
    return services(request, once).notifications.send_email(
        form["to_email"], form["subject"], form["content"], form.get("from_email"), once.key, *receipt
    )


@post("/api/notifications/sms", status=201, admin=True)
def send_sms(request: Request) -> dict[str, Any]:
    """Send an SMS; the number may be a string or, as in the seed, a number."""
    form = body(request, schemas.SMS_MESSAGE, rescue=seed_json.sms)
    number = spelled(form, "number", "to_phone")
    once = effect(request, form, of_admin)
    return services(request, once).notifications.send_sms(
        f"+{number}" if isinstance(number, int) else number, form.get("content", DEFAULT_SMS), once.key
    )

"""The webhook events of the providers: the webhook bodies that a change of a stored object causes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import orjson

from sandbox import settings
from sandbox.ids import alphanumeric
from sandbox.sendgrid.delivery import steps as mail_steps
from sandbox.shippo.tracks import bought_track
from sandbox.state import State, without_private
from sandbox.stripe.api import API_VERSION
from sandbox.stripe.dispute_cases import CLOSED
from sandbox.twilio.delivery import Step, error_of, steps
from sandbox.twilio.inbound import form_of
from sandbox.webhooks.waiting import Event

Body = dict[str, Any]
_STRIPE = frozenset(
    (
        *("product", "price", "payment_intent", "charge", "refund", "coupon", "promotion_code"),
        *("dispute", "early_fraud_warning"),
    )
)
# Every kind that is sent, per provider. `bench conformance` compares them with what it sees.
KINDS: dict[str, frozenset[str]] = {
    "stripe": frozenset(
        (
            *(f"product.{what}" for what in ("created", "updated", "deleted")),
            *("price.created", "price.updated"),
            *(f"payment_intent.{what}" for what in ("created", "succeeded", "payment_failed", "canceled")),
            *(
                "payment_intent.requires_action",
                "payment_intent.processing",
                "payment_intent.amount_capturable_updated",
            ),
            *(f"charge.{what}" for what in ("succeeded", "failed", "pending", "captured", "refunded", "updated")),
            *("refund.created", "refund.updated", "refund.failed", "charge.refund.updated"),
            *(f"charge.dispute.{what}" for what in ("created", "updated", "closed")),
            *("charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated"),
            *("radar.early_fraud_warning.created", "radar.early_fraud_warning.updated"),
            *(f"coupon.{what}" for what in ("created", "updated", "deleted")),
            *("promotion_code.created", "promotion_code.updated"),
        )
    ),
    "shippo": frozenset(("transaction_created", "transaction_updated", "track_updated")),
    "twilio": frozenset(("queued", "sent", "delivered", "undelivered", "failed", "canceled", "received")),
    "sendgrid": frozenset(("processed", "delivered", "bounce", "deferred", "dropped", "spamreport", "unsubscribe")),
}


def events_of(state: State) -> Callable[[str, Body | None, Body | None], Iterator[Event]]:
    """Return `events(kind, before, after)`, which yields the events of a change.

    `before` is None for a new object, `after` for a deleted one.
    """

    def events(kind: str, before: Body | None, after: Body | None) -> Iterator[Event]:
        if kind in _STRIPE:
            for event in _stripe_kinds(kind, before, after):
                yield Event("stripe", event, _stripe_event(state, event, before, after))
        elif kind == "transaction" and after is not None:
            yield from _transaction(state, before, after)
        elif kind == "message" and after is not None and after["status_callback"]:
            yield from _message(before, after)
        elif kind == "mail" and before is None and after is not None:
            yield from _mail(after)

    return events


# Stripe


def _stripe_kinds(kind: str, before: Body | None, after: Body | None) -> Iterator[str]:
    if after is None:
        yield f"{kind}.deleted"
    elif kind == "payment_intent":
        yield from _intent_kinds(before, after)
    elif kind == "charge":
        yield from _charge_kinds(before, after)
    elif kind == "dispute":
        yield from _dispute_kinds(before, after)
    elif kind == "early_fraud_warning":
        yield f"radar.early_fraud_warning.{'created' if before is None else 'updated'}"
    elif kind == "refund":
        yield from _refund_kinds(before, after)
    elif before is None:
        yield f"{kind}.created"
    elif before != after:
        yield f"{kind}.updated"


def _intent_kinds(before: Body | None, after: Body) -> Iterator[str]:
    if before is None:
        yield "payment_intent.created"
    status = after["status"]
    if before is not None and before["status"] == status and status != "requires_payment_method":
        return
    if status in ("succeeded", "canceled", "requires_action", "processing"):
        yield f"payment_intent.{status}"
    elif status == "requires_capture":
        yield "payment_intent.amount_capturable_updated"
    elif after["last_payment_error"] and (
        before is None or before["last_payment_error"] != after["last_payment_error"]
    ):
        yield "payment_intent.payment_failed"


def _charge_kinds(before: Body | None, after: Body) -> Iterator[str]:
    if before is None or after["status"] != before["status"]:  # new, or a debit has ended
        yield f"charge.{after['status']}"
    elif after["amount_refunded"] > before["amount_refunded"] and before["captured"]:
        yield "charge.refunded"
    elif after["captured"] and not before["captured"]:
        yield "charge.captured"
    elif after["amount_refunded"] < before["amount_refunded"]:
        return  # a failed refund has its own events
    elif {**before, "disputed": after["disputed"]} != after:  # the dispute has its own events
        yield "charge.updated"


def _dispute_kinds(before: Body | None, after: Body) -> Iterator[str]:
    """A win pays back before it closes; what an escalation changes is reported before its withdrawal."""
    booked = [each["amount"] for each in after["balance_transactions"]]
    new = booked[len(before["balance_transactions"]) if before is not None else 0 :]
    if before is None:
        yield "charge.dispute.created"
    elif after["status"] not in CLOSED and before != after:
        yield "charge.dispute.updated"
    for amount in new:
        yield f"charge.dispute.funds_{'withdrawn' if amount < 0 else 'reinstated'}"
    if before is not None and after["status"] in CLOSED and before["status"] not in CLOSED:
        yield "charge.dispute.closed"


def _refund_kinds(before: Body | None, after: Body) -> Iterator[str]:
    """What a refund's failure sends: https://docs.stripe.com/api/events/types"""
    if before is None:
        yield "refund.created"
    elif before != after:
        yield "refund.updated"
        if before["status"] != after["status"]:
            yield "charge.refund.updated"
            if after["status"] == "failed":
                yield "refund.failed"


def _stripe_event(state: State, kind: str, before: Body | None, after: Body | None) -> bytes:
    subject = after if after is not None else before or {}
    data: Body = {"object": without_private(subject)}
    if kind.endswith(".updated") and before is not None:
        # What an attribute was before; one that is new was nothing.
        changed = {name: was for name, was in without_private(before).items() if was != subject.get(name)}
        data["previous_attributes"] = changed
    return orjson.dumps(
        {
            "id": alphanumeric("evt_", 24),
            "object": "event",
            "api_version": API_VERSION,
            "created": int(state.now()),
            "data": data,
            "livemode": False,
            "pending_webhooks": 1,
            "request": dict(zip(("id", "idempotency_key"), state.request, strict=True)),
            "type": kind,
        }
    )


# Shippo


def _transaction(state: State, before: Body | None, after: Body) -> Iterator[Event]:
    if before is None:
        yield _shippo("transaction_created", without_private(after))
    elif before["status"] != after["status"]:
        yield _shippo("transaction_updated", without_private(after))
    if before is not None and before["_history"] and before["_history"] != after["_history"]:
        track = bought_track(state, after, None)
        yield _shippo("track_updated", track, carrier=track["carrier"])


def _shippo(event: str, data: Body, **more: str) -> Event:
    body = {"event": event, "test": True, "data": data, **more}
    return Event("shippo", event, orjson.dumps(body))


# Twilio


def _message(before: Body | None, message: Body) -> Iterator[Event]:
    """Yield an event for each status after the first, as "Outbound Message Status in Status Callbacks" says; one for
    a message that arrived; and for a message that changed, only one for its cancellation."""
    first, *later = steps(message)
    if before is not None:
        later = [] if before.get("canceled_at") or not message.get("canceled_at") else [Step("canceled", 0.0)]
    if first.status == "received" and before is None:
        yield Event("twilio", "received", urlencode(form_of(message)).encode(), message["status_callback"])
    for status, after in later:
        error = error_of(message, status)
        form = {
            "AccountSid": settings.TWILIO_ACCOUNT,
            "ApiVersion": "2010-04-01",
            "From": message["from"] or "",
            "MessageSid": message["sid"],
            "MessageStatus": status,
            "SmsSid": message["sid"],
            "SmsStatus": status,
            "To": message["to"],
            **({"ErrorCode": str(error)} if error else {}),
            **({"MessagingServiceSid": service} if (service := message["messaging_service_sid"]) else {}),
        }
        yield Event("twilio", status, urlencode(form).encode(), message["status_callback"], after)


# SendGrid


def _mail(mail: Body) -> Iterator[Event]:
    request = mail["request"]
    own = {**(request.get("custom_args") or {})}
    for part in request["personalizations"]:
        own |= part.get("custom_args") or {}
    day = datetime.fromtimestamp(mail["created"], UTC).strftime("%Y%m%d")
    for place, address in enumerate(mail["recipients"]):
        for kind, after, fields in mail_steps(mail, address):
            event = {
                **own,
                "email": address,
                "timestamp": int(mail["created"] + after),
                "smtp-id": f"<{mail['id']}@sandbox.example>",
                "event": kind,
                "sg_event_id": alphanumeric("", 22),
                "sg_message_id": f"{mail['id']}.recvd-{day}-{place}",
                **fields,
            }
            yield Event("sendgrid", kind, orjson.dumps(event), after=after)

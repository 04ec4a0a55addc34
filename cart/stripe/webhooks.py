"""Stripe's webhooks.

An event is only a reason to check: Stripe is asked for the state of the payment, refund or dispute. So an event that
arrives late, twice or out of order changes nothing, and lost events are recovered by the timers, which check anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cart.rules.payments import PaymentNews
from chassis.documents import is_id, read_document
from chassis.logs import log
from chassis.providers.stripe_sdk import stripe
from chassis.work.webhooks import signature_in, unsigned
from contracts.errors import InvalidRequest, Unavailable
from contracts.webhooks import Event, Handling

HEADER = "Stripe-Signature"
# An event that was signed longer ago than this (seconds) may be a replay.
TOLERANCE = 300
# The most keys and values of an event; one around a large object of Stripe's has about 500.
MAX_VALUES = 20_000

PAYMENT = frozenset(
    f"payment_intent.{what}" for what in ("succeeded", "payment_failed", "canceled", "requires_action", "processing")
)
REFUND = frozenset(("charge.refunded", "charge.refund.updated", "refund.created", "refund.updated", "refund.failed"))
DISPUTE = frozenset(
    (
        *(f"charge.dispute.{what}" for what in ("created", "updated", "closed", "funds_withdrawn", "funds_reinstated")),
        *(f"radar.early_fraud_warning.{what}" for what in ("created", "updated")),
    )
)
PRODUCT = frozenset(
    (
        *(f"product.{what}" for what in ("created", "updated", "deleted")),
        *(f"price.{what}" for what in ("created", "updated", "deleted")),
    )
)
DISCOUNT_CODE = frozenset(("promotion_code.created", "promotion_code.updated"))
COUPON = frozenset(("coupon.updated", "coupon.deleted"))
HANDLED = PAYMENT | REFUND | DISPUTE | PRODUCT | DISCOUNT_CODE | COUPON


class StripeWebhooks:
    """Stripe's webhooks, as a `contracts.webhooks.WebhookSource`.

    Args:
        secret: signs them; "" when none is set, so that nothing can be verified.
        news: updates what an event is about.
    """

    kinds = HANDLED

    def __init__(self, secret: str, news: PaymentNews) -> None:
        self._secret = secret
        self._news = news

    def verify(self, raw: bytes, headers: Mapping[str, str]) -> None:
        """See the port."""
        if not self._secret:
            log.error("webhook refused: STRIPE_WEBHOOK_SECRET is not set")
            raise Unavailable("The shop does not know what Stripe signs with.", {"retry_after": 60})
        try:
            stripe.WebhookSignature.verify_header(raw, signature_in(headers, HEADER), self._secret, TOLERANCE)
        # ValueError: not UTF-8; TypeError: the SDK cannot compare non-ASCII text.
        except (stripe.SignatureVerificationError, ValueError, TypeError) as error:
            log.warning("webhook refused", error=f"{type(error).__name__}: {error}")
            raise unsigned(HEADER, "is not Stripe's, or is too old") from error

    def parse(self, raw: bytes) -> list[Event]:
        """See the port."""
        try:
            event = read_document(raw, MAX_VALUES)
        except ValueError:
            event = None
        if not _is_event(event):
            raise InvalidRequest("This is not an event of Stripe's.")
        handling = Handling.LATER if event["type"] in HANDLED else Handling.NEVER
        return [Event(event["id"], event["type"], event, handling)]

    def handle(self, kind: str, body: dict[str, Any]) -> None:
        """See the port."""
        subject = body["data"]["object"]
        if kind in PAYMENT:
            metadata = subject.get("metadata")
            order_id = metadata.get("order_id") if isinstance(metadata, dict) else None
            self._news.payment_changed(subject["id"], order_id)
        elif kind in REFUND and subject.get("payment_intent"):
            self._news.refunds_changed(subject["payment_intent"])
        elif kind in DISPUTE and subject.get("payment_intent"):
            self._news.disputes_changed(subject["payment_intent"])
        elif kind in PRODUCT:
            self._news.product_changed(subject["id"] if kind.startswith("product.") else subject["product"])
        elif kind in DISCOUNT_CODE:
            self._news.discount_changed(subject["id"])
        elif kind in COUPON:
            self._news.discount_terms_changed(subject["id"])


def _is_event(event: Any) -> bool:
    """Whether `event` has the fields of every snapshot event, and an object that can be requested."""
    if not isinstance(event, dict) or event.get("object") != "event":
        return False
    if not isinstance(event.get("id"), str) or not isinstance(event.get("type"), str):
        return False
    data = event.get("data")
    subject = data.get("object") if isinstance(data, dict) else None
    if not isinstance(subject, dict):
        return False
    kind = event["type"]
    named = "payment_intent" if kind in REFUND | DISPUTE else "product" if kind.startswith("price.") else "id"
    # The refund or dispute of a charge that was made without a PaymentIntent names none.
    none = kind in REFUND | DISPUTE and named in subject and subject[named] is None
    return kind not in HANDLED or is_id(subject.get(named)) or none

"""Stripe's events: authenticated, stored before they are answered, then handled once, in any order.

An event is only a reason to check: Stripe is asked for the state of the payment or refund. So an event that arrives
late, twice or out of order changes nothing, and lost events are recovered by the timers, which check anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cart.rules.payments import SUCCEEDED, Payments
from chassis.documents import MAX_SIGNATURE_LENGTH, is_id, read_document
from chassis.logs import log
from chassis.providers.stripe_sdk import stripe
from chassis.work.inbox import Inbox
from contracts.errors import InvalidRequest, NotFound, Unavailable

# An event that was signed longer ago than this (seconds) may be a replay.
TOLERANCE = 300
# The most keys and values of an event; one around a large object of Stripe's has about 500.
MAX_VALUES = 20_000

PAYMENT = frozenset(
    f"payment_intent.{what}" for what in ("succeeded", "payment_failed", "canceled", "requires_action", "processing")
)
REFUND = frozenset(("charge.refunded", "charge.refund.updated", "refund.created", "refund.updated", "refund.failed"))
PRODUCT = frozenset(
    (
        *(f"product.{what}" for what in ("created", "updated", "deleted")),
        *(f"price.{what}" for what in ("created", "updated", "deleted")),
    )
)
HANDLED = PAYMENT | REFUND | PRODUCT


class StripeEvents:
    """Receives and handles Stripe's events.

    Args:
        inbox: stores the events.
        secret: signs them; "" when none is set.
        payments: asks Stripe for the state of a payment.
        look: updates the order of a payment to Stripe's current state, by the payment's id; returns whether it exists.
        refunded: does the same for the refunds of a payment.
        refresh: updates a product to Stripe's current state, by its id.
    """

    def __init__(
        self,
        inbox: Inbox,
        secret: str,
        payments: Payments,
        look: Callable[[str], bool],
        refunded: Callable[[str], bool],
        refresh: Callable[[str], Any],
    ) -> None:
        self.inbox = inbox
        self.secret = secret
        self.payments = payments
        self.look = look
        self.refunded = refunded
        self.refresh = refresh

    def keep(self, raw: str, signature: str) -> bool:
        """Store an event; False when it was stored before.

        Args:
            raw: the request's body, each byte one character.
            signature: its header ``Stripe-Signature``.

        Raises InvalidRequest (not signed by Stripe, signed too long ago, or not an event), Unavailable (not stored).
        """
        try:
            payload = raw.encode("latin-1")
        except ValueError:
            raise InvalidRequest("This is not an event of Stripe's.") from None
        event = self._verified(payload, signature)
        return self.inbox.keep(event["id"], event["type"], event, done=event["type"] not in HANDLED)

    def handle(self, kind: str, event: dict[str, Any]) -> None:
        """Handle an event. Raises ShopError: it is then tried again."""
        subject = event["data"]["object"]
        if kind in PAYMENT:
            metadata = subject.get("metadata")
            self._payment(subject["id"], metadata.get("order_id") if isinstance(metadata, dict) else None)
        elif kind in REFUND and subject.get("payment_intent"):
            if not self.refunded(subject["payment_intent"]):
                log.info("not a refund of the shop's", payment=subject["payment_intent"])
        elif kind in PRODUCT:
            self.refresh(subject["id"] if kind.startswith("product.") else subject["product"])

    def _verified(self, payload: bytes, signature: str) -> dict[str, Any]:
        if not self.secret:
            log.error("webhook refused: STRIPE_WEBHOOK_SECRET is not set")
            raise Unavailable("The shop does not know what Stripe signs with.", {"retry_after": 60})
        try:
            if len(signature) > MAX_SIGNATURE_LENGTH:
                raise ValueError("the signature is too long")
            stripe.WebhookSignature.verify_header(payload, signature, self.secret, TOLERANCE)
        # ValueError: not UTF-8; TypeError: the SDK cannot compare non-ASCII text.
        except (stripe.SignatureVerificationError, ValueError, TypeError) as error:
            log.warning("webhook refused", error=f"{type(error).__name__}: {error}")
            message = "This is not signed by Stripe, or was a while ago."
            raise InvalidRequest(message, {"unsigned": True}) from error
        try:
            event = read_document(payload, MAX_VALUES)
        except ValueError:
            event = None
        if not _is_event(event):
            raise InvalidRequest("This is not an event of Stripe's.")
        verified: dict[str, Any] = event
        return verified

    def _payment(self, payment_id: str, order_id: str | None) -> None:
        if self.look(payment_id):
            return
        if not order_id:
            log.info("not a payment of the shop's", payment=payment_id)
        elif self.payments.find(payment_id).state == SUCCEEDED:
            # A payment that was canceled, and dropped by its order, is not an error.
            raise NotFound(f"Payment {payment_id} was taken, and no order is paid by it ({order_id}).")


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
    named = "payment_intent" if kind in REFUND else "product" if kind.startswith("price.") else "id"
    # The refund of a charge that was made without a PaymentIntent names none.
    none = kind in REFUND and named in subject and subject[named] is None
    return kind not in HANDLED or is_id(subject.get(named)) or none

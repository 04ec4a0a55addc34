"""The payments port over Stripe's PaymentIntents. No Stripe term leaves this module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from cart.rules.payments import (
    ACTION,
    CALLED_OFF,
    CANCELED,
    OPEN,
    PROCESSING,
    REPLAYED,
    SUCCEEDED,
    OrderRefund,
    Payment,
)
from chassis.logs import log
from chassis.providers.guard import attempts
from chassis.providers.http_session import ProviderSession
from chassis.providers.stripe_sdk import stripe
from chassis.settings import Settings
from contracts.contacts import ascii_mail_address
from contracts.errors import OutcomeUnknown, PaymentDeclined, ProviderFailure, Refused, ShopError, Unavailable

# Stripe's SDK retries with the same idempotency key on a broken connection, 409 and 5xx. Two retries outlast a short
# interruption; the session bounds all of them by the call's deadline.
RETRIES = 2

STATES = {
    "succeeded": SUCCEEDED,
    "requires_action": ACTION,
    "requires_payment_method": OPEN,
    "requires_confirmation": OPEN,
    "processing": PROCESSING,
    "requires_capture": PROCESSING,
    "canceled": CANCELED,
}

# The name under which a PaymentIntent's metadata has the order's discount code.
DISCOUNT_CODE = "discount_code"

# How the id of a ConfirmationToken begins: what a shopper has entered in the Payment Element.
CONFIRMATION_TOKEN = "ctoken_"  # noqa: S105 - the beginning of an id

# The code of a payment that can no longer be confirmed, such as one canceled in the dashboard.
UNEXPECTED_STATE = "payment_intent_unexpected_state"

Answer = TypeVar("Answer")


class StripePayments:
    """The `Payments` port over Stripe.

    Args:
        settings: the key, or the sandbox's address, and the timeouts.
        part: the part of Stripe that it asks, which has a circuit breaker of its own.
    """

    def __init__(self, settings: Settings, part: str = "Stripe") -> None:
        stripe.enable_telemetry = False  # it would write to the home directory and send the platform's name
        self.live = settings.stripe.live
        session = ProviderSession(settings.provider_connect_timeout, settings.provider_timeout, part)
        options: dict[str, Any] = {"base_addresses": {"api": settings.stripe.base}} if settings.stripe.base else {}
        self._stripe = stripe.StripeClient(
            settings.stripe.key,
            http_client=stripe.RequestsClient(session=session, timeout=settings.provider_timeout),
            max_network_retries=RETRIES,
            **options,
        )

    def open(
        self,
        order_id: str,
        amount: int,
        currency: str,
        email: str,
        key: str,
        discount: str | None = None,
        redirects: bool = False,
    ) -> Payment:
        return self._payment(
            lambda: self._stripe.v1.payment_intents.create(
                {
                    "amount": amount,
                    "currency": currency,
                    # Without a page to return to, there are no redirect methods. This cannot be changed later:
                    # https://docs.stripe.com/api/payment_intents/update
                    "automatic_payment_methods": {
                        "enabled": True,
                        "allow_redirects": "always" if redirects else "never",
                    },
                    # A PaymentIntent redeems no promotion code: it only names the code, for the comparison.
                    "metadata": {"order_id": order_id, **({} if discount is None else {DISCOUNT_CODE: discount})},
                    "description": f"Order {order_id}",
                    "receipt_email": ascii_mail_address(email),
                },
                options={"idempotency_key": key},
            )
        )

    def method(self, card: str, key: str) -> str:
        if card.startswith(("pm_", CONFIRMATION_TOKEN)):
            return card
        method = _translated(
            lambda: self._stripe.v1.payment_methods.create(
                {"type": "card", "card": {"token": card}}, options={"idempotency_key": key}
            )
        )
        return method.id

    def confirm(self, payment_id: str, method: str, key: str, return_url: str | None = None) -> Payment:
        # A ConfirmationToken carries what Stripe.js has collected: the method, the mandate of a bank debit, and that
        # Stripe.js handles the next action (https://docs.stripe.com/api/confirmation_tokens/object).
        name = "confirmation_token" if method.startswith(CONFIRMATION_TOKEN) else "payment_method"
        asked: Any = {name: method, **({} if return_url is None else {"return_url": return_url})}
        return self._payment(
            lambda: self._stripe.v1.payment_intents.confirm(payment_id, asked, options={"idempotency_key": key})
        )

    def find(self, payment_id: str) -> Payment:
        return self._payment(lambda: self._stripe.v1.payment_intents.retrieve(payment_id))

    def cancel(self, payment_id: str) -> Payment:
        try:
            return self._payment(lambda: self._stripe.v1.payment_intents.cancel(payment_id))
        except Refused:
            return self.find(payment_id)  # it has succeeded, or was canceled before

    def refund(self, payment_id: str, amount: int, refund_id: str, order_id: str, key: str) -> OrderRefund:
        return _read_refund(
            _translated(
                lambda: self._stripe.v1.refunds.create(
                    {
                        "payment_intent": payment_id,
                        "amount": amount,
                        "metadata": {"refund_id": refund_id, "order_id": order_id},
                    },
                    options={"idempotency_key": key},
                )
            )
        )

    def refunds(self, payment_id: str) -> list[OrderRefund]:
        asked: Any = {"payment_intent": payment_id, "limit": 100}
        listed = _translated(lambda: list(self._stripe.v1.refunds.list(asked).auto_paging_iter()))
        return [_read_refund(refund) for refund in listed]

    def asked(self, ask: Callable[[stripe.StripeClient], Answer]) -> Answer:
        """Stripe's answer to `ask`, for its lists, discount codes and taxes; raises as the port does."""
        return _translated(lambda: ask(self._stripe))

    def asked_once(
        self,
        ask: Callable[[stripe.StripeClient, Any], Answer],
        key: str,
        made: Callable[[], Answer | None] = lambda: None,
    ) -> Answer:
        """Stripe's answer to `ask`, called with an idempotency key in its options; raises as the port does.

        Stripe stores its own failures, too, and repeats them under the key. Then `made` looks for the effect, and if
        there is none, Stripe is asked under another key.
        """
        try:
            return self.asked(lambda client: ask(client, {"idempotency_key": key}))
        except OutcomeUnknown as error:
            if not error.facts.get(REPLAYED):
                raise
        found = made()
        if found is not None:
            return found
        return self.asked(lambda client: ask(client, {"idempotency_key": f"{key}:again"}))

    def _payment(self, ask: Callable[[], Any]) -> Payment:
        return _read(_translated(ask))


def _read(intent: Any) -> Payment:
    try:
        body = intent.to_dict()
        state = STATES[body["status"]]
        action = None
        if state == ACTION:
            action = {"client_secret": body["client_secret"], "next_action": body["next_action"]}
        error = body.get("last_payment_error")
        decline = None
        if error:
            decline = {
                "detail": error.get("message") or "The card was declined.",
                "code": error.get("code"),
                "decline_code": error.get("decline_code"),
            }
        charge = body.get("latest_charge") if state == SUCCEEDED else None
        redirects = (body.get("automatic_payment_methods") or {}).get("allow_redirects") == "always"
        return Payment(body["id"], state, body["amount"], charge, action, decline, redirects)
    except (KeyError, AttributeError, TypeError) as error:
        raise OutcomeUnknown("Stripe's answer cannot be read.") from error


def _read_refund(refund: Any) -> OrderRefund:
    try:
        body = refund.to_dict()
        failed = body["status"] in ("failed", "canceled")
        error = f"Stripe says: {body.get('failure_reason') or body['status']}." if failed else None
        refund_id = (body.get("metadata") or {}).get("refund_id")
        return OrderRefund(body["id"], body["amount"], float(body["created"]), refund_id, failed, error)
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise OutcomeUnknown("Stripe's answer cannot be read.") from error


def _translated(ask: Callable[[], Answer]) -> Answer:
    """Call `ask`, and translate Stripe's errors into the shop's."""
    with attempts() as sent:
        try:
            return ask()
        except stripe.StripeError as error:
            limited = error.http_status == 429  # by its status: a proxy in between sends no readable body
            if not limited and not isinstance(error, stripe.APIConnectionError):
                raise _failure(error) from error
            # The last attempt did nothing, or was never sent. The outcome of earlier ones is unknown.
            if sent.lost:
                raise OutcomeUnknown("Stripe did not answer.", {"retry_after": 2}) from error
            said = "takes no more requests at the moment" if limited else "cannot be reached"
            raise Unavailable(f"Stripe {said}.", {"retry_after": 2 if limited else sent.retry_after}) from error


def _failure(error: stripe.StripeError) -> ShopError:
    """The meaning of an answer other than success."""
    if isinstance(error, stripe.CardError):
        facts = {"code": error.code, "decline_code": getattr(error.error, "decline_code", None)}
        return PaymentDeclined(error.user_message or "The card was declined.", facts)
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        log.error("stripe refuses our key", code=error.code, status=error.http_status)
        return ProviderFailure("Stripe does not accept the shop's key.")
    if isinstance(error, stripe.IdempotencyError):
        log.error("stripe knows the key with another body", code=error.code)
        return ProviderFailure("Stripe was asked for two things under one key.")
    if isinstance(error, stripe.InvalidRequestError):
        facts = {"code": error.code, "param": error.param}
        if error.code == UNEXPECTED_STATE:
            facts[CALLED_OFF] = True
        return Refused(error.user_message or "Stripe refuses the payment.", facts)
    # 5xx, 409 after all retries, or a body that is not JSON
    kept = str((error.headers or {}).get("Idempotent-Replayed", "")).lower() == "true"
    return OutcomeUnknown("Stripe's answer cannot be read.", {"retry_after": 2, REPLAYED: kept})

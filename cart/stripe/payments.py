"""The payments port over Stripe's PaymentIntents. No Stripe term leaves this module."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, TypeVar

from cart.rules.payments import (
    ACTION,
    CALLED_OFF,
    CANCELED,
    DISPUTED,
    OPEN,
    PROCESSING,
    REPLAYED,
    SUCCEEDED,
    USED_UP,
    OrderRefund,
    Payment,
)
from chassis.logs import log
from chassis.providers.guard import attempts
from chassis.providers.http_session import ProviderSession
from chassis.providers.stripe_sdk import asked_past_saved_failures, is_saved_failure, stripe
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

# The names under which a PaymentIntent's metadata has the order's discount code, and the key that it was opened under.
DISCOUNT_CODE, KEY = "discount_code", "key"
# The name under which a refund's metadata has the shop's id of it.
REFUND_ID = "refund_id"

PAGE = 100
# How many of the newest PaymentIntents are searched for one whose answer was a saved failure. It was opened a moment
# ago, or during an outage of Stripe's, when few are opened.
MAX_LOOK_INTENTS = 1000

# Why a refund may fail this time and succeed the next. Stripe documents no rule; with its other reasons the card takes
# no money any more, the bank has taken the money by a dispute, or the shop itself has canceled the refund.
PASSING_REASONS = ("declined", "insufficient_funds", "unknown")

# Stripe returns only the charge's id unless it is expanded.
WITH_CHARGE = ["latest_charge"]

# The code of a refund of a charge that was charged back: https://docs.stripe.com/error-codes#charge-disputed
CHARGE_DISPUTED = "charge_disputed"

ALWAYS = "always"  # how Stripe calls it that methods may redirect the shopper to another page
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
        named = {"order_id": order_id, **({} if discount is None else {DISCOUNT_CODE: discount})}
        asked: Any = {
            "amount": amount,
            "currency": currency,
            # Without a page to return to, there are no redirect methods. This cannot be changed later:
            # https://docs.stripe.com/api/payment_intents/update
            "automatic_payment_methods": {"enabled": True, "allow_redirects": ALWAYS if redirects else "never"},
            # A PaymentIntent redeems no promotion code: it only names the code, for the comparison.
            "metadata": {**named, KEY: key},
            "description": f"Order {order_id}",
            "receipt_email": ascii_mail_address(email),
        }

        def create(client: stripe.StripeClient, options: Any) -> Any:
            try:
                return client.v1.payment_intents.create(asked, options)
            except stripe.IdempotencyError:  # the previous release has asked under this key, and did not name it
                return client.v1.payment_intents.create(asked | {"metadata": named}, options)

        return _read(self.asked_once(create, key, lambda: self._opened(key)))

    def method(self, card: str, key: str) -> str:
        if card.startswith(("pm_", CONFIRMATION_TOKEN)):
            return card
        asked: Any = {"type": "card", "card": {"token": card}}
        # A second payment method does nothing. If the first has used up the token, Stripe refuses it.
        return self.asked_once(lambda client, options: client.v1.payment_methods.create(asked, options), key).id

    def confirm(self, payment_id: str, method: str, key: str, return_url: str | None = None) -> Payment:
        # A ConfirmationToken carries what Stripe.js has collected: the method, the mandate of a bank debit, and that
        # Stripe.js handles the next action (https://docs.stripe.com/api/confirmation_tokens/object).
        name = "confirmation_token" if method.startswith(CONFIRMATION_TOKEN) else "payment_method"
        page = {} if return_url is None else {"return_url": return_url}
        asked: Any = {name: method, **page, "expand": WITH_CHARGE}
        return _read(
            self.asked_once(
                lambda client, options: client.v1.payment_intents.confirm(payment_id, asked, options),
                key,
                lambda: self._confirmed(payment_id),
            )
        )

    def find(self, payment_id: str) -> Payment:
        return self._payment(lambda: self._stripe.v1.payment_intents.retrieve(payment_id, {"expand": WITH_CHARGE}))

    def cancel(self, payment_id: str) -> Payment:
        try:
            asked = self.asked_once(lambda client, _: client.v1.payment_intents.cancel(payment_id), None)
            return _read(asked)
        except Refused:
            return self.find(payment_id)  # it has succeeded, or was canceled before

    def refund(self, payment_id: str, amount: int, refund_id: str, order_id: str, key: str) -> OrderRefund:
        asked: Any = {
            "payment_intent": payment_id,
            "amount": amount,
            "metadata": {REFUND_ID: refund_id, "order_id": order_id},
        }
        return _read_refund(
            self.asked_once(
                lambda client, options: client.v1.refunds.create(asked, options),
                key,
                lambda: self._refunded(payment_id, refund_id),
                unique=False,  # a refund that is just being made is not listed yet
            )
        )

    def refunds(self, payment_id: str) -> list[OrderRefund]:
        return [_read_refund(refund) for refund in self._listed_refunds(payment_id)]

    def asked(self, ask: Callable[[stripe.StripeClient], Answer]) -> Answer:
        """Stripe's answer to `ask`, for its lists, discount codes and taxes; raises as the port does."""
        return _translated(lambda: ask(self._stripe))

    def asked_once(
        self,
        ask: Callable[[stripe.StripeClient, Any], Answer],
        key: str | None,
        made: Callable[[], Answer | None] = lambda: None,
        unique: bool = True,
    ) -> Answer:
        """Stripe's answer to `ask`, which gets the SDK's options, past failures that Stripe saves under the key.

        The arguments are those of `asked_past_saved_failures`. Raises as the port does.
        """

        def looked() -> Answer | None:
            try:
                return made()
            except Unavailable as error:  # the look was not made, and the request before it may have been carried out
                raise OutcomeUnknown(error.detail, dict(error.facts)) from error

        return _translated(
            lambda: asked_past_saved_failures(lambda options: ask(self._stripe, options), key, looked, unique)
        )

    def _opened(self, key: str) -> Any:
        """The PaymentIntent that was opened under a key. Stripe's search lags, and its list does not."""
        newest: Any = {"limit": PAGE}
        listed = self.asked(
            lambda client: list(islice(client.v1.payment_intents.list(newest).auto_paging_iter(), MAX_LOOK_INTENTS))
        )
        return next((intent for intent in listed if _named(intent, KEY) == key), None)

    def _confirmed(self, payment_id: str) -> Any:
        intent = self.asked(lambda client: client.v1.payment_intents.retrieve(payment_id, {"expand": WITH_CHARGE}))
        # After a decline it is open, and confirming it again is declined again.
        return intent if STATES.get(intent.status) in (SUCCEEDED, PROCESSING, ACTION) else None

    def _refunded(self, payment_id: str, refund_id: str) -> Any:
        listed = self._listed_refunds(payment_id)
        return next((refund for refund in listed if _named(refund, REFUND_ID) == refund_id), None)

    def _listed_refunds(self, payment_id: str) -> list[Any]:
        asked: Any = {"payment_intent": payment_id, "limit": PAGE}
        return _translated(lambda: list(self._stripe.v1.refunds.list(asked).auto_paging_iter()))

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
        charge, disputed, refunded = body.get("latest_charge") if state == SUCCEEDED else None, False, False
        if isinstance(charge, dict):  # only where it is expanded
            charge, disputed, refunded = charge["id"], charge["disputed"], charge["refunded"]
        redirects = (body.get("automatic_payment_methods") or {}).get("allow_redirects") == ALWAYS
        return Payment(body["id"], state, body["amount"], charge, action, decline, disputed, redirects, refunded)
    except (KeyError, AttributeError, TypeError) as error:
        raise OutcomeUnknown("Stripe's answer cannot be read.") from error


def _read_refund(refund: Any) -> OrderRefund:
    try:
        body = refund.to_dict()
        status, reason = body["status"], body.get("failure_reason")
        failed = status in ("failed", "canceled")
        return OrderRefund(
            id=body["id"],
            amount=body["amount"],
            created=float(body["created"]),
            refund_id=_named(refund, REFUND_ID),
            failed=failed,
            error=f"Stripe says: {reason or status}." if failed else None,
            pending=status in ("pending", "requires_action"),
            passing=status == "failed" and reason in PASSING_REASONS,
        )
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise OutcomeUnknown("Stripe's answer cannot be read.") from error


def _named(made: Any, name: str) -> Any:
    """What an object of Stripe's has in its metadata under a name."""
    return (made.to_dict().get("metadata") or {}).get(name)


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
        if error.param == "confirmation_token":  # used, or older than twelve hours
            facts[USED_UP] = True
        if error.code == CHARGE_DISPUTED:
            facts[DISPUTED] = True
        return Refused(error.user_message or "Stripe refuses the payment.", facts)
    # 5xx, 409 after all retries, or a body that is not JSON
    return OutcomeUnknown("Stripe's answer cannot be read.", {"retry_after": 2, REPLAYED: is_saved_failure(error)})

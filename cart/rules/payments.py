"""Taking money, as the shop needs it: the port that a payment provider's client implements.

Every call that changes something carries a key made before it, so that repeating it after a lost answer is the same
call. An unknown outcome is not a failure: `OutcomeUnknown` says "ask with `find`, or repeat with the same key".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from cart.rules.dispute import Case
from cart.rules.evidence import Facts, Response
from contracts.webhooks import WebhookSource

SUCCEEDED = "succeeded"  # the money is taken
ACTION = "action"  # the shopper's bank wants a confirmation
OPEN = "open"  # nothing is taken: a card is needed
PROCESSING = "processing"  # the bank is processing it; the answer comes later
CANCELED = "canceled"  # nothing is taken, and nothing ever will be

REPLAYED = "replayed"  # a fact of an OutcomeUnknown
CALLED_OFF = "called_off"  # a fact of a Refused
USED_UP = "used_up"  # a fact of a Refused
DISPUTED = "disputed"  # a fact of a Refused: nothing can be refunded of a charge that was charged back


@dataclass(frozen=True)
class Payment:
    """The provider's view of a payment.

    Attributes:
        id: the provider's.
        state: one of the words above.
        amount: in the currency's smallest unit.
        charge: the charge's id once the money is taken.
        action: ``{"client_secret", "next_action"}`` while a confirmation is needed.
        decline: ``{"detail", "code", "decline_code"}`` of the last declined card.
        disputed: whether the charge is or was disputed; false when the provider does not say.
        redirects: whether methods that redirect the shopper to another page may pay it.
        refunded: whether all of it was refunded; false when the provider does not say.
    """

    id: str
    state: str
    amount: int = 0
    charge: str | None = None
    action: dict[str, Any] | None = None
    decline: dict[str, Any] | None = None
    disputed: bool = False
    redirects: bool = False
    refunded: bool = False


@dataclass(frozen=True)
class OrderRefund:
    """The provider's view of a refund.

    Attributes:
        id: the provider's.
        amount: in the currency's smallest unit.
        created: Unix seconds.
        refund_id: the shop's own id, when the shop made it.
        failed: true when the money was not returned, and will not be: the shop has it again.
        error: the reason for the failure, if it is known.
        pending: true while it may still become either.
        passing: true for a failure whose reason may pass, so that another refund may succeed.
    """

    id: str
    amount: int
    created: float
    refund_id: str | None = None
    failed: bool = False
    error: str | None = None
    pending: bool = False
    passing: bool = False


class Payments(Protocol):
    """One payment per order: opened without money, then confirmed with a card.

    All raise Unavailable (nothing happened), OutcomeUnknown, ProviderFailure. `live` says whether it is real money.
    """

    live: bool

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
        """Open a payment of `amount` (smallest unit of `currency`). Also raises Refused (the amount is too small).

        Args:
            discount: the order's discount code, to be stored with the payment; given only if there is one.
            redirects: whether methods that redirect the shopper may pay it; given only if so.
        """

    def method(self, card: str, key: str) -> str:
        """The payment method of a card, as the storefront names it: a token of the provider, or a method itself.

        Also raises PaymentDeclined, Refused (no such card). A provider that has no methods returns the token, and
        `confirm` raises them.
        """

    def confirm(self, payment_id: str, method: str, key: str, return_url: str | None = None) -> Payment:
        """Take the money from `method`. Also raises PaymentDeclined and Refused.

        Args:
            return_url: where the shopper comes back from the bank's page; given only if there is one.

        Refused with the fact `CALLED_OFF`: the payment can no longer be confirmed, such as one canceled elsewhere.
        Refused with the fact `USED_UP`: what the shopper has entered cannot be used again.
        """

    def find(self, payment_id: str) -> Payment:
        """The payment's current state."""

    def cancel(self, payment_id: str) -> Payment:
        """Make sure that the payment is never taken; one that cannot be canceled (any more) is returned unchanged.

        It has no key: canceling is idempotent, and a failure must not be stored under a key.
        """

    def refund(self, payment_id: str, amount: int, refund_id: str, order_id: str, key: str) -> OrderRefund:
        """Refund part of what was taken, and store our ids with it. Also raises Refused (more than is left).

        Refused with the fact `DISPUTED`: the bank has withdrawn the money.
        OutcomeUnknown with the fact `REPLAYED`: the failure is stored under `key`, and every repetition returns it.
        """

    def refunds(self, payment_id: str) -> list[OrderRefund]:
        """All refunds of a payment, regardless of their origin."""


class Disputes(Protocol):
    """The disputes and fraud warnings of payments; for their lists see `cart.disputes.watch.CaseLists`."""

    def of_payment(self, payment_id: str) -> list[Case]:
        """All disputes and fraud warnings of a payment. Raises as `Payments.find`."""

    def response(self, case: Case, facts: Facts) -> Response:
        """What the shop can send to the bank about a case; nothing is sent."""


class MethodTypes(Protocol):
    """The kinds of payment methods that the provider's form offers, for storefronts."""

    def types(self) -> list[str]:
        """Their names at the provider, such as ``card``. Raises as `Payments.find` does."""


class PaymentNews(Protocol):
    """What the shop does with a provider's news. All raise ShopError: the event is then handled again."""

    def payment_changed(self, payment_id: str, order_id: str | None) -> None:
        """A payment has changed; `order_id` is what it names, if anything."""

    def refunds_changed(self, payment_id: str) -> None:
        """A payment's refunds have changed."""

    def disputes_changed(self, payment_id: str) -> None:
        """A payment's disputes or fraud warnings have changed."""

    def product_changed(self, product_id: str) -> None:
        """A product or its price has changed."""

    def discount_changed(self, discount_id: str) -> None:
        """A discount code has changed."""

    def discount_terms_changed(self, terms_id: str) -> None:
        """The terms of any number of discount codes have changed."""


class PaymentProvider(Protocol):
    """A payment provider: a bundle, made of the process's `chassis.settings.Settings`.

    A provider that reports disputes has the attribute `disputes`: `Disputes`, and `cart.disputes.watch.CaseLists`. One
    that also keeps discount codes has the attribute `discounts`: `cart.rules.discount.Discounts`. One that calculates
    taxes has the attribute `taxes`: `cart.rules.tax.Taxes`. One with a form of its own for storefronts has
    `method_types`: `MethodTypes`.
    """

    @property
    def payments(self) -> Payments:
        """The client."""
        ...

    @property
    def lists(self) -> Any:
        """Its payments and refunds, for reconciliation: `cart.reconcile.audit.Lists`."""
        ...

    def webhooks(self, news: PaymentNews) -> WebhookSource:
        """Return the source of its webhooks."""
        ...

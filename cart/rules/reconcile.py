"""The rules for differences between an order and its provider's records: pure functions, without I/O.

An order that changed within the grace period (`until` is now minus that period) may still be in progress, and is left
alone. A repair is only proposed if it charges nobody, refunds nothing, and loses nothing that needs a human decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from cart.rules.order import AT_WORK, CANCELED, CONFIRMING, CREATED, Order
from cart.rules.payments import ACTION, OPEN, PROCESSING, SUCCEEDED
from contracts.differences import Difference

# The repairs of `CartService.mend`.
FINISH, CALL_OFF, TAKE_UP, OWE, AGAIN, GIVE_BACK = "finish", "call off", "take up", "owe", "again", "give back"
RETURN, COUNT, GIVE_CODE_BACK, OWE_TAX = "return", "count", "give code back", "owe tax"
LOOK_AT_DISPUTES = "look at disputes"

# Such an order is claimed, or waits for its shopper's bank.
UNDER_WAY = (*AT_WORK, CONFIRMING)


@dataclass(frozen=True)
class Listed:
    """A payment in the provider's list.

    Attributes:
        id: the provider's.
        state: a word of `cart.rules.payments`.
        amount: in the currency's smallest unit.
        currency: as the provider writes it, in lower case.
        order_id: the order that it was opened for; None when it names none.
        refunded: how much of it has been refunded.
        created: Unix seconds.
        discount: the discount code that it names, if any.
    """

    id: str
    state: str
    amount: int
    currency: str
    order_id: str | None
    refunded: int = 0
    created: float = 0.0
    discount: str | None = None

    def __str__(self) -> str:
        back = f", {self.refunded} of it given back" if self.refunded else ""
        return f"{self.state}, {self.amount} {self.currency} ({self.id}){back}"

    @property
    def taken(self) -> int:
        """The money that the shop keeps of it."""
        return self.amount - self.refunded if self.state == SUCCEEDED else 0


@dataclass(frozen=True)
class Refunded:
    """A refund, from either side's records.

    Attributes:
        id, payment: the provider's ids of the refund and of its payment.
        amount: in the currency's smallest unit.
        state: ``succeeded``, ``pending``, ``failed`` …
        order_id: ours, when known.
        created: Unix seconds.
    """

    id: str
    payment: str
    amount: int
    state: str
    order_id: str | None = None
    created: float = 0.0

    def __str__(self) -> str:
        return f"{self.amount} given back, {self.state} ({self.id})"

    @property
    def stands(self) -> bool:
        """Whether the money is being returned, or has been."""
        return self.state not in ("failed", "canceled")

    @property
    def pending(self) -> bool:
        """Whether it may still fail or succeed."""
        return self.state in ("pending", "requires_action")


def said(order: Order) -> str:
    """An order in a few words."""
    payment = f", payment {order.payment}" if order.payment else ", no payment"
    return f"{order.status}, {order.amount} {order.currency}{payment}"


def under_way(order: Order, until: float) -> bool:
    """Whether the order has changed within the grace period."""
    return order.updated > until


def mendable(order: Order, kind: str, theirs: str, repair: str, do: str, **fix: str) -> Difference:
    """A difference of an order that the repair `do` mends; `fix` is what that needs besides the order's id."""
    return Difference(kind, order.id, said(order), theirs, repair, fix={"do": do, "order": order.id, **fix})


def by_hand(order: Order, kind: str, theirs: str, advice: str) -> Difference:
    """A difference of an order that needs a person."""
    return Difference(kind, order.id, said(order), theirs, advice=advice)


def refund_by_hand(provider: str) -> str:
    """The advice for a charge that may have to be refunded. `provider`: as people read it."""
    return f"refund it in {provider}'s dashboard, if it is nobody's"


def compare_payments(
    payments: Iterable[Listed],
    orders: Mapping[str, Order],
    by_payment: Mapping[str, Order],
    until: float,
    provider: str,
) -> list[Difference]:
    """The differences between a page of the provider's payments and our orders.

    Args:
        payments: the page.
        orders: those named in it, by the order's id.
        by_payment: the orders with one of these payments, by the payment's id.
        until: younger records (Unix seconds) may still be in progress.
        provider: its name, as people read it.
    """
    found = []
    for payment in payments:
        order = by_payment.get(payment.id) or orders.get(payment.order_id or "")
        if payment.created > until or (order is not None and under_way(order, until)):
            continue
        difference = _lone(payment, provider) if order is None else _payment(payment, order, until, provider)
        if difference is not None:
            found.append(difference)
    return found


def compare_missing(
    ids: Iterable[str], by_payment: Mapping[str, Order], until: float, provider: str
) -> list[Difference]:
    """The differences for orders whose payment the provider does not have."""
    advice = "is this the key of the account that took it?"
    return [
        by_hand(order, f"payment unknown at {provider}", f"{provider} says: no such payment ({payment})", advice)
        for payment in ids
        if (order := by_payment.get(payment)) is not None and not under_way(order, until)
    ]


def compare_missing_refunds(refunds: Iterable[Refunded], provider: str) -> list[Difference]:
    """The differences for our refunds that the provider does not have."""
    return [
        Difference(
            f"refund unknown at {provider}",
            refund.order_id or refund.id,
            str(refund),
            f"{provider} says: no such refund ({refund.id})",
            advice="is this the key of the account that gave it?",
        )
        for refund in refunds
    ]


def _lone(payment: Listed, provider: str) -> Difference | None:
    if payment.taken <= 0:
        return None
    return Difference(
        "charge without an order",
        payment.order_id or payment.id,
        "no such order",
        f"{provider} says: {payment}",
        advice=refund_by_hand(provider),
    )


def _payment(payment: Listed, order: Order, until: float, provider: str) -> Difference | None:
    theirs, mine = f"{provider} says: {payment}", order.payment == payment.id
    mend, hand = partial(mendable, order, payment=payment.id), partial(by_hand, order, theirs=theirs)
    if order.status == CANCELED:
        if payment.taken > 0:
            return hand("charge of a canceled order", advice=refund_by_hand(provider))
        if payment.state in (OPEN, ACTION):
            return mend("open payment of a canceled order", theirs, "cancel the payment", CALL_OFF)
        return None
    if order.settled and mine:
        if payment.state != SUCCEEDED:
            return hand("order paid, payment not taken", advice=f"ask {provider}; nothing was sent back by the shop")
        if (payment.amount, payment.currency) != (order.amount, order.currency):
            return hand("another amount was taken", advice="refund or ask for the rest")
        if payment.discount != order.code:
            named = f"{theirs}, discount code {payment.discount}"
            advice = f"see which code the order has; nothing depends on what {provider} says"
            return by_hand(order, "another discount code at the payment", named, advice)
        return None
    if order.settled:
        if payment.taken > 0:
            advice = f"refund the payment that the order does not name, in {provider}'s dashboard"
            return hand("charged twice", advice=advice)
        if payment.state in (OPEN, ACTION):
            return mend("open payment of a paid order", theirs, "cancel the payment", CALL_OFF)
        return None
    if payment.taken > 0:
        if (payment.amount, payment.currency) != (order.amount, order.currency):
            return hand("another amount was taken", advice=refund_by_hand(provider))
        if mine or order.payment is None:
            return mend("payment taken, order not paid", theirs, "finish the order", FINISH)
        return hand("charge that its order does not name", advice=refund_by_hand(provider))
    if mine and order.status == CREATED and payment.state == PROCESSING:
        return mend("payment is being settled, order open", theirs, "let the order wait for it", FINISH)
    if mine and order.status in UNDER_WAY and order.busy_until <= until:
        return mend("payment stands still", theirs, "take it up where it stands", FINISH)
    return None


def compare_refunds(
    refunds: Iterable[Refunded],
    ours: Mapping[str, Refunded],
    by_payment: Mapping[str, Order],
    until: float,
    provider: str,
) -> list[Difference]:
    """The differences between a page of the provider's refunds and ours.

    Args:
        refunds: the page.
        ours: our refunds that the page names, by the provider's id.
        by_payment: the orders of the refunded payments, by the payment's id.
        provider: its name, as people read it.
    """
    found = []
    for refund in refunds:
        order, known = by_payment.get(refund.payment), ours.get(refund.id)
        if refund.created > until or order is None or under_way(order, until):
            continue  # not of our orders: the charge without an order is reported, and this refund is its remedy
        theirs = f"{provider} says: {refund}"
        fix = {"do": TAKE_UP, "order": order.id, "payment": refund.payment, "refund": refund.id}
        if known is None:
            if refund.stands and order.settled:
                repair = "take it into the order"
                found.append(Difference("refund unknown here", order.id, said(order), theirs, repair, fix=fix))
        elif known.amount != refund.amount:
            advice = f"ask {provider} what became of it"
            found.append(Difference("another amount was given back", order.id, str(known), theirs, advice=advice))
        elif (known.stands, known.pending) != (refund.stands, refund.pending) or refund.stands != _counts(
            order, refund
        ):
            repair = "take it into the order"
            found.append(Difference("refund recorded differently", order.id, str(known), theirs, repair, fix=fix))
    return found


def _counts(order: Order, refund: Refunded) -> bool:
    return any(each.refund == refund.id for each in order.returns)

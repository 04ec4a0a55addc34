"""What paying and canceling an order consist of: tables of steps, from which journal and crash points are derived.

Each step has a key, fixed before it begins, and records its start and its end. So any copy of the service can resume
the work. Source of the pattern: recovery points around idempotent calls (B. Leach, "Implementing Stripe-like
Idempotency Keys in Postgres", 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from cart.deliveries.outbox import CALL_OFF
from cart.rules.order import RELEASE, Order
from cart.rules.payments import CANCELED, OPEN, PROCESSING, SUCCEEDED, Payment, Payments
from cart.store.unit_of_work import CartStore
from chassis.crash_points import crash_point
from contracts.errors import OutcomeUnknown, Refused, Unavailable, wrong_field

# A process can be killed before a step asks the other side, between its answer and its record, and after the record.
MOMENTS = ("begun", "asked", "done")
# A step that is one transaction asks nobody.
LOCAL = ("begun", "done")


class Shop(Protocol):
    """What the steps work with."""

    store: CartStore
    payments: Payments
    products: Any


@dataclass
class Attempt:
    """One attempt to pay: a claimed order, the card and its digest, the card's payment method once it is made, and
    where the shopper comes back from a bank's page."""

    order: Order
    card: str
    digest: str
    method: str = ""
    return_url: str | None = None


@dataclass(frozen=True)
class Abandoned:
    """An attempt that took no money and never will: its order, the stock that it held, and the error that ended it."""

    order: Order
    stock_key: str | None
    error: Exception | None


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        name: in the journal, the keys and the crash points.
        do: asks the other side; returns the outcome for the journal, or the payment if that ends the attempt.
        needed: whether an order has this step.
        prepare: changes the order before the step is recorded.
        undo: records the work owed to undo it; part of the transaction that opens the order again.
        moments: where a process can be killed in it.
    """

    name: str
    do: Callable[[Shop, Attempt], dict[str, Any] | Payment] | None = None
    prepare: Callable[[Attempt], None] | None = None
    undo: Callable[[Shop, Abandoned], None] | None = None
    needed: Callable[[Order], bool] = lambda order: True
    moments: tuple[str, ...] = MOMENTS


def points(flow: str, steps: Iterable[Step]) -> tuple[str, ...]:
    """The crash points of a flow."""
    return tuple(f"{flow}:{step.name}:{moment}" for step in steps for moment in step.moments)


def begin(shop: Shop, flow: str, step: Step, attempt: Attempt, until: float) -> None:
    """Record that a step begins, and hold the claim until `until` (Unix seconds). Raises ClaimLost."""
    if step.prepare is not None:
        step.prepare(attempt)
    shop.store.orders.begin_step(attempt.order, step.name, until)
    crash_point(f"{flow}:{step.name}:begun")


def ask(shop: Shop, flow: str, step: Step, attempt: Attempt) -> Payment | None:
    """Do a step that has begun, and record its outcome; returns the payment if that ends the attempt."""
    assert step.do is not None, step.name
    outcome = step.do(shop, attempt)
    crash_point(f"{flow}:{step.name}:asked")
    if isinstance(outcome, Payment):
        return outcome
    shop.store.orders.keep(attempt.order, outcome=outcome)
    crash_point(f"{flow}:{step.name}:done")
    return None


def undo(shop: Shop, steps: Iterable[Step], left: Abandoned) -> None:
    """Undo the steps of an attempt; part of the transaction that opens or cancels its order."""
    for step in steps:
        if step.undo is not None:
            step.undo(shop, left)


# Paying


def _redeem_code(shop: Shop, attempt: Attempt) -> dict[str, Any]:
    order = attempt.order
    with shop.store.write():
        # Raises ClaimLost: nothing is redeemed for an attempt that was undone meanwhile.
        shop.store.orders.keep(order)
        shop.store.discounts.redeem(order)
    return {"discount": order.discount}


def _give_code_back(shop: Shop, left: Abandoned) -> None:
    """The attempt's order is not paid with its code."""
    if left.order.discount is not None:
        shop.store.discounts.give_back(left.order.id)


def _name_reservation(attempt: Attempt) -> None:
    # Stored before it is used, so that a reservation whose answer was lost is released.
    attempt.order.stock_key = attempt.order.key("stock")


def _reserve_stock(shop: Shop, attempt: Attempt) -> dict[str, Any]:
    shop.products.reserve(attempt.order.stock_key, attempt.order.stock)
    return {"key": attempt.order.stock_key}


def _release_stock(shop: Shop, left: Abandoned) -> None:
    """Record that the stock of an attempt has to be released."""
    if left.stock_key is not None:
        shop.store.deliveries.add(left.stock_key, RELEASE, left.order.id)


def _choose_redirects(attempt: Attempt) -> None:
    # Stored before the request: a repetition under its key must ask for the same.
    attempt.order.redirects = attempt.return_url is not None


def _open_payment(shop: Shop, attempt: Attempt) -> dict[str, Any] | Payment:
    """Open a payment of the order's amount, without a card yet, or reuse that of the last attempt if possible.

    Returns the payment when that of the last attempt turns out to have been taken, or to be settled by a bank.
    """
    order = attempt.order
    if order.payment is not None:
        payment = shop.payments.find(order.payment)
        if payment.state == PROCESSING and payment.amount == order.amount:
            return payment  # confirmed by the shopper's own page meanwhile
        # One of another amount is canceled, not changed: a suspended payer that wakes up now could otherwise change it
        # back. Whether it permits redirects can never be changed.
        fits = payment.amount == order.amount and payment.redirects == bool(order.redirects)
        if payment.state not in (OPEN, CANCELED, SUCCEEDED) or not fits:
            payment = call_off(shop.payments, order.payment)
        if payment.state == SUCCEEDED and not payment.refunded:
            return payment
        if payment.state in (SUCCEEDED, CANCELED):
            order.payment = None
    if order.payment is None and order.amount:
        email, key, more = order.customer.email, order.key("open"), opening(order.code, bool(order.redirects))
        order.payment = shop.payments.open(order.id, order.amount, order.currency, email, key, **more).id
    return {"payment": order.payment}


def opening(code: str | None, redirects: bool) -> dict[str, Any]:
    """The arguments of `Payments.open` that a provider without codes, or without redirects, never gets."""
    return {**({} if code is None else {"discount": code}), **({"redirects": True} if redirects else {})}


def _call_off_unknown(shop: Shop, left: Abandoned) -> None:
    """A payment whose id was never learned may exist, unless the error means that none was opened."""
    order = left.order
    if isinstance(left.error, Refused | Unavailable) or order.payment is not None or not order.amount:
        return
    if shop.store.journal.payment_unknown(order):
        asked: dict[str, Any] = {"amount": order.amount, "currency": order.currency, "email": order.customer.email}
        asked |= opening(order.code, bool(order.redirects))
        shop.store.deliveries.add(order.key("open"), CALL_OFF, order.id, asked)


def _costs(order: Order) -> bool:
    return order.amount > 0


def require_card(order: Order, card: str) -> None:
    """Raises InvalidRequest unless there is a card, or nothing to pay."""
    if not card and _costs(order):
        raise wrong_field("cart", "required field", f"Order {order.id} costs {order.amount}: a card is needed.")


def _make_method(shop: Shop, attempt: Attempt) -> dict[str, Any]:
    require_card(attempt.order, attempt.card)  # the order may have been free until its shipping method was changed
    attempt.method = shop.payments.method(attempt.card, attempt.order.key("method"))
    return {"method": attempt.method}


def _name_card(attempt: Attempt) -> None:
    # Stored before the request: a process that finds the money taken then knows by which card.
    attempt.order.card = attempt.digest


def _confirm_payment(shop: Shop, attempt: Attempt) -> Payment:
    order = attempt.order
    more = {} if attempt.return_url is None else {"return_url": attempt.return_url}
    return shop.payments.confirm(order.payment or "", attempt.method, order.key("confirm"), **more)


# What an order takes from what others want, too: the code first, because it costs no call to another service.
RESERVE = (
    Step("redeem", do=_redeem_code, undo=_give_code_back, needed=lambda order: order.discount is not None),
    Step("stock", do=_reserve_stock, prepare=_name_reservation, undo=_release_stock),
)
BEFORE_THE_MONEY = (
    *RESERVE,
    Step("open", do=_open_payment, prepare=_choose_redirects, undo=_call_off_unknown),
    Step("method", do=_make_method, needed=_costs),
)
# From here on, only a known outcome is undone: `Settlement.settle` looks it up.
CONFIRM = Step("confirm", do=_confirm_payment, prepare=_name_card, needed=_costs, moments=("begun", "asked"))
PAY = (
    Step("claim", moments=LOCAL),
    *BEFORE_THE_MONEY,
    CONFIRM,
    Step("processing", moments=LOCAL),
    Step("paid", moments=LOCAL),
    Step("undo", moments=LOCAL),
)


# Canceling


def _call_off_payment(shop: Shop, attempt: Attempt) -> dict[str, Any] | Payment:
    """Returns the payment when it cannot be canceled: it is taken, or a bank is settling it."""
    payment = shop.payments.cancel(attempt.order.payment or "")
    if payment.state == PROCESSING:
        return payment
    taken = _decided(payment).state == SUCCEEDED and not payment.refunded
    return payment if taken else {"state": payment.state}


def call_off(payments: Payments, payment_id: str) -> Payment:
    """Cancel a payment: it is CANCELED, or turns out to be SUCCEEDED. Raises as the port does."""
    return _decided(payments.cancel(payment_id))


def _decided(payment: Payment) -> Payment:
    if payment.state not in (SUCCEEDED, CANCELED):
        raise OutcomeUnknown("The bank has not decided yet.", {"retry_after": 2})
    return payment


CALL_OFF_PAYMENT = Step("call_off", do=_call_off_payment)
CANCEL = (Step("claim", moments=LOCAL), CALL_OFF_PAYMENT, Step("canceled", moments=LOCAL))

POINTS = (*points("pay", PAY), *points("cancel", CANCEL))

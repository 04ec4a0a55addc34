"""Owed work: after a payment an email, an SMS and, if anything is sent, a label; after a failed payment, releasing its
stock, and canceling the payment if its id was never learned; after a refund, returning the label. A calculated tax is
recorded after the payment, and reversed after a refund. The operator is mailed about an order that needs a person.

Each is a task (`chassis.work.tasks`), written in the transaction that makes it owed; every try uses the same key. Work
that will never succeed is listed as failed, for an operator to read and to replay.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from cart.deliveries.taxes import TAX_KINDS, OwedTaxes
from cart.rules import attention
from cart.rules.order import EMAIL, FULFILLED, LABEL, MESSAGES, PAID, RETURNED, SMS, Order
from cart.rules.payments import CANCELED, Payments
from cart.rules.public_order import render
from cart.rules.tax import REVERSAL, SALE, Taxes
from cart.store.attention import NOTICE
from cart.store.unit_of_work import CartStore
from chassis.clock import now as clock_now
from chassis.crash_points import crash_point
from chassis.deadline import remaining
from chassis.logs import log
from chassis.work.tasks import DONE, FAILED, PATIENCE_S, WAITING, Task
from contracts.errors import InvalidRequest, NotFound, OutcomeUnknown, Refused, Unavailable

RELEASE, VOID, CALL_OFF = "release", "void", "call_off"
# The outcomes of returning a label after which it is of no use.
GIVEN_BACK = ("refunded", "pending")

# How much longer than an RPC one try is reserved for one copy of the service (seconds); a try of a copy that was killed
# is resumed within seconds.
TRY_MARGIN_S = 15.0
# How long a message waits for the label that it would mention (seconds).
LABEL_PATIENCE_S = 15.0
# A try with less than this left of the caller's time is left to the timer (seconds).
LEAST_TIME_S = 1.0
# How often to check work that another copy is doing (seconds).
CHECK_INTERVAL_S = 0.1

# A refusal counts as a try, because a provider might reverse it later. One that the adapter marks as permanent is final
# at once.
FINAL = (Refused, InvalidRequest, NotFound)

FLOWS = {
    **dict.fromkeys((LABEL, EMAIL, SMS, RELEASE, CALL_OFF, SALE), "pay"),
    **dict.fromkeys((VOID, REVERSAL), "refund"),
    NOTICE: "attention",
}
POINTS = tuple(f"{flow}:{kind}:{moment}" for kind, flow in FLOWS.items() for moment in ("begun", "asked", "done"))


class Outbox:
    """Does the owed work.

    Args:
        store: where it is recorded.
        products, shipping, notifications: the services, as a worker calls them.
        payments: cancels payments.
        clock: Unix seconds; another one in tests.
        claim_s: how long one try may take before another copy of the service may try (seconds).
        show: the order for its owner, who gets the email.
        taxes: records taxes; None when the payment provider has none.
        operator: the mail address to which an order that needs a person is reported; "" for none.
    """

    def __init__(
        self,
        store: CartStore,
        products: Any,
        shipping: Any,
        notifications: Any,
        payments: Payments,
        clock: Callable[[], float] = clock_now,
        claim_s: float = 2 * TRY_MARGIN_S,
        show: Callable[[Order], dict[str, Any]] = render,
        taxes: Taxes | None = None,
        operator: str = "",
    ) -> None:
        self.store = store
        self.products = products
        self.shipping = shipping
        self.notifications = notifications
        self.payments = payments
        self.clock = clock
        self.claim_s = claim_s
        self.show = show
        self._taxes = OwedTaxes(store, taxes)
        self._operator = operator

    def deliver_order(self, order_id: str) -> None:
        """Try all due work that is owed for an order, in order. Waits for work in progress in some copy's timer for as
        long as the caller can, so that the answer contains its outcome."""
        for kind in (LABEL, *MESSAGES):
            for row in self.store.deliveries.of(order_id, [kind]):
                self.deliver(row["key"])
                while (remaining() or 0) > LEAST_TIME_S and self._in_hand(row["key"]):
                    time.sleep(CHECK_INTERVAL_S)

    def deliver(self, key: str) -> None:
        """Try one owed thing, unless it is done, not due, claimed by another, or a message whose label is being bought.
        Raises nothing: failures are recorded."""
        left = remaining()
        if left is not None and left < LEAST_TIME_S:
            return
        try:
            self._deliver(key)
        except Unavailable as error:  # the database; claimed work becomes due again when its time runs out
            log.warning("delivery not recorded", key=key, error=str(error))

    def _deliver(self, key: str) -> None:
        if self._waits_for_label(key):
            return
        done = self.store.deliveries.run(key, self._try, _patience, self.claim_s, deadly=False)
        if done is not None:
            crash_point(f"{_point(done)}:done")

    def _try(self, task: Task) -> Any:
        crash_point(f"{_point(task)}:begun")
        answer = self._do(task)
        crash_point(f"{_point(task)}:asked")
        return answer

    def _do(self, task: Task) -> Any:
        key, kind = task["key"], task["kind"]
        if kind == RELEASE:
            return self.products.release(key)
        if kind == NOTICE:
            return self._notify(task)
        order = self.store.orders.get(task["subject"])
        if kind in TAX_KINDS:
            return self._taxes.do(order, task)
        if kind == VOID:
            return self._void(order, key)
        if kind == CALL_OFF:
            return self._call_off(order, key, task["details"])
        if kind == LABEL:
            if order.status == RETURNED and task["tries"] == 1 and task["error"] is None:
                return None  # the label is no longer needed, and was never requested
            label = self.shipping.buy_label(order.shipment, order.method_id, key)
            self.store.orders.update(order.id, None, lambda order: _ship(order, label))
            return label
        if kind == EMAIL:
            mailed = self.notifications.order_paid_email(self.show(order), self.label(order.id), key)
            if order.shipment is None:  # the mail is all that the shopper waits for
                self.store.orders.update(order.id, None, lambda order: _fulfill(order, int(self.clock())))
            return mailed
        return self.notifications.order_paid_sms(render(order), key)

    def _notify(self, task: Task) -> Any:
        """Mail the operator about an order that needs a person."""
        if not self._operator:
            return None
        order_id, facts = task["subject"], task["details"]
        text = attention.text(order_id, facts["about"], facts["detail"])
        title = attention.subject(order_id, facts["kind"])
        return self.notifications.send_email(self._operator, title, text, None, task["key"])

    def _void(self, order: Order, key: str) -> Any:
        """Refund a label that is not needed; wait for one that is still being bought."""
        for label in self.store.deliveries.of(order.id, [LABEL]):
            if label["state"] == WAITING:
                raise Unavailable("The label that is to be returned is just being bought.")
            # One that was given up may still have been bought. Shipping follows any pending refund.
            if label["answer"] is not None or label["state"] == FAILED:
                return self.shipping.refund_label(order.shipment, key)
        return None

    def _call_off(self, order: Order, key: str, asked: dict[str, Any]) -> Any:
        """Make sure that the payment requested under `key`, whose answer was lost, is never taken.

        The same request under the same key returns that payment; if the first never arrived, this opens one now, which
        is canceled as well.
        """
        more = {name: asked[name] for name in ("discount", "redirects") if name in asked}
        opened = self.payments.open(order.id, asked["amount"], asked["currency"], asked["email"], key, **more)
        payment = self.payments.cancel(opened.id)
        if payment.state != CANCELED:
            raise OutcomeUnknown(f"Payment {payment.id} is {payment.state}.")
        return {"payment": payment.id}

    def _in_hand(self, key: str) -> bool:
        return any(row["state"] == WAITING and row["held"] for row in self.store.deliveries.rows(key=key))

    def _waits_for_label(self, key: str) -> bool:
        """Whether this is a message that should wait for a label which is about to be bought."""
        return any(
            label["state"] == WAITING and (label["error"] is None or label["claim"] is not None)
            for row in self.store.deliveries.rows(key=key)
            if row["kind"] in MESSAGES and self.clock() - row["created"] < LABEL_PATIENCE_S
            for label in self.store.deliveries.of(row["subject"], [LABEL])
        )

    def label(self, order_id: str) -> dict[str, Any] | None:
        """The label of an order, once it is bought."""
        for row in self.store.deliveries.of(order_id, [LABEL]):
            if row["state"] == DONE:
                label: dict[str, Any] | None = row["answer"]
                return label
        return None

    def outcome(self, order_id: str) -> dict[str, Any]:
        """The state of an order's deliveries: ``label_url``, ``labels``, and ``notifications``, which is None until it
        is paid. A label that was given back is not shown."""
        rows = {row["kind"]: row for row in self.store.deliveries.of(order_id, (LABEL, VOID, *MESSAGES))}
        answers = {kind: row["answer"] or {} for kind, row in rows.items() if row["state"] == DONE}
        label = {} if answers.get(VOID, {}).get("status") in GIVEN_BACK else answers.get(LABEL, {})
        messages = {kind: {"status code": _code(rows.get(kind))} for kind in MESSAGES}
        first = {name: label[name] for name in ("label_url", "tracking_number") if name in label}
        return {
            "label_url": label.get("label_url"),
            "labels": label.get("labels", [first] if first else []),  # tasks of the previous release have no labels
            "notifications": messages if rows.keys() & messages.keys() else None,
        }


def _patience(task: Task, error: Exception) -> float | None:
    if task["kind"] == RELEASE:
        return math.inf  # stock is released however long it takes: nothing else would release it
    if isinstance(error, InvalidRequest) or (isinstance(error, Refused) and error.permanent):
        return None  # the same request would always fail
    return 0.0 if isinstance(error, FINAL) else PATIENCE_S


def _point(task: Task) -> str:
    return f"{FLOWS[task['kind']]}:{task['kind']}"


def _code(row: dict[str, Any] | None) -> str:
    if row is None or row["state"] == WAITING:
        return "queued"
    return str(row["answer"]["status code"]) if row["state"] == DONE else "failed"


def _fulfill(order: Order, now: int) -> None:
    if order.status == PAID:
        order.become(FULFILLED, now)


def _ship(order: Order, label: dict[str, Any]) -> None:
    order.carrier, order.tracking_number = label["carrier"], label["tracking_number"]

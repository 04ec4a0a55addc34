"""Owed work: after a payment an email, an SMS and, if anything is sent, a label; after a failed payment, releasing its
stock, and canceling the payment if its id was never learned; after a refund, returning the label. A calculated tax is
recorded after the payment, and reversed after a refund. The operator is mailed about an order that needs a person.

Each is a task (`chassis.work.tasks`), written in the transaction that makes it owed; every try uses the same key. Work
that will never succeed is listed as failed, for an operator to read and to replay.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from cart.deliveries.held_labels import hold_label
from cart.deliveries.messages import is_needless
from cart.deliveries.taxes import TAX_KINDS, OwedTaxes
from cart.rules import attention
from cart.rules.order import EMAIL, LABEL, MESSAGES, RELEASE, SMS, VOID, Order
from cart.rules.payments import CANCELED, Payments
from cart.rules.public_order import render
from cart.rules.tax import REVERSAL, SALE, Taxes
from cart.store.attention import NOTICE
from cart.store.unit_of_work import CartStore
from chassis.clock import now as clock_now
from chassis.crash_points import crash_point
from chassis.db.engine import once_more
from chassis.deadline import remaining
from chassis.logs import log
from chassis.work.tasks import DONE, FAILED, PATIENCE_S, WAITING, Task
from contracts.contacts import without_contacts
from contracts.errors import Conflict, InvalidRequest, NotFound, OutcomeUnknown, ProviderFailure, Refused, Unavailable

CALL_OFF = "call_off"
# The detail of a label whose payment was disputed as soon as it was made.
DISPUTE_LOOK = "look"
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
        look: records the disputes of a payment, by its id; None when the payment provider reports none.
        holds_label: whether no label is bought while the order's payment is disputed or suspected.
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
        look: Callable[[str], Any] | None = None,
        holds_label: bool = True,
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
        self._look = look
        self._holds_label = holds_label

    def deliver_order(self, order_id: str) -> None:
        """Try all due work that is owed for an order, in order. Waits for work in progress in some copy's timer for as
        long as the caller can, so that the answer contains its outcome."""
        for kind in (LABEL, *MESSAGES):
            for row in self.store.deliveries.of(order_id, [kind]):
                self.deliver(row["key"])
                while (remaining() or 0) > LEAST_TIME_S and self._in_hand(row["key"]):
                    time.sleep(CHECK_INTERVAL_S)

    def buy_label_at(self, order_id: str, most: int, service: str | None) -> dict[str, Any]:
        """Buy the labels of an order whose label was given up, on an operator's terms; see `CartService.buy_label_at`.

        Raises Conflict: no label of the order was given up, or all its money went back.
        """
        if self.store.orders.get(order_id).over:
            raise Conflict(f"The goods of order {order_id} were given back.")
        terms = {"most": most, "service": service}
        for row in self.store.deliveries.of(order_id, [LABEL]):
            if self.store.deliveries.again(key=row["key"], details=terms):
                self.deliver(row["key"])
                return self.store.deliveries.rows(key=row["key"])[0]
        raise Conflict(f"No label of order {order_id} was given up.")

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
        return self._buy_label(order, task) if kind == LABEL else self._message(order, task)

    def _buy_label(self, order: Order, task: Task) -> Any:
        """Buy the labels of an order. If it is over, give back what an earlier try may have bought."""
        facts = task["details"] or {}
        if not order.over:
            order = self._checked(order, task)
        if order.over:
            if not _is_first(task):
                self.shipping.refund_label(order.shipment, f"{order.id}:{VOID}")
            return None
        # An operator's terms; without any, a shipping service of the previous release understands the call, too.
        decided = (facts["most"], facts["service"]) if "most" in facts else ()
        label = self.shipping.buy_label(order.shipment, order.method_id, task["key"], *decided)
        _check_complete(label)
        self.store.orders.update(order.id, None, lambda order: _ship(order, label))
        return label

    def _message(self, order: Order, task: Task) -> Any:
        """Send a mail or a text message. While the provider refuses the shop itself, the order needs a person."""
        try:
            answer = self._send(order, task)
        except ProviderFailure as failure:
            if failure.facts.get("ours"):
                self._ask_for_help(task, str(failure))
            raise
        if task["error"] is not None:  # an earlier try may have asked for help
            self.store.attention.close(order.id, attention.MESSAGE, task["key"])
        return answer

    def _send(self, order: Order, task: Task) -> Any:
        to = (task["details"] or {}).get("to")
        if task["kind"] == EMAIL:
            shown = self.show(order) if to is None else {**self.show(order), "email": to}
            mailed = self.notifications.order_paid_email(shown, self.label(order.id), task["key"])
            if order.shipment is None:  # the mail is all that the shopper waits for
                self.store.orders.update(order.id, None, lambda order: order.arrive(int(self.clock())))
            return mailed
        texted = render(order)
        if to is not None:
            texted["shipping"]["phone"] = to
        return self.notifications.order_paid_sms(texted, task["key"])

    @once_more
    def _ask_for_help(self, task: Task, why: str) -> None:
        with self.store.write():
            if is_needless(self.store.orders.locked(task["subject"])):
                return
            self.store.attention.open(task["subject"], attention.MESSAGE, task["key"], without_contacts(why))

    def _checked(self, order: Order, task: Task) -> Order:
        """Return the order, read again if its payment was looked at. Raise OnHold when its label is to wait, because
        the payment is disputed or suspected. A label that an earlier try has bought does not wait."""
        if (task["details"] or {}).get(DISPUTE_LOOK) and self._look is not None:
            self._look(order.payment or "")
            order = self.store.orders.get(order.id)
        if self._holds_label and (_is_first(task) or not self._is_labelled(order)):
            hold_label(self.store, task)
        return order

    def _is_labelled(self, order: Order) -> bool:
        try:
            self.shipping.find_label(order.shipment)
        except Conflict:
            return False
        return True

    def _notify(self, task: Task) -> Any:
        """Mail the operator about an order that needs a person."""
        if not self._operator:
            return None
        order_id, facts = task["subject"], task["details"]
        text = attention.text(order_id, facts["about"], facts["detail"])
        title = attention.subject(order_id, facts["kind"])
        # A receipt: one click on "spam" must not silence the rest.
        return self.notifications.send_email(self._operator, title, text, None, task["key"], True)

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

    def outcome(self, order_id: str, news: bool = True) -> dict[str, Any]:
        """The state of an order's deliveries: ``label_url``, ``labels``, and ``notifications``, which is None until it
        is paid. A label that was given back is not shown; of a message that was sent again, the last one is.

        Args:
            news: whether to show what became of the messages after they were sent.
        """
        rows = {row["kind"]: row for row in self.store.deliveries.of(order_id, (LABEL, VOID, *MESSAGES))}
        answers = {kind: row["answer"] or {} for kind, row in rows.items() if row["state"] == DONE}
        label = answers.get(LABEL, {})
        sent = [rows[kind]["key"] for kind in MESSAGES if kind in answers]
        states = self.store.messages.of(sent) if news else {}
        messages = {kind: _message(rows.get(kind), states) for kind in MESSAGES}
        first = {name: label[name] for name in ("label_url", "tracking_number") if name in label}
        labels = label.get("labels", [first] if first else [])  # tasks of the previous release have no labels
        kept = _kept(labels, answers.get(VOID, {}))
        return {
            "label_url": kept[0].get("label_url") if kept else None,
            "labels": kept,
            "notifications": messages if rows.keys() & messages.keys() else None,
        }


def _kept(labels: list[dict[str, Any]], void: dict[str, Any]) -> list[dict[str, Any]]:
    """The labels of an order that were not given back.

    Args:
        void: the answer to the return of its labels, empty if there was none. That of a shipping service of the
            previous release does not name the labels.
    """
    if "labels" not in void:
        return [] if void.get("status") in GIVEN_BACK else labels
    given_back = {each["tracking_number"] for each in void["labels"] if each["status"] in GIVEN_BACK}
    return [each for each in labels if each.get("tracking_number") not in given_back]


def _check_complete(label: dict[str, Any]) -> None:
    """Raise Unavailable when labels of an order are missing.

    A shipping service of the previous release knows of one parcel per shipment. It does not say how many there are, and
    leaves the others to a copy of this release.
    """
    if len(label.get("labels", [])) != label.get("parcels"):
        raise Unavailable("A shipping service of the previous release has bought the first label alone.")


def _is_first(task: Task) -> bool:
    """Whether this is the first try; a try that waits for an outage to end does not count, and leaves its error."""
    return task["tries"] == 1 and task["error"] is None


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


def _message(row: Task | None, states: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What the order shows of a message: ``{"status code"}``, with the ``reason`` why it was not sent, or with what
    became of it: ``status``, and ``error``."""
    shown = {"status code": _code(row)}
    if row is None or row["state"] != DONE:
        return shown
    if "reason" in row["answer"]:
        shown["reason"] = row["answer"]["reason"]
    known = states.get(row["key"], {})
    return shown | {name: known[name] for name in ("status", "error") if known.get(name)}


def _ship(order: Order, label: dict[str, Any]) -> None:
    order.carrier, order.tracking_number = label["carrier"], label["tracking_number"]

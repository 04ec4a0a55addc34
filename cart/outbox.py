"""Owed work: after a payment a label, an email and an SMS; after a failed payment, releasing its stock, and canceling
the payment if its id was never learned; after a refund, returning the label.

Each is a row, written in the transaction that makes it owed; every try uses the same key. Failed tries are retried
after growing pauses. Work that will never succeed is listed as failed, for an operator to read and to replay.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from nameko.exceptions import RemoteError

from cart.order import RETURNED, Order
from cart.owed_store import DONE, FAILED, OWED
from cart.payments import CANCELED, Payments
from cart.store import CartStore
from chassis.clock import now as clock_now
from chassis.crash_points import crash_point
from chassis.deadline import remaining
from chassis.logs import log
from contracts.errors import InvalidRequest, NotFound, OutcomeUnknown, Refused, ShopError, Unavailable

LABEL, EMAIL, SMS, RELEASE, VOID, CALL_OFF = "label", "email", "sms", "release", "void", "call_off"
# In this order: the messages mention the label.
MESSAGES = (EMAIL, SMS)
DELIVERIES = (LABEL, *MESSAGES)

# How much longer than an RPC one try is reserved for one copy of the service (seconds); a try of a copy that was killed
# is resumed within seconds.
HAND = 15.0
# The wait before the next try doubles from the first to the longest (seconds), which is short, so that an ordinary
# outage is recovered from within seconds of its end. For older work the wait is a share of its age: hours of orders
# then do not return all at once, and recovery takes a thirtieth of the outage. After a day, the work is given up.
FIRST_WAIT = 1.0
LONGEST_WAIT = 3.0
SHARE_OF_AGE = 1 / 30
PATIENT_WAIT = 300.0
GIVE_UP = 24 * 3600.0
# How long a message waits for the label that it would mention (seconds).
LABEL_PATIENCE = 15.0
# A try with less than this left of the caller's time is left to the timer (seconds).
ENOUGH = 1.0
# How often to check work that another copy is doing (seconds).
LOOK = 0.1

# A refusal that a provider might reverse later is final after this many tries, some seven seconds. A refusal that the
# adapter marks as permanent is final at once.
REFUSALS = 5
FINAL = (Refused, InvalidRequest, NotFound)

FLOWS = {LABEL: "pay", EMAIL: "pay", SMS: "pay", RELEASE: "pay", CALL_OFF: "pay", VOID: "refund"}
POINTS = tuple(f"{flow}:{kind}:{moment}" for kind, flow in FLOWS.items() for moment in ("begun", "asked", "done"))


class Outbox:
    """Does the owed work.

    Args:
        store: where it is recorded.
        products, shipping, notifications: the services, as a worker calls them.
        payments: cancels payments.
        clock: Unix seconds; another one in tests.
        hand: how long one try may take before another copy of the service may try (seconds).
    """

    def __init__(
        self,
        store: CartStore,
        products: Any,
        shipping: Any,
        notifications: Any,
        payments: Payments,
        clock: Callable[[], float] = clock_now,
        hand: float = 2 * HAND,
    ) -> None:
        self.store = store
        self.products = products
        self.shipping = shipping
        self.notifications = notifications
        self.payments = payments
        self.clock = clock
        self.hand = hand

    def deliver_order(self, order_id: str) -> None:
        """Try all due work that is owed for an order, in order. Waits for work in progress in some copy's timer for as
        long as the caller can, so that the answer contains its outcome."""
        for kind in DELIVERIES:
            for row in self._rows(order_id, kind):
                self.deliver(row["key"])
                while (remaining() or 0) > ENOUGH and self._in_hand(row["key"]):
                    time.sleep(LOOK)

    def deliver(self, key: str) -> None:
        """Try one owed thing, unless it is done, not due, claimed by another, or a message whose label is being bought.
        Raises nothing: failures are recorded."""
        left = remaining()
        if left is not None and left < ENOUGH:
            return
        try:
            self._deliver(key)
        except Unavailable as error:  # the database; claimed work becomes due again when its time runs out
            log.warning("owed, not noted", key=key, error=str(error))

    def _deliver(self, key: str) -> None:
        row = None if self._waits_for_label(key) else self.store.claim_owed(key, self.hand)
        if row is None:
            return
        point = f"{FLOWS[row['kind']]}:{row['kind']}"
        crash_point(f"{point}:begun")
        try:
            answer = self._do(row)
        except (ShopError, RemoteError) as error:
            self._put_off(row, error)
            return
        except Exception as error:  # a bug, in an unexpected answer: log it, and do not hold the claim for ever
            log.exception("owed, and failed", key=key)
            self._put_off(row, error)
            return
        crash_point(f"{point}:asked")
        self.store.settle_owed(key, row["claim"], state=DONE, answer=answer, error=None)
        crash_point(f"{point}:done")

    def _do(self, row: dict[str, Any]) -> Any:
        key, kind = row["key"], row["kind"]
        if kind == RELEASE:
            return self.products.release(key)
        order = self.store.order(row["order_id"])
        document = order.document
        if kind == VOID:
            return self._void(order, key)
        if kind == CALL_OFF:
            return self._call_off(order, key, row["details"])
        if kind == LABEL:
            if order.status == RETURNED and row["tries"] == 1 and row["error"] is None:
                return None  # the label is no longer needed, and was never requested
            label = self.shipping.buy_label(document["upstream_id"], document["selected_shipping_method"], key)
            self.store.update(order.id, None, lambda order: _ship(order, label))
            return label
        if kind == EMAIL:
            return self.notifications.order_paid_email(order.public(), self.label(order.id), key)
        return self.notifications.order_paid_sms(order.public(), key)

    def _void(self, order: Order, key: str) -> Any:
        """Refund a label that is not needed; wait for one that is still being bought."""
        for label in self._rows(order.id, LABEL):
            if label["state"] == OWED:
                raise Unavailable("The label that is to be returned is just being bought.")
            # One that was given up may still have been bought. Shipping follows any pending refund.
            if label["answer"] is not None or label["state"] == FAILED:
                return self.shipping.refund_label(order.document["upstream_id"], key)
        return None

    def _call_off(self, order: Order, key: str, asked: dict[str, Any]) -> Any:
        """Make sure that the payment requested under `key`, whose answer was lost, is never taken.

        The same request under the same key returns that payment; if the first never arrived, this opens one now, which
        is canceled as well.
        """
        opened = self.payments.open(order.id, asked["amount"], asked["currency"], asked["email"], key)
        payment = self.payments.cancel(opened.id)
        if payment.state != CANCELED:
            raise OutcomeUnknown(f"Payment {payment.id} is {payment.state}.")
        return {"payment": payment.id}

    def _put_off(self, row: dict[str, Any], error: Exception) -> None:
        now = self.clock()
        age = now - row["since"]
        # Stock is released however long it takes: nothing else would release it.
        refused = _is_permanent(error) or (isinstance(error, FINAL) and row["tries"] >= REFUSALS)
        given_up = row["kind"] != RELEASE and (refused or age > GIVE_UP)
        longest = min(max(LONGEST_WAIT, age * SHARE_OF_AGE), PATIENT_WAIT)
        wait = min(longest, FIRST_WAIT * 2 ** min(row["tries"] - 1, 20))
        due = now + wait * random.uniform(0.5, 1.0)  # noqa: S311 - spread, not secret
        state = FAILED if given_up else OWED
        text = f"{type(error).__name__}: {error}"
        log.warning("owed, not delivered", key=row["key"], tries=row["tries"], state=state, error=text)
        self.store.settle_owed(row["key"], row["claim"], state=state, due=due, error=text)

    def _rows(self, order_id: str, kind: str) -> list[dict[str, Any]]:
        return [row for row in self.store.owed(order_id=order_id) if row["kind"] == kind]

    def _in_hand(self, key: str) -> bool:
        return any(row["state"] == OWED and row["held"] for row in self.store.owed(key=key))

    def _waits_for_label(self, key: str) -> bool:
        """Whether this is a message that should wait for a label which is about to be bought."""
        return any(
            label["state"] == OWED and (label["tries"] == 0 or label["claim"] is not None)
            for row in self.store.owed(key=key)
            if row["kind"] in MESSAGES and self.clock() - row["since"] < LABEL_PATIENCE
            for label in self._rows(row["order_id"], LABEL)
        )

    def label(self, order_id: str) -> dict[str, Any] | None:
        """The label of an order, once it is bought."""
        for row in self._rows(order_id, LABEL):
            if row["state"] == DONE:
                label: dict[str, Any] | None = row["answer"]
                return label
        return None

    def told(self, order_id: str) -> dict[str, Any]:
        """The deliveries in the answer to a payment: ``label_url`` and ``notifications``."""
        rows = {row["kind"]: row for row in self.store.owed(order_id=order_id)}
        label = rows.get(LABEL)
        had = label is not None and label["state"] == DONE and label["answer"] is not None
        return {
            "label_url": label["answer"]["label_url"] if label is not None and had else None,
            "notifications": {kind: {"status code": _code(rows.get(kind))} for kind in MESSAGES},
        }


def _is_permanent(error: Exception) -> bool:
    """Whether the same request would always fail: it is invalid, or its provider marks the refusal as permanent."""
    return isinstance(error, InvalidRequest) or (isinstance(error, Refused) and error.permanent)


def _code(row: dict[str, Any] | None) -> str:
    if row is None or row["state"] == OWED:
        return "queued"
    return str(row["answer"]["status code"]) if row["state"] == DONE else "failed"


def _ship(order: Order, label: dict[str, Any]) -> None:
    order.document["shipping"]["carrier"] = label["carrier"]
    order.document["shipping"]["tracking_number"] = label["tracking_number"]

"""Collects what the shop knows about a disputed order, as the payment provider takes it. Nothing is submitted."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Any

from cart.deliveries.messages import LOST, recipient_of
from cart.rules.evidence import Facts
from cart.rules.order import EMAIL, SMS, Order
from cart.rules.payments import Disputes
from cart.store.unit_of_work import CartStore
from chassis.work.tasks import DONE
from contracts.errors import Conflict, NotFound


class DisputeEvidence:
    """Collects evidence.

    Args:
        store: stores orders, cases and deliveries.
        provider: the provider's disputes; None when it reports none.
        shipping: the shipping service: ``tracking(shipment_id)``.
    """

    def __init__(self, store: CartStore, provider: Disputes | None, shipping: Any) -> None:
        self._store = store
        self._provider = provider
        self._shipping = shipping

    def collect(self, order_id: str) -> list[dict[str, Any]]:
        """See `CartService.dispute_evidence`."""
        order = self._store.orders.get(order_id)
        cases = self._store.disputes.of_order(order_id)
        if not cases or self._provider is None:
            raise NotFound(f"Order {order_id} is not disputed.")
        facts = Facts(order, self._tracking(order), self._answer(order, EMAIL), self._answer(order, SMS))
        return [{**asdict(case), **asdict(self._provider.response(case, facts))} for case in cases]

    def _tracking(self, order: Order) -> dict[str, Any] | None:
        if order.shipment is None:
            return None
        with suppress(Conflict):  # it has no label yet
            tracking: dict[str, Any] = self._shipping.tracking(order.shipment)
            return tracking
        return None

    def _answer(self, order: Order, kind: str) -> dict[str, Any] | None:
        done = [row for row in self._store.deliveries.of(order.id, [kind]) if row["state"] == DONE]
        states = self._store.messages.of([row["key"] for row in done])
        sent = [row for row in done if states.get(row["key"], {}).get("status") not in LOST]
        if not sent:
            return None
        # An order's recipient may have changed since; each message then has its own.
        to = (sent[-1]["details"] or {}).get("to") or recipient_of(order, kind)
        return {**sent[-1]["answer"], "to": to}

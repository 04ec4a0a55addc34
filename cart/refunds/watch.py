"""Watches for refunds that were made elsewhere, such as in the provider's dashboard, in case their event was lost."""

from __future__ import annotations

from typing import Protocol

from cart.refunds.refund import Refunds
from cart.rules.reconcile import Refunded
from cart.watch import Watch
from chassis.records import SetAside

CURSOR = "refunds"


class Lists(Protocol):
    """The provider's list of refunds."""

    def refunds(self, after: str | None, since: float) -> tuple[list[Refunded | SetAside], str | None]:
        """A page of the refunds made since then, and the cursor of the next one."""


class RefundWatch(Watch):
    """Records refunds that were made elsewhere.

    Args:
        refunds: its store and clock are used here, too.
        lists: the provider's list of refunds.
    """

    def __init__(self, refunds: Refunds, lists: Lists) -> None:
        store = refunds.store

        def unknown(page: list[Refunded]) -> set[str]:
            known = store.refunds.known([refund.id for refund in page])
            return {refund.payment for refund in page if known.get(refund.id) != (refund.stands, refund.pending)}

        def refresh(payment: str) -> bool:
            return refunds.refresh_refunds(payment)

        # A refund may be pending for longer than a month.
        pending = store.refunds.pending_payments
        super().__init__(CURSOR, store.positions, lists.refunds, unknown, refresh, refunds.clock, pending)

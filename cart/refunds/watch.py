"""Watches for refunds that were made elsewhere, such as in the provider's dashboard, in case their event was lost.

Every copy regularly lists the recent refunds, and records those that it does not know. A refund may fail weeks after it
was made: once a day the list goes back a month.
"""

from __future__ import annotations

from typing import Protocol

from cart.refunds.refund import Refunds
from cart.rules.reconcile import Refunded
from chassis.logs import log
from chassis.records import SetAside, note, sorted_out
from contracts.errors import Conflict, OutcomeUnknown, ShopError, Unavailable

# How often to read the list (seconds), its overlap with the last time (seconds), and the most pages at once.
WATCH_INTERVAL_S = 60.0
OVERLAP_S = 900.0
MAX_PAGES = 20

# How often to read further back (seconds), how far (seconds), and how many pages of it.
MONTH_INTERVAL_S = 86400.0
MONTH_S = 30 * 86400.0
MAX_MONTH_PAGES = 200

CURSOR, MONTH_CURSOR = "refunds", "refunds of a month"


class Lists(Protocol):
    """The provider's list of refunds."""

    def refunds(self, after: str | None, since: float) -> tuple[list[Refunded | SetAside], str | None]:
        """A page of the refunds made since then, and the cursor of the next one."""


class RefundWatch:
    """Records refunds that were made elsewhere.

    Args:
        refunds: its store and clock are used here, too.
        lists: the provider's list of refunds.
    """

    def __init__(self, refunds: Refunds, lists: Lists) -> None:
        self.refunds = refunds
        self.store = refunds.store
        self.lists = lists

    def follow(self) -> None:
        """Record new refunds. Raises as the list does; the next run then starts from the same time."""
        began = int(self.refunds.clock())
        # A wrong clock stored a future time.
        seen = min(self.store.positions.get(CURSOR) or began, began)
        far = not 0 <= began - self.store.positions.get(MONTH_CURSOR) < MONTH_INTERVAL_S
        new, whole = self._new(began - MONTH_S, MAX_MONTH_PAGES) if far else self._new(seen - OVERLAP_S, MAX_PAGES)
        if far:
            # This also applies when recording a payment fails below: the following days' lists include it.
            self.store.positions.read_until(MONTH_CURSOR, began)
            new |= self.store.refunds.pending_payments()  # which may wait for longer than a month
        for payment in sorted(new):
            try:
                self.refunds.refresh_refunds(payment)
            except (Unavailable, OutcomeUnknown, Conflict) as error:
                log.warning("refund not resumed", payment=payment, error=f"{type(error).__name__}: {error}")
                whole = False
            except Exception as error:  # not temporary: the others continue, and the month's list includes it
                reason = f"{type(error).__name__}: {error}"
                note("payment with refunds", SetAside(payment, reason), None if isinstance(error, ShopError) else error)
        if whole:
            self.store.positions.read_until(CURSOR, began)

    def _new(self, since: float, pages: int) -> tuple[set[str], bool]:
        """The payments with refunds whose state is not recorded, and whether that is all of them."""
        new: set[str] = set()
        after = None
        for _ in range(pages):
            listed, after = self.lists.refunds(after, since)
            page, _ = sorted_out(listed)  # unreadable ones are logged, and reported by a comparison
            known = self.store.refunds.known([refund.id for refund in page])
            new |= {refund.payment for refund in page if known.get(refund.id) != (refund.stands, refund.pending)}
            if after is None:
                return new, True
        return new, False

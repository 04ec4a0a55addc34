"""Watching for refunds that were made elsewhere, as in Stripe's dashboard, in case nobody told us of them.

Stripe tells by an event. One that is lost is made up for here: every copy asks now and then for the list of what was
given back lately, and what it does not know is taken up. A refund may fail weeks after it was made: once a day the list
goes back a month.
"""

from __future__ import annotations

from typing import Any, Protocol

from cart.reconcile import Refunded
from cart.refund import Refunds
from chassis.logs import log
from chassis.records import SetAside, note, sorted_out
from contracts.errors import Conflict, OutcomeUnknown, ShopError, Unavailable

# How often the list is asked for (seconds), how much longer ago than the last time, and how many pages of it at once.
EVERY = 60.0
OVERLAP = 900.0
PAGES = 20

# How often the list goes further back (seconds), how far, and how many pages of it are read then.
MONTH_EVERY = 86400.0
MONTH = 30 * 86400.0
MONTH_PAGES = 200

CURSOR, MONTH_CURSOR = "refunds", "refunds of a month"


class Lists(Protocol):
    """What the provider has."""

    def refunds(self, after: str | None, since: float) -> tuple[list[Refunded | SetAside], str | None]:
        """A page of the refunds made since then, and where the next one begins."""


class RefundWatch:
    """Takes up what was given back elsewhere.

    Args:
        refunds: whose store and clock these are, too.
        lists: the provider's list of refunds.
    """

    def __init__(self, refunds: Refunds, lists: Lists) -> None:
        self.refunds = refunds
        self.store = refunds.store
        self.lists = lists

    def follow(self) -> None:
        """Take up what is new. Raises as the list does; it is then asked for later, from the same time on."""
        began = int(self.refunds.clock())
        # A wrong clock stored a time that is still in the future.
        seen = min(self.store.cursor(CURSOR) or began, began)
        far = not 0 <= began - self.store.cursor(MONTH_CURSOR) < MONTH_EVERY
        new, whole = self._new(began - MONTH, MONTH_PAGES) if far else self._new(seen - OVERLAP, PAGES)
        if far:
            # Also when a payment is not taken up below: the next days list it, too.
            self.store.read_until(MONTH_CURSOR, began)
        for payment in sorted(new):
            try:
                self.refunds.looked(payment)
            except (Unavailable, OutcomeUnknown, Conflict) as error:
                log.warning("refund not taken up", payment=payment, error=f"{type(error).__name__}: {error}")
                whole = False
            except Exception as error:  # nothing temporary: the others continue, and the month's list includes it
                reason = f"{type(error).__name__}: {error}"
                note("payment with refunds", SetAside(payment, reason), None if isinstance(error, ShopError) else error)
        if whole:
            self.store.read_until(CURSOR, began)

    def _new(self, since: float, pages: int) -> tuple[set[str], bool]:
        """The payments with refunds that are not known as they stand, and whether that is all of them."""
        new: set[str] = set()
        after = None
        for _ in range(pages):
            listed, after = self.lists.refunds(after, since)
            page, _ = sorted_out(listed)  # what cannot be read is logged, and reported by a comparison
            known: dict[str, Any] = self.store.known_refunds([refund.id for refund in page])
            new |= {refund.payment for refund in page if known.get(refund.id) != refund.stands}
            if after is None:
                return new, True
        return new, False

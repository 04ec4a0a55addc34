"""Watches a list of the provider for what was made or changed elsewhere, such as in its dashboard, in case the event
was lost.

Every copy regularly reads the recent part of the list, and records what it does not know. Once a day it reads the list
of a month: a refund may fail weeks after it was made. What may change even later is asked for by itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from cart.store.positions import Positions
from chassis.logs import log
from chassis.records import SetAside, note, sorted_out
from chassis.work.inbox import NotYet
from contracts.errors import Conflict, OutcomeUnknown, ShopError, Unavailable

# How often to read the list (seconds), its overlap with the last time (seconds), and the most pages at once.
WATCH_INTERVAL_S = 60.0
OVERLAP_S = 900.0
MAX_PAGES = 20

# How often to read further back (seconds), how far (seconds), and how many pages of it.
MONTH_INTERVAL_S = 86400.0
MONTH_S = 30 * 86400.0
MAX_MONTH_PAGES = 200

# How often to ask for what is not settled (seconds).
UNSETTLED_INTERVAL_S = 3600.0


class Watch:
    """Records what was made or changed elsewhere.

    Args:
        name: of what is listed, in the plural: for the positions and the log.
        positions: how far the list was read.
        page: the provider's list: a page of what was made since then (Unix seconds), and the cursor of the next one.
        unknown: the payments of a page's records whose state is not recorded here.
        refresh: records the provider's state of a payment, by its id.
        clock: Unix seconds; another one in tests.
        unsettled: the payments whose recorded state may still change.
    """

    def __init__(
        self,
        name: str,
        positions: Positions,
        page: Callable[[str | None, float], tuple[list[Any], str | None]],
        unknown: Callable[[list[Any]], set[str]],
        refresh: Callable[[str], Any],
        clock: Callable[[], float],
        unsettled: Callable[[], set[str]] | None = None,
    ) -> None:
        self.name = name
        self._cursor, self._month_cursor, self._unsettled_cursor = name, f"{name} of a month", f"unsettled {name}"
        self._positions = positions
        self._page = page
        self._unknown = unknown
        self._refresh = refresh
        self._clock = clock
        self._unsettled = unsettled

    def follow(self) -> None:
        """Record what is new. Raises as the list does; the next run then starts from the same time."""
        began = int(self._clock())
        # A wrong clock stored a future time.
        seen = min(self._positions.get(self._cursor) or began, began)
        far = self._is_due(self._month_cursor, began, MONTH_INTERVAL_S)
        new, whole = self._new(began - MONTH_S, MAX_MONTH_PAGES) if far else self._new(seen - OVERLAP_S, MAX_PAGES)
        if far:
            # This also applies when recording a payment fails below: the following days' lists include it.
            self._positions.read_until(self._month_cursor, began)
        if self._unsettled is not None and self._is_due(self._unsettled_cursor, began, UNSETTLED_INTERVAL_S):
            self._positions.read_until(self._unsettled_cursor, began)
            new |= self._unsettled()
        # In any order: if the time does not suffice for all, the last ones are not always the same.
        for payment in random.sample(sorted(new), len(new)):
            try:
                self._refresh(payment)
            except (Unavailable, OutcomeUnknown, Conflict, NotYet) as error:
                log.warning(f"{self.name} not recorded", payment=payment, error=f"{type(error).__name__}: {error}")
                # An order that is not paid yet is asked for again within the overlap, and in the month's list. It may
                # never be paid, so it must not hold the position: the others would be too many for one run.
                whole = whole and isinstance(error, Conflict | NotYet)
            except Exception as error:  # not temporary: the others continue, and the month's list includes it
                reason = f"{type(error).__name__}: {error}"
                kind = f"payment with {self.name}"
                note(kind, SetAside(payment, reason), None if isinstance(error, ShopError) else error)
        if whole:
            self._positions.read_until(self._cursor, began)

    def _is_due(self, cursor: str, now: int, interval_s: float) -> bool:
        return not 0 <= now - self._positions.get(cursor) < interval_s

    def _new(self, since: float, pages: int) -> tuple[set[str], bool]:
        """The payments whose state is not recorded, and whether that is all of them."""
        new: set[str] = set()
        after = None
        for _ in range(pages):
            listed, after = self._page(after, since)
            page, _ = sorted_out(listed)  # unreadable ones are logged, and reported by a comparison
            new |= self._unknown(page)
            if after is None:
                return new, True
        return new, False

"""Following another service's feed, such as that of the parcels, so that no entry is missed.

The position in the feed is stored in the transaction that acts on its entries. Any number of copies may follow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cart.store.unit_of_work import CartStore
from chassis.clock import now as clock_now
from chassis.db.engine import once_more

# How often to ask for new entries (seconds), and how many at once.
FOLLOW_INTERVAL_S = 2.0
PAGE = 100
# A sweep reads at most this many pages; the rest waits for the next.
MAX_PAGES = 20

Entry = dict[str, Any]


class Follower:
    """Follows one feed; a subclass says what an entry changes.

    Args:
        store: the cart's data, and the position.
        service: the feed's, as a worker calls it.
        clock: Unix seconds; another one in tests.

    Attributes:
        name: of the position.
    """

    name: str

    def __init__(self, store: CartStore, service: Any, clock: Callable[[], float] = clock_now) -> None:
        self.store = store
        self.service = service
        self.clock = clock

    def follow(self) -> None:
        """Read on. Raises errors of the service, and Unavailable; the next sweep then reads the same part."""
        for _ in range(MAX_PAGES):
            after = self.store.positions.get(self.name)
            entries = self.read(after, PAGE)
            if not entries:
                return
            self.record(after, entries)
            if len(entries) < PAGE:
                return

    @once_more
    def record(self, after: int, entries: list[Entry]) -> bool:
        """Act on the entries that follow `after`; False when another copy has read that part."""
        with self.store.write():
            mine = self.store.positions.advance(self.name, after, entries[-1]["seq"])
            if mine:
                self.apply(entries)
        return mine

    def read(self, after: int, limit: int) -> list[Entry]:
        """The entries after a number, by ``seq``."""
        raise NotImplementedError

    def apply(self, entries: list[Entry]) -> None:
        """Act on entries, in the current transaction."""
        raise NotImplementedError

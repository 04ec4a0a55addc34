"""Compares the shop's records with its providers' lists, page by page, so that no list is held in memory as a whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chassis.registry import title_of
from contracts.differences import Difference
from launcher.problem import Problem
from launcher.running_services import Services

# Records that a list lacked are asked for individually: this many in one call, which must end in time.
ONE_BY_ONE = 10


@dataclass(frozen=True)
class Part:
    """A list to iterate over.

    Attributes:
        service, part: the service whose method ``audit`` returns it, and the part's name there.
        title: what it contains, in the plural.
        asks: for a list of ours, the part that should have contained all of it.
    """

    service: str
    part: str
    title: str
    asks: str | None = None


def parts(in_use: Mapping[str, Sequence[str]]) -> tuple[Part, ...]:
    """Return the lists to compare, titled by the providers in use (`chassis.settings.Settings.in_use`).

    Payments come before our orders, and each provider's list before ours, so that each of ours can be checked against
    it.
    """
    titles = {setting: " and ".join(map(title_of, providers)) for setting, providers in in_use.items()}
    return (
        Part("cart", "payments", f"payments at {titles['PAYMENT_PROVIDER']}"),
        Part("cart", "refunds", f"refunds at {titles['PAYMENT_PROVIDER']}"),
        Part("cart", "disputes", f"disputes at {titles['PAYMENT_PROVIDER']}"),
        Part("cart", "orders", "orders", asks="payments"),
        Part("cart", "returns", "refunds here", asks="refunds"),
        Part("cart", "cases", "disputes here", asks="disputes"),
        Part("cart", "stock", "reservations"),
        Part("cart", "redemptions", "redemptions"),
        # The tax provider has no list: each record is asked for.
        Part("cart", "taxes", "taxed orders", asks="transactions"),
        Part("shipping", "sold", f"labels at {titles['CARRIERS']}"),
        Part("shipping", "bought", "labels here", asks="sold"),
        Part("notifications", "texts", f"SMS at {titles['SMS_PROVIDER']}"),
        Part("notifications", "sent", "SMS here", asks="texts"),
    )


Compared = Callable[[Part, int], None]


class Comparison:
    """One pass over all lists.

    Args:
        services: the running shop's.
        lists: what `parts` returns.
        since, until: limits of the creation time of what is compared (Unix seconds).
        compared: called after each page with the number of a part's entries checked so far.
    """

    def __init__(
        self, services: Services, lists: Sequence[Part], since: float, until: float, compared: Compared
    ) -> None:
        self._services = services
        self._lists = lists
        self._since = since
        self._until = until
        self._compared = compared

    def differences(self) -> Iterator[tuple[str, Difference]]:
        """Yield every difference as it is found, and the service that can repair it. Raises Problem."""
        seen = _Seen()
        try:
            for part in self._lists:
                yield from self._walk(part, seen)
        finally:
            seen.close()

    def _walk(self, part: Part, seen: _Seen) -> Iterator[tuple[str, Difference]]:
        cursor, total = None, 0
        while True:
            page = self._page(part.service, part.part, cursor)
            seen.add(part.part, page["seen"])
            yield from ((part.service, each) for each in _read(page))
            total += page["compared"]
            self._compared(part, total)
            if part.asks is not None:
                lacking = seen.lacking(part.asks, page["known"])
                for start in range(0, len(lacking), ONE_BY_ONE):
                    asked = self._page(part.service, part.asks, None, lacking[start : start + ONE_BY_ONE])
                    yield from ((part.service, each) for each in _read(asked))
            if page["next"] is None:
                return
            if page["next"] == cursor:
                raise Problem(f"The list of {part.title} does not end: page {cursor} leads to itself.")
            cursor = page["next"]

    def _page(self, service: str, part: str, cursor: str | None, ids: Sequence[str] | None = None) -> dict[str, Any]:
        given = {"cursor": cursor, "since": self._since, "until": self._until, "ids": ids}
        page: dict[str, Any] = self._services.ask(service, "audit", part, **given)
        return page


class _Seen:
    """The ids in the providers' lists, in a temporary SQLite file that is deleted with this object, because a list may
    exceed the memory."""

    def __init__(self) -> None:
        self._file = sqlite3.connect("")
        self._file.execute("CREATE TABLE seen (part TEXT, id TEXT, PRIMARY KEY (part, id)) WITHOUT ROWID")

    def add(self, part: str, ids: Sequence[str]) -> None:
        self._file.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", [(part, each) for each in ids])

    def lacking(self, part: str, ids: Sequence[str]) -> list[str]:
        """Return the members of `ids` that were not in the list."""
        known = "SELECT 1 FROM seen WHERE part = ? AND id = ?"
        return [each for each in ids if self._file.execute(known, (part, each)).fetchone() is None]

    def close(self) -> None:
        self._file.close()


def _read(page: dict[str, Any]) -> list[Difference]:
    return [Difference(**each) for each in page["differences"]]

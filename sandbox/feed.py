"""The feed: in which order things happened at the providers, what changed since, and who waits for the next change.

It stores no content, only an index of the objects: a place in the order of their creation, and the number of their last
change. So a reader that was away asks for what changed since, also after a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from sandbox.ids import hexadecimal
from sandbox.state import State

# The kinds of entries, and the kind of the stored object that each one shows.
KINDS = {
    "mail": "mail",
    "sms": "message",
    "label": "transaction",
    "charge": "charge",
    "refund": "refund",
    "dispute": "dispute",
    "warning": "early_fraud_warning",
    "tax": "tax_transaction",
    "payment": "payment_intent",
    "webhook": "webhook",
}
_STORED = {stored: kind for kind, stored in KINDS.items()}
MAX_PAGE = 200
MAX_LISTENERS = 32


class Entry(NamedTuple):
    """An entry of the feed: its place (a later one is newer), the number of its last change, and its object."""

    place: int
    change: int
    kind: str
    object_id: str
    body: dict[str, Any]


class TooManyListeners(Exception):
    """The permitted number of readers wait already."""


class _Listener(NamedTuple):
    wake: asyncio.Event
    gone: Callable[[], bool]


class Feed:
    """The feed of one sandbox.

    A payment intent is an entry from the moment when the shopper's bank has to confirm it, or when the debit of a bank
    account begins; the charge shows the rest.

    Attributes: closed: whether the sandbox stops, so that listeners have to end.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._listeners: list[_Listener] = []
        self.closed = False
        self._id = state.setting("feed_id")
        if self._id is None:
            self._id = hexadecimal()[:12]
            state.set_setting("feed_id", self._id)
            self._adopt()
        self._change = self.last_change()
        state.observers.append(self._changed)

    def last_change(self) -> int:
        """Return the number of the newest change; 0 before the first."""
        number: int = self._state.query("SELECT coalesce(max(changed), 0) FROM feed")[0][0]
        return number

    def position(self, change: int) -> str:
        """Return the position after a change, for `change_at`: it is valid for this sandbox's file only."""
        return f"{self._id}-{change}"

    def change_at(self, position: str) -> int | None:
        """Return the change that a position stands for, or None when it is of another file; ValueError when it is none
        at all."""
        feed_id, _, number = position.rpartition("-")
        if not feed_id or not (number.isascii() and number.isdigit()) or len(number) > 18:
            raise ValueError("not a position of the feed")
        return int(number) if feed_id == self._id else None

    def newest(
        self, limit: int, before: int | None = None, kind: str | None = None, order_id: str | None = None
    ) -> tuple[list[Entry], bool]:
        """Return at most `limit` entries, newest first, and whether there are older ones.

        before: only places below this one. kind, order_id: only entries of that kind, or of that order.
        """
        clauses: list[str] = ["place < ?"]
        values: list[int | str] = [before if before is not None else 2**62]
        if kind is not None:
            clauses.append("kind = ?")
            values.append(KINDS[kind])
        if order_id is not None:
            kinds = ", ".join("?" for _ in _STORED)
            clauses.append(
                "place IN (SELECT f.place FROM facets x JOIN objects o ON o.seq = x.seq JOIN feed f ON f.kind = o.kind "  # noqa: S608
                f"AND f.id = o.id WHERE x.kind IN ({kinds}) AND x.name = 'order_id' AND x.value = ?)"
            )
            values += [*_STORED, order_id]
        statement = (
            f"SELECT place, changed, kind, id FROM feed WHERE {' AND '.join(clauses)} ORDER BY place DESC LIMIT ?"  # noqa: S608
        )
        rows = self._state.query(statement, [*values, limit + 1])
        return self._entries(rows[:limit]), len(rows) > limit

    def changed_since(self, change: int, limit: int) -> list[Entry]:
        """Return at most `limit` entries that changed after this change, in the order of their last changes."""
        statement = "SELECT place, changed, kind, id FROM feed WHERE changed > ? ORDER BY changed LIMIT ?"
        return self._entries(self._state.query(statement, (change, limit)))

    def changes_since(self, change: int, most: int) -> int:
        """Return how many entries changed after this change, `most` at most."""
        statement = "SELECT count(*) FROM (SELECT 1 FROM feed WHERE changed > ? LIMIT ?)"
        number: int = self._state.query(statement, (change, most))[0][0]
        return number

    def entry(self, kind: str, object_id: str) -> Entry | None:
        """Return one entry, or None when there is no such one."""
        statement = "SELECT place, changed, kind, id FROM feed WHERE kind = ? AND id = ?"
        found = self._entries(self._state.query(statement, (KINDS.get(kind), object_id)))
        return found[0] if found else None

    @contextmanager
    def listen(self, gone: Callable[[], bool]) -> Iterator[asyncio.Event]:
        """Yield an event that is set at every change; TooManyListeners when MAX_LISTENERS others wait.

        gone: whether the listener's client has disconnected; it counts no longer then.
        """
        if sum(not one.gone() for one in self._listeners) >= MAX_LISTENERS:
            raise TooManyListeners
        listener = _Listener(asyncio.Event(), gone)
        self._listeners.append(listener)
        try:
            yield listener.wake
        finally:
            self._listeners.remove(listener)

    def wake(self) -> None:
        """Wake all listeners."""
        for listener in self._listeners:
            listener.wake.set()

    async def close(self, *_: object) -> None:
        """End all listeners."""
        self.closed = True
        self.wake()

    def _changed(self, kind: str, object_id: str, before: dict[str, Any] | None, after: dict[str, Any] | None) -> None:
        if kind not in _STORED:
            return
        self._change += 1
        values = (self._change, kind, object_id)
        if after is None:
            self._state.query("DELETE FROM feed WHERE kind = ? AND id = ?", values[1:])
        elif kind == "payment_intent" and after["status"] not in ("requires_action", "processing"):
            self._state.query("UPDATE feed SET changed = ? WHERE kind = ? AND id = ?", values)
        else:
            self._state.query(
                "INSERT INTO feed (changed, kind, id) VALUES (?, ?, ?) "
                "ON CONFLICT (kind, id) DO UPDATE SET changed = excluded.changed",
                values,
            )
        self.wake()

    def _adopt(self) -> None:
        """Enter what an earlier version of the sandbox stored."""
        kinds = [kind for kind in _STORED if kind != "payment_intent"]
        marks = ", ".join("?" for _ in kinds)
        statement = f"INSERT INTO feed (kind, id, changed) SELECT kind, id, seq FROM objects WHERE kind IN ({marks})"  # noqa: S608
        self._state.query(f"{statement} ORDER BY seq", kinds)

    def _entries(self, rows: list[Any]) -> list[Entry]:
        entries = []
        for place, change, kind, object_id in rows:
            body = self._state.get(kind, object_id)
            if body is not None:
                entries.append(Entry(place, change, _STORED[kind], object_id, body))
        return entries

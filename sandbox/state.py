"""The sandbox's storage: JSON objects with searchable facets, in one SQLite file that survives a restart."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from sandbox.facets import facets_of

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL, UNIQUE (kind, id));
CREATE INDEX IF NOT EXISTS objects_by_kind ON objects (kind, seq);
CREATE TABLE IF NOT EXISTS facets (
    kind TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (kind, name, value, seq)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS facets_by_seq ON facets (seq);
CREATE TABLE IF NOT EXISTS idempotency (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, status INTEGER NOT NULL, body BLOB NOT NULL,
    request_id TEXT NOT NULL, created REAL NOT NULL);
CREATE INDEX IF NOT EXISTS idempotency_by_age ON idempotency (created);
CREATE TABLE IF NOT EXISTS webhooks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, provider TEXT NOT NULL, kind TEXT NOT NULL, url TEXT NOT NULL,
    body BLOB NOT NULL, at REAL NOT NULL, due REAL NOT NULL, tries INTEGER NOT NULL DEFAULT 0, record TEXT);
CREATE INDEX IF NOT EXISTS webhooks_by_due ON webhooks (due);
CREATE TABLE IF NOT EXISTS feed (
    place INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, id TEXT NOT NULL, changed INTEGER NOT NULL,
    UNIQUE (kind, id));
CREATE INDEX IF NOT EXISTS feed_by_kind ON feed (kind, place);
CREATE INDEX IF NOT EXISTS feed_by_change ON feed (changed);
CREATE TABLE IF NOT EXISTS later (
    kind TEXT NOT NULL, id TEXT NOT NULL, due REAL NOT NULL, outcome TEXT NOT NULL, PRIMARY KEY (kind, id));
CREATE INDEX IF NOT EXISTS later_by_due ON later (due);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
# A file of an earlier version has no such column.
_ADD_RECORD = "ALTER TABLE webhooks ADD COLUMN record TEXT"
_BY_RECORD = "CREATE INDEX IF NOT EXISTS webhooks_by_record ON webhooks (record)"

Body = dict[str, Any]
Observer = Callable[[str, str, Body | None, Body | None], None]
KEY_SECONDS = 86400


class State:
    """The sandbox's objects, newest last. One connection, used only by the event loop's thread.

    Objects are JSON dictionaries identified by (kind, id). `sandbox.facets` defines by which values they can be
    filtered. Changes are made inside `with state.transaction():`, so that a crash keeps all of a request's changes or
    none.

    Attributes: observers: each is called with (kind, id, before, after) of every object that is written or deleted,
    within the transaction; before is None for a new one, after is None for a deleted one. request: the id and the
    idempotency key of the request whose transaction runs or ran last.
    """

    def __init__(self, path: Path) -> None:
        """Open (and create, with its folder) the file at `path`; sqlite3.Error when it cannot be used."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=5.0, cached_statements=256)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)
        if "record" not in (row[1] for row in self._connection.execute("PRAGMA table_info(webhooks)").fetchall()):
            self._connection.execute(_ADD_RECORD)
        self._connection.execute(_BY_RECORD)
        self._clock_offset = float(self.setting("clock_offset") or 0.0)
        self.observers: list[Observer] = []
        self.request: tuple[str | None, str | None] = (None, None)

    def close(self) -> None:
        """Close the file; the write-ahead log is merged into it."""
        self._connection.close()

    def ping(self) -> None:
        """Raises sqlite3.Error when the file cannot be read."""
        self._connection.execute("SELECT 1 FROM objects LIMIT 1").fetchone()

    @contextmanager
    def transaction(self, request: tuple[str | None, str | None] = (None, None)) -> Iterator[None]:
        """Commit all changes of the block together; an exception rolls them back and propagates.

        request: the id and the idempotency key of the request that makes them.
        """
        self._connection.execute("BEGIN IMMEDIATE")
        self.request = request
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def query(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return the rows of a statement on tables other than those of the objects."""
        return self._connection.execute(statement, values).fetchall()

    def now(self) -> float:
        """The sandbox's time in Unix seconds: the machine's, plus the total of `advance_clock`."""
        return time.time() + self._clock_offset

    def advance_clock(self, seconds: float) -> None:
        """Move the sandbox's time forward by `seconds`, to simulate what takes days (a rate expires after seven)."""
        self._clock_offset += seconds
        self.set_setting("clock_offset", repr(self._clock_offset))

    def setting(self, name: str) -> str | None:
        """Return the stored value of a setting, or None."""
        row = self._connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def set_setting(self, name: str, value: str) -> None:
        """Store a setting."""
        self._connection.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", (name, value))

    def next_number(self, name: str) -> int:
        """Return the next number (1, 2, 3 …) of the counter `name`."""
        number = int(self.setting(name) or 0) + 1
        self.set_setting(name, str(number))
        return number

    def raw(self, kind: str, object_id: str) -> bytes | None:
        """Return the object's JSON text, or None when it does not exist."""
        row = self._connection.execute(
            "SELECT body FROM objects WHERE kind = ? AND id = ?", (kind, object_id)
        ).fetchone()
        return row[0] if row else None

    def get(self, kind: str, object_id: str) -> Body | None:
        """Return the object, or None when it does not exist."""
        body = self.raw(kind, object_id)
        return None if body is None else orjson.loads(body)

    def put(self, kind: str, object_id: str, body: Mapping[str, Any]) -> None:
        """Store the object, replacing an earlier one with that id (whose position in lists is kept)."""
        text = orjson.dumps(body)
        row = self._connection.execute(
            "SELECT seq, body FROM objects WHERE kind = ? AND id = ?", (kind, object_id)
        ).fetchone()
        if row:
            seq = row[0]
            self._connection.execute("UPDATE objects SET body = ? WHERE seq = ?", (text, seq))
            self._connection.execute("DELETE FROM facets WHERE seq = ?", (seq,))
        else:
            cursor = self._connection.execute(
                "INSERT INTO objects (kind, id, body) VALUES (?, ?, ?)", (kind, object_id, text)
            )
            seq = cursor.lastrowid
        self._connection.executemany(
            "INSERT OR IGNORE INTO facets (kind, name, value, seq) VALUES (?, ?, ?, ?)",
            [(kind, name, value, seq) for name, value in facets_of(kind, body)],
        )
        self._report(kind, object_id, orjson.loads(row[1]) if row else None, dict(body))

    def delete(self, kind: str, object_id: str) -> None:
        """Remove the object, if it exists."""
        row = self._connection.execute(
            "SELECT seq, body FROM objects WHERE kind = ? AND id = ?", (kind, object_id)
        ).fetchone()
        if row:
            self._connection.execute("DELETE FROM facets WHERE seq = ?", (row[0],))
            self._connection.execute("DELETE FROM objects WHERE seq = ?", (row[0],))
            self._report(kind, object_id, orjson.loads(row[1]), None)

    def _report(self, kind: str, object_id: str, before: Body | None, after: Body | None) -> None:
        for observer in self.observers:
            observer(kind, object_id, before, after)

    def values(self, kind: str, object_id: str, facet: str) -> list[str]:
        """Return the values that the object has of a facet."""
        rows = self._connection.execute(
            "SELECT value FROM facets WHERE name = ? AND seq = (SELECT seq FROM objects WHERE kind = ? AND id = ?)",
            (facet, kind, object_id),
        )
        return [row[0] for row in rows]

    def beyond(self, kind: str, kept: int, limit: int) -> list[str]:
        """Return the ids of at most `limit` objects of a kind, the oldest first, that are not among the newest
        `kept`."""
        rows = self._connection.execute(
            "SELECT id FROM objects WHERE kind = ? AND seq <= (SELECT seq FROM objects WHERE kind = ? "
            "ORDER BY seq DESC LIMIT 1 OFFSET ?) ORDER BY seq LIMIT ?",
            (kind, kind, kept, limit),
        )
        return [row[0] for row in rows]

    def place(self, kind: str, object_id: str) -> int | None:
        """Return the object's position in creation order, or None when it does not exist."""
        row = self._connection.execute(
            "SELECT seq FROM objects WHERE kind = ? AND id = ?", (kind, object_id)
        ).fetchone()
        return row[0] if row else None

    def find(
        self,
        kind: str,
        where: Mapping[str, str | Sequence[str]] | None = None,
        *,
        before: int | None = None,
        after: int | None = None,
        oldest_first: bool = False,
        limit: int = -1,
        offset: int = 0,
    ) -> list[Body]:
        """Return the objects of a kind, newest first unless `oldest_first`.

        where: facet -> the required value, or the permitted values. before, after: only positions below or above.
        limit: the maximum number (-1: all), after skipping `offset` of them.
        """
        return list(
            self.each(kind, where, before=before, after=after, oldest_first=oldest_first, limit=limit, offset=offset)
        )

    def each(
        self,
        kind: str,
        where: Mapping[str, str | Sequence[str]] | None = None,
        *,
        before: int | None = None,
        after: int | None = None,
        oldest_first: bool = False,
        limit: int = -1,
        offset: int = 0,
    ) -> Iterator[Body]:
        """Like `find`, but lazily: a caller that has enough stops reading."""
        clauses, values = self._conditions(kind, where)
        if before is not None:
            clauses.append("seq < ?")
            values.append(before)
        if after is not None:
            clauses.append("seq > ?")
            values.append(after)
        order = "ASC" if oldest_first else "DESC"
        rows = self._connection.execute(
            f"SELECT body FROM objects WHERE {' AND '.join(clauses)} ORDER BY seq {order} LIMIT ? OFFSET ?",  # noqa: S608
            (*values, limit, offset),
        )
        return (orjson.loads(row[0]) for row in rows)

    def count(self, kind: str, where: Mapping[str, str | Sequence[str]] | None = None) -> int:
        """Return how many objects `find` would return."""
        clauses, values = self._conditions(kind, where)
        row = self._connection.execute(f"SELECT count(*) FROM objects WHERE {' AND '.join(clauses)}", values)  # noqa: S608
        return int(row.fetchone()[0])

    @staticmethod
    def _conditions(kind: str, where: Mapping[str, str | Sequence[str]] | None) -> tuple[list[str], list[Any]]:
        clauses, values = ["kind = ?"], [kind]
        for name, wanted in (where or {}).items():
            options: Iterable[str] = [wanted] if isinstance(wanted, str) else list(wanted)
            marks = ", ".join("?" for _ in options)
            clauses.append(f"seq IN (SELECT seq FROM facets WHERE kind = ? AND name = ? AND value IN ({marks}))")  # noqa: S608
            values += [kind, name, *options]
        return clauses, values

    def recall_answer(self, key: str) -> tuple[str, int, bytes, str] | None:
        """Return the stored answer to a key's call of the last 24 hours: fingerprint, status, body, request id; or
        None."""
        self._connection.execute("DELETE FROM idempotency WHERE created < ?", (self.now() - KEY_SECONDS,))
        row: tuple[str, int, bytes, str] | None = self._connection.execute(
            "SELECT fingerprint, status, body, request_id FROM idempotency WHERE key = ?", (key,)
        ).fetchone()
        return row

    def keep_answer(self, key: str, fingerprint: str, status: int, body: bytes, request_id: str) -> None:
        """Store the answer to an idempotency key."""
        self._connection.execute(
            "INSERT INTO idempotency (key, fingerprint, status, body, request_id, created) VALUES (?, ?, ?, ?, ?, ?)",
            (key, fingerprint, status, body, request_id, self.now()),
        )


def without_private(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the public object: without the sandbox's own fields, whose names begin with `_`."""
    return {name: value for name, value in body.items() if not name.startswith("_")}

"""Which database failures are outages, each with a stable word; one log line when an outage begins and when it ends."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

import sqlalchemy

from chassis.logs import log

READ_ONLY, DISK_FULL, UNREACHABLE, BUSY, DAMAGED = "read-only", "disk full", "unreachable", "busy", "damaged"

SENTENCES = {
    READ_ONLY: "is read-only now",
    DISK_FULL: "has no room left",
    UNREACHABLE: "does not answer",
    BUSY: "is too busy",
    DAMAGED: "cannot be read",
}

# PostgreSQL's SQLSTATEs, in full or by class. https://www.postgresql.org/docs/current/errcodes-appendix.html
_SQLSTATES = {
    "25006": READ_ONLY,
    "53100": DISK_FULL,
    "53": BUSY,  # out of memory, too many connections
    "55P03": BUSY,  # a lock timeout
    "57014": BUSY,  # a statement timeout
    "40": BUSY,  # a deadlock
    "57P": UNREACHABLE,  # shutdown, crash, starting
    "08": UNREACHABLE,
    "25P03": UNREACHABLE,  # an idle transaction timeout
    "58": UNREACHABLE,  # a system error on the server
    "XX001": DAMAGED,
    "XX002": DAMAGED,
}
# SQLite's primary result codes. https://www.sqlite.org/rescode.html
_SQLITE = {
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_FULL: DISK_FULL,
    sqlite3.SQLITE_IOERR: DISK_FULL,
    sqlite3.SQLITE_BUSY: BUSY,
    sqlite3.SQLITE_LOCKED: BUSY,
    sqlite3.SQLITE_NOMEM: BUSY,
    sqlite3.SQLITE_CANTOPEN: UNREACHABLE,
    sqlite3.SQLITE_PROTOCOL: UNREACHABLE,
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: DAMAGED,
}
_PRIMARY_CODE = 0xFF  # the rest of a code says more about the cause
# A driver's message is cut here: the log needs its beginning.
MESSAGE_LENGTH = 200


def reason_of(error: Exception) -> str | None:
    """The word for what is wrong with the database; None when the statement is wrong, which is a bug."""
    if isinstance(error, sqlalchemy.exc.TimeoutError):  # every connection of the pool is in use
        return BUSY
    if not isinstance(error, sqlalchemy.exc.DBAPIError):
        return None
    state = getattr(error.orig, "pgcode", None)
    if state:
        for length in (5, 3, 2):
            if state[:length] in _SQLSTATES:
                return _SQLSTATES[state[:length]]
    elif isinstance(error.orig, sqlite3.Error):
        return _SQLITE.get(getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY_CODE)
    away = isinstance(error, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError)
    return UNREACHABLE if away or error.connection_invalidated else None


class Outage:
    """What is wrong with one database, as this process sees it.

    Args:
        service: whose database it is.

    Attributes:
        reason: the word for it; None while all is well.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self._began = 0.0
        self.reason: str | None = None

    def failed(self, reason: str, error: Exception) -> None:
        """A transaction failed. Log the cause once per outage, without the statement and its parameters."""
        if self.reason == reason:
            return
        if self.reason is None:
            self._began = time.monotonic()
        self.reason = reason
        cause: Any = getattr(error, "orig", None) or error
        message = (str(cause).splitlines() or [""])[0][:MESSAGE_LENGTH]
        code = getattr(cause, "pgcode", None) or getattr(cause, "sqlite_errorname", None)
        facts = {"service": self._service, "reason": reason, "error": type(cause).__name__, "code": code}
        log.error("database outage", message=message, **facts)

    def worked(self, writing: bool, room: bool = False) -> None:
        """A transaction was committed.

        Args:
            writing: whether it may have written: reading works on a read-only database, too.
            room: whether it needed new space: a row can be updated in place even on a full disk.
        """
        ended = {None: False, READ_ONLY: writing, DISK_FULL: room}.get(self.reason, True)
        if ended:
            lasted = round(time.monotonic() - self._began, 1)
            log.info("database outage over", service=self._service, reason=self.reason, seconds=lasted)
            self.reason = None

"""The connections of one gateway process: how many an address may hold, and their deadlines.

No address holds more than its share; the rest is left to the others. A connection that is idle between two requests is
closed to make room for a new one of its address; a client that finds an idle connection closed opens another.
"""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from chassis.logs import log
from chassis.settings import Network
from gateway import addresses

# Connections per process, idle ones included; fewer when the process may not open that many files.
MAX_CONNECTIONS = 4096
# Open files that are not connections: the broker, logs, the listening socket, modules being imported.
RESERVED_FILES = 100
# The share of all connections, and of all bodies being received, that one address may hold.
ADDRESS_SHARE = 1 / 4
# Bodies being received, per process. Bodies that arrive with their head do not count. Each holds at most the bytes that
# its route allows, usually 64 KiB.
MAX_RECEIVING = 160
# How often deadlines are checked (seconds), and how many connections one pass times out. An answer and its log line
# take a tenth of a millisecond, and others must not wait for a thousand of them.
SWEEP_S = 0.5
SWEEP_SOON_S = 0.01
SWEEP_BATCH = 20


class Connection(Protocol):
    """What `Connections` counts."""

    key: str | None
    deadline: float
    write_deadline: float

    def expire(self) -> None:
        """Its deadline has passed."""

    def expire_writing(self) -> None:
        """Its write deadline has passed."""

    def close(self) -> None:
        """Close it; it is idle."""

    def give_way(self) -> None:
        """Refuse the request that is being received, and release its place."""

    def abort(self) -> None:
        """Close at once; discard unsent data."""


class Connections:
    """Counts connections and bodies being received, and enforces deadlines (seconds of the loop's clock).

    Args:
        trusted: the proxies, whose connections carry many clients and have no limit per address.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, trusted: Sequence[Network]) -> None:
        self._loop = loop
        self._trusted = trusted
        self.most = max(16, min(MAX_CONNECTIONS, open_files() - RESERVED_FILES))
        self.most_of_address = max(4, int(self.most * ADDRESS_SHARE))
        self._all: set[Connection] = set()
        self._of: Counter[str] = Counter()
        self._idle: dict[str, dict[Connection, None]] = {}  # oldest first
        self._receiving: dict[str, dict[Connection, None]] = {}  # oldest first
        self._refused = 0
        self._sweeper = loop.call_later(SWEEP_S, self._sweep)

    def key(self, peer: str) -> str | None:
        """The key that counts a peer's connections; None for a trusted proxy."""
        return None if addresses.is_trusted(peer, self._trusted) else addresses.limit_key(peer)

    def admit(self, connection: Connection) -> bool:
        """Count a new connection; returns whether there is room for it."""
        key = connection.key
        if key is not None and self._of[key] >= self.most_of_address and not self._make_room(key):
            self._refused += 1
            return False
        if len(self._all) >= self.most:
            crowded = max(self._of, key=self._of.__getitem__, default=None)
            if crowded is None or not self._make_room(crowded):
                self._refused += 1
                return False
        self._all.add(connection)
        if key is not None:
            self._of[key] += 1
        return True

    def remove(self, connection: Connection) -> None:
        """The connection has closed."""
        if connection not in self._all:
            return
        self._all.discard(connection)
        self.busy(connection)
        key = connection.key
        if key is not None:
            self._of[key] -= 1
            if not self._of[key]:
                del self._of[key]

    def idle(self, connection: Connection) -> None:
        """It is between two requests: it may be closed to make room."""
        if connection.key is not None and connection in self._all:
            self._idle.setdefault(connection.key, {})[connection] = None

    def busy(self, connection: Connection) -> None:
        """It is no longer idle."""
        idle = self._idle.get(connection.key or "")
        if idle is not None:
            idle.pop(connection, None)
            if not idle:
                del self._idle[connection.key or ""]

    def receive(self, connection: Connection, key: str) -> bool:
        """Take a place for a body that has not fully arrived; returns whether this address has one.

        When all are taken, the oldest body of the address with the most places gives way to an address with fewer.
        """
        held = len(self._receiving.get(key, ()))
        if held >= MAX_RECEIVING * ADDRESS_SHARE:
            return False
        if sum(map(len, self._receiving.values())) >= MAX_RECEIVING:
            most = max(self._receiving.values(), key=len)
            if len(most) <= held:
                return False
            next(iter(most)).give_way()
        self._receiving.setdefault(key, {})[connection] = None
        return True

    def received(self, connection: Connection, key: str) -> None:
        """Release the place."""
        del self._receiving[key][connection]
        if not self._receiving[key]:
            del self._receiving[key]

    def _make_room(self, key: str) -> bool:
        idle = self._idle.get(key)
        if not idle:
            return False
        oldest = next(iter(idle))
        self.busy(oldest)
        oldest.close()  # counted until it is gone
        return True

    def _sweep(self) -> None:
        now = self._loop.time()
        expired = [each for each in self._all if each.deadline <= now or each.write_deadline <= now]
        pause = SWEEP_SOON_S if len(expired) > SWEEP_BATCH else SWEEP_S
        self._sweeper = self._loop.call_later(pause, self._sweep)
        for connection in expired[:SWEEP_BATCH]:
            try:
                if connection.write_deadline <= now:
                    connection.expire_writing()
                if connection.deadline <= now:
                    connection.expire()
            except Exception:
                log.exception("bug", service="gateway")
                connection.abort()  # otherwise it would delay the others in every pass
        if self._refused:
            log.warning("connections refused", service="gateway", connections=self._refused)
            self._refused = 0


def open_files() -> int:
    """How many files this process may open, after raising the limit as far as allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + RESERVED_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        except (OSError, ValueError):
            return soft
        return most
    return wanted

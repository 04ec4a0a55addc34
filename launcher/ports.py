"""TCP ports: which are in use, and which are free."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable

HIGHEST = 65535
# Below every system's range for outgoing connections (Linux starts at 32768). In that range, a port found free can be
# taken a moment later by any outgoing connection, and so can one that is released for a restart.
OUTGOING = 32768
FREE_RANGE = range(10000, 32000)
# The ports that this process has reserved. Seconds pass before a server listens on a reserved port, and a restarting
# broker releases its port for a while. Without the reservation, another copy that starts at that time would find the
# port free.
_drawn: set[int] = set()


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Return True when a server could listen on `port` of `host` now."""
    if not 0 < port <= HIGHEST:
        return False
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that are just closing do not count
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port(avoid: Iterable[int] = ()) -> int:
    """Return a loopback port that no process listens on, that is not in `avoid`, and that no other process reserves
    while this one lives. Raises OSError when 200 tries fail."""
    avoided = set(avoid)
    for _ in range(200):
        port = random.choice(FREE_RANGE)  # noqa: S311  a port number is no secret
        if port not in avoided and port not in _drawn and is_free(port) and _draw(port):
            return port
    raise OSError("no free port found")


def preferred_or_free(preferred: int, avoid: Iterable[int] = ()) -> int:
    """Return `preferred` when it is valid, free, not in `avoid`, used by no connection and reserved by no other
    process; else some free port."""
    avoided = set(avoid)
    good = preferred < OUTGOING and preferred not in avoided and is_free(preferred) and _draw(preferred)
    return preferred if good else free_port(avoided)


def _draw(port: int) -> bool:
    """Whether no other process has reserved `port`. If so, it is reserved for this process until it ends."""
    if port in _drawn:
        return True
    # Reserved by binding the UDP port of the same number. The shop uses no UDP, and a UDP socket blocks no TCP server.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sign:
        try:
            sign.bind(("127.0.0.1", port))
        except OSError:
            return False
        sign.detach()  # left open: the end of the process closes it
    _drawn.add(port)
    return True

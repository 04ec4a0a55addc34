"""TCP ports: which are in use, and which are free to take."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable

HIGHEST = 65535
# Below every system's range for outgoing connections (Linux starts at 32768), where a port found free can be gone
# a moment later, and one that is given up for a restart can be taken by whoever just tries to connect to it.
OUTGOING = 32768
FREE_RANGE = range(10000, 32000)
# What this process has drawn. Between the draw and the moment that a server listens lie seconds, and a broker that is
# restarted leaves its port for some: whoever looks meanwhile, as another copy that is started beside this one, would
# find it free.
_drawn: set[int] = set()


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """True when a server could listen on `port` of `host` now."""
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
    """A port of the loopback interface that nothing listens on, none of `avoid`, and for as long as this process lives
    nobody else's draw. Raises OSError when 200 tries fail."""
    avoided = set(avoid)
    for _ in range(200):
        port = random.choice(FREE_RANGE)  # noqa: S311  a port number is no secret
        if port not in avoided and port not in _drawn and is_free(port) and _draw(port):
            return port
    raise OSError("no free port found")


def preferred_or_free(preferred: int, avoid: Iterable[int] = ()) -> int:
    """`preferred` when it is valid, free, not to be avoided, no connection's and nobody else's draw; else some free
    port."""
    avoided = set(avoid)
    good = preferred < OUTGOING and preferred not in avoided and is_free(preferred) and _draw(preferred)
    return preferred if good else free_port(avoided)


def _draw(port: int) -> bool:
    """Whether no other process has drawn `port`; from now on none will, until this one ends."""
    if port in _drawn:
        return True
    # UDP has numbers of its own, which no part of the shop takes: whoever holds one keeps nobody from listening.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sign:
        try:
            sign.bind(("127.0.0.1", port))
        except OSError:
            return False
        sign.detach()  # left open: the end of the process closes it
    _drawn.add(port)
    return True

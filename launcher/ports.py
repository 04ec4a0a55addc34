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
    """A port of the loopback interface that nothing listens on, none of `avoid`. Raises OSError when 200 tries fail."""
    avoided = set(avoid)
    for _ in range(200):
        port = random.choice(FREE_RANGE)  # noqa: S311  a port number is no secret
        if port not in avoided and is_free(port):
            return port
    raise OSError("no free port found")


def preferred_or_free(preferred: int, avoid: Iterable[int] = ()) -> int:
    """`preferred` when it is valid, free, not to be avoided and no connection's; else some free port."""
    avoided = set(avoid)
    good = preferred < OUTGOING and preferred not in avoided and is_free(preferred)
    return preferred if good else free_port(avoided)

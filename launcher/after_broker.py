"""``python -m launcher.after_broker PROGRAM [ARGUMENT ...]``: become PROGRAM as soon as the broker listens.

A Nameko service that starts while the broker is away gives up at once. Waiting here instead costs a sleeping process,
and the service is back half a second after the broker, however long that was gone.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from urllib.parse import urlsplit

POLL = 0.5  # seconds; the most that a broker restart adds to the restart of a service
BROKER_WAIT_S = 300.0  # then exit, and be restarted


def address(amqp_uri: str) -> tuple[str, int]:
    """Return host and port of an AMQP URI."""
    parts = urlsplit(amqp_uri)
    return parts.hostname or "127.0.0.1", parts.port or (5671 if parts.scheme == "amqps" else 5672)


def listens(host: str, port: int, timeout: float = 2.0) -> bool:
    """Return True when `host`:`port` accepts a TCP connection within `timeout` seconds."""
    try:
        with socket.create_connection((host, port), timeout=timeout):
            return True
    except OSError:
        return False


def main(command: list[str]) -> int:
    """Wait, then become `command`; returns only on failure: 1 after BROKER_WAIT_S, 2 without a command."""
    if not command:
        print(__doc__, file=sys.stderr)
        return 2
    host, port = address(os.environ.get("AMQP_URI") or "amqp://127.0.0.1:28000")
    deadline = time.monotonic() + BROKER_WAIT_S
    while not listens(host, port):
        if time.monotonic() > deadline:
            print(f"the broker at {host}:{port} did not come within {BROKER_WAIT_S:.0f} s", file=sys.stderr)
            return 1
        time.sleep(POLL)
    return os.execvp(command[0], command)  # noqa: S606  the command line is the launcher's own


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Eventlet's name lookups, imported when the first name is looked up.

Eventlet looks names up with dnspython, whose import is a quarter of a service's start and 16 MB of its memory. A copy
that the launcher starts needs only numeric addresses. With EVENTLET_NO_GREENDNS=yes, which the launcher and the image
set, Eventlet leaves the system's lookup in place, and that would block every greenlet.
"""

from __future__ import annotations

import socket
from typing import Any

from eventlet.green import socket as green_socket

_system = green_socket.getaddrinfo


def import_late() -> None:
    """Make this process's `getaddrinfo` green, with or without the variable."""
    green_socket.getaddrinfo = socket.getaddrinfo = _getaddrinfo


def _getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> list[Any]:
    try:
        return _system(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
    except socket.gaierror:
        from eventlet.support import greendns

        return greendns.getaddrinfo(host, port, family, type, proto, flags)

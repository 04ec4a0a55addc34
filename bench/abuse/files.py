"""How many files, and thus sockets, this process may open."""

from __future__ import annotations

import contextlib
import resource


def raise_limit() -> int:
    """Raise the limit of open files as far as allowed; return the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

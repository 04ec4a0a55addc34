"""Import a library without the optional dependencies that the shop does not use.

They take a third of a service's start: aiohttp for Stripe's asynchronous calls, redis for a shared circuit breaker,
rich for tracebacks on a terminal.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def without(*packages: str) -> Iterator[None]:
    """Make `packages` look absent to the imports inside; later imports find them.

    A library that requires one of them raises ImportError. Use it only while modules are imported, in one thread.
    """
    # https://docs.python.org/3/reference/import.html#the-module-cache: None makes an import fail.
    present = {name: sys.modules[name] for name in packages if name in sys.modules}
    sys.modules.update(dict.fromkeys(packages))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in packages:
            del sys.modules[name]
        sys.modules.update(present)

"""One RPC behind HTTP: the shop's gateway and service compared with FastAPI and FastStream, on the same broker."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Measure as `--help` describes; return 0 when the measurement succeeded, with any result."""
    # Imported only when needed, because a service process imports this package, too.
    from bench.rpc.comparison import main as compare

    return compare(arguments)

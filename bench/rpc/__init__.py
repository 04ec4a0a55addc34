"""One RPC behind HTTP: the shop's gateway and service beside FastAPI and FastStream, on the same broker."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Measure, as `--help` says; 0 when it was measured, whatever came out."""
    # Not before it is asked for: a service process imports this package, too.
    from bench.rpc.comparison import main as compare

    return compare(arguments)

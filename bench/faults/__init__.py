"""The shop under faults: shoppers buy while its parts are killed and its providers fail; then the books are checked."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Run as `--help` describes; return 0 when every rule held and all interrupted work settled in time."""
    from bench.faults.command import main as run

    return run(arguments)

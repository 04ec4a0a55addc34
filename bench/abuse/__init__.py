"""Attacks on the shop: expensive bodies, slow clients, fuzzed requests, and the correct answer to each."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Run as `--help` describes; return 0 when there is no finding."""
    from bench.abuse.command import main as run

    return run(arguments)

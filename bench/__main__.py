"""`python -m bench NAME [option ...]`: runs `bench/NAME`, a module or package with `main(arguments)`."""

from __future__ import annotations

import importlib
import pkgutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

MISUSED, INTERRUPTED = 2, 130


def names() -> list[str]:
    """Return the names of the benches."""
    found = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    return sorted(name.replace("_", "-") for name in found if not name.startswith("_"))


def main(arguments: Sequence[str]) -> int:
    """Run one bench; return its exit status."""
    name, rest = (arguments[0], list(arguments[1:])) if arguments else ("", [])
    if name.replace("_", "-") not in names():
        print(f"Usage: python -m bench NAME [option ...], NAME being one of: {', '.join(names())}", file=sys.stderr)
        return MISUSED
    # SIGTERM is handled like an interrupt, so that a bench stops everything that it started.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    bench = importlib.import_module(f"bench.{name.replace('-', '_')}")
    try:
        status: int = bench.main(rest)
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

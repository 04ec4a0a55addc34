"""The launcher's output: steps with a spinner on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from rich.console import Console
from rich.status import Status

from launcher.readiness import Progress

REMIND = 15.0  # seconds after which a log without a terminal gets a line that a step still runs

console = Console(highlight=False, soft_wrap=True, emoji=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def say(sentence: str) -> None:
    """Show one line unchanged."""
    console.print(sentence, markup=False)


def printable(text: str) -> str:
    """Return external `text` as one line without control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class Steps(Progress):
    """Shows each wait while it lasts, and its duration."""

    def __init__(self) -> None:
        self.wanting = ""

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Wrap the wait for the part `name`."""
        self.wanting = ""
        started = time.monotonic()
        over = threading.Event()
        with console.status(f"{name} …") as spinner:
            watch = threading.Thread(target=self._watch, args=(name, started, over, spinner), daemon=True)
            watch.start()
            try:
                yield
            finally:
                over.set()
                watch.join()
        console.print(f"  ✓ {name} ({time.monotonic() - started:.1f} s)", markup=False)

    def missing(self, names: list[str]) -> None:
        """Show the parts that the gateway still misses."""
        self.wanting = ": " + ", ".join(names)

    def _watch(self, name: str, started: float, over: threading.Event, spinner: Status) -> None:
        reminded = started
        while not over.wait(0.5):
            now = time.monotonic()
            text = f"{name}{self.wanting} … {now - started:.0f} s"
            if console.is_terminal:
                spinner.update(text)
            elif now - reminded > REMIND:
                reminded = now
                console.print(f"  … {text}", markup=False)

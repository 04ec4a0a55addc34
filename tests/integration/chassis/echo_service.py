"""A stub that answers what it was asked, fails as it is told, and writes down what it ran."""

from __future__ import annotations

import decimal
import os
import time
from pathlib import Path
from typing import Any

import structlog
from eventlet import patcher

from chassis import deadline
from chassis.rpc.entrypoint import rpc
from contracts import errors


def note(text: str) -> None:
    """Write a line that outlives the process."""
    with Path(os.environ["STUB_NOTES"]).open("a") as notes:
        notes.write(f"{text}\n")


class Untellable:
    """Nothing that JSON has a word for."""

    def __repr__(self) -> str:
        raise RuntimeError("not even this")


class Echo:
    """The stub."""

    name = os.environ["STUB_NAME"]

    @rpc
    def echo(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """What was sent."""
        return {"args": args, "kwargs": kwargs}

    @rpc
    def one(self, value: Any) -> Any:
        """One argument, no more and no less."""
        return value

    @rpc
    def sleep(self, seconds: float, text: str = "sleep") -> str:
        """Take `seconds`, noting when it begins and ends."""
        note(f"began {text}")
        time.sleep(seconds)
        note(f"ended {text}")
        return text

    @rpc
    def hold(self) -> str:
        """Work until the test says go, four minutes at most."""
        note("began hold")
        go = Path(f"{os.environ['STUB_NOTES']}.go")
        end = time.monotonic() + 240
        while not go.exists() and time.monotonic() < end:
            time.sleep(0.5)
        note("ended hold")
        return "held"

    @rpc
    def seize(self) -> None:
        """As `hold`, and then stand still for an hour, and with it every greenlet of the process."""
        self.hold()
        patcher.original("time").sleep(3600)

    @rpc(expected_exceptions=errors.ShopError)
    def fail(self, kind: str, detail: str, facts: dict[str, Any] | None) -> None:
        """Raise a ShopError."""
        raise getattr(errors, kind)(detail, facts)

    @rpc
    def die(self, text: str) -> None:
        """Take the whole process along."""
        note(f"began {text}")
        os._exit(9)

    @rpc(most=2)
    def slow(self) -> str:
        """As `hold`, of which two may be at work at once."""
        return self.hold()

    @rpc
    def bug(self) -> None:
        """Raise what no contract speaks of."""
        raise ZeroDivisionError("a bug")

    @rpc
    def untellable(self, where: str) -> Any:
        """Answer, or raise with, what cannot be sent."""
        if where == "result":
            return Untellable()
        if where == "facts":
            raise errors.Conflict("A price.", {"price": decimal.Decimal("1.10")})
        if where == "detail":
            raise errors.Conflict("half a character: \ud83d")
        raise type("Unfindable", (Exception,), {"__module__": "nowhere"})("who am I?")

    @rpc
    def left(self) -> float | None:
        """Seconds that the caller still waits."""
        return deadline.remaining()

    @rpc
    def bound(self) -> dict[str, Any]:
        """What every log line of this call carries."""
        return dict(structlog.contextvars.get_contextvars())

    @rpc
    def big(self, size: int) -> str:
        """That many characters."""
        return "x" * size

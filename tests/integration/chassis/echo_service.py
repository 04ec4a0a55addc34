"""A stub that echoes its arguments, fails on request, and notes which calls it ran."""

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
    """Append a line to the notes file, which outlives the process."""
    with Path(os.environ["STUB_NOTES"]).open("a") as notes:
        notes.write(f"{text}\n")


class Unserializable:
    """A value that neither JSON nor `repr` can represent."""

    def __repr__(self) -> str:
        raise RuntimeError("not even this")


class Echo:
    """The stub."""

    name = os.environ["STUB_NAME"]

    @rpc
    def echo(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the arguments."""
        return {"args": args, "kwargs": kwargs}

    @rpc
    def one(self, value: Any) -> Any:
        """Return the argument; the method takes exactly one."""
        return value

    @rpc
    def sleep(self, seconds: float, text: str = "sleep") -> str:
        """Sleep for `seconds`, and note the begin and the end."""
        note(f"began {text}")
        time.sleep(seconds)
        note(f"ended {text}")
        return text

    @rpc
    def hold(self) -> str:
        """Work until the test creates the `.go` file, four minutes at most."""
        note("began hold")
        go = Path(f"{os.environ['STUB_NOTES']}.go")
        end = time.monotonic() + 240
        while not go.exists() and time.monotonic() < end:
            time.sleep(0.5)
        note("ended hold")
        return "held"

    @rpc
    def seize(self) -> None:
        """Do `hold`, then block every greenlet of the process for an hour."""
        self.hold()
        patcher.original("time").sleep(3600)

    @rpc(expected_exceptions=errors.ShopError)
    def fail(self, kind: str, detail: str, facts: dict[str, Any] | None) -> None:
        """Raise a ShopError."""
        raise getattr(errors, kind)(detail, facts)

    @rpc
    def die(self, text: str) -> None:
        """End the whole process."""
        note(f"began {text}")
        os._exit(9)

    @rpc(most=2)
    def slow(self) -> str:
        """Do `hold`, with a concurrency limit of two."""
        return self.hold()

    @rpc
    def bug(self) -> None:
        """Raise an error that no contract lists."""
        raise ZeroDivisionError("a bug")

    @rpc
    def unserializable(self, where: str) -> Any:
        """Return, or raise, a value that cannot be serialized."""
        if where == "result":
            return Unserializable()
        if where == "facts":
            raise errors.Conflict("A price.", {"price": decimal.Decimal("1.10")})
        if where == "detail":
            raise errors.Conflict("half a character: \ud83d")
        raise type("Unfindable", (Exception,), {"__module__": "nowhere"})("who am I?")

    @rpc
    def left(self) -> float | None:
        """Return the seconds until the caller's deadline."""
        return deadline.remaining()

    @rpc
    def bound(self) -> dict[str, Any]:
        """Return the log context of this call."""
        return dict(structlog.contextvars.get_contextvars())

    @rpc
    def big(self, size: int) -> str:
        """Return `size` characters."""
        return "x" * size

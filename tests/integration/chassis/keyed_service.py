"""A stub whose answers are kept, on a database of its own; it can be told to die in the middle of its work."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from chassis.rpc.entrypoint import rpc
from chassis.store_provider import StoreProvider
from contracts.errors import ShopError
from tests.integration.chassis.echo_service import note


class Nothing:
    """A store that keeps nothing."""

    def __init__(self, _database: Any) -> None:
        pass


class Keyed:
    """The stub."""

    name = os.environ["STUB_NAME"]
    store = StoreProvider(Nothing)

    @rpc
    def echo(self) -> str:
        """It answers."""
        return "echo"

    @rpc(expected_exceptions=ShopError, once=True)
    def work(self, text: str) -> dict[str, Any]:
        """Note that it is done; die after that, if the test says so."""
        note(f"did {text}")
        die = Path(f"{os.environ['STUB_NOTES']}.die")
        if die.exists():
            die.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"b": text, "a": 1.10}

    @rpc(expected_exceptions=ShopError)
    def unguarded(self, text: str) -> str:
        """The same, but its answers are not kept."""
        note(f"did {text}")
        return text

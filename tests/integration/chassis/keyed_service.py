"""A stub that keeps its answers in its own database. A test can make it die after its work, before its answer."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from chassis.rpc.entrypoint import rpc
from chassis.store_provider import StoreProvider
from contracts.errors import ShopError
from tests.integration.chassis.echo_service import note


class EmptyStore:
    """A store that keeps nothing."""

    def __init__(self, _database: Any) -> None:
        pass


class Keyed:
    """The stub."""

    name = os.environ["STUB_NAME"]
    store = StoreProvider(EmptyStore)

    @rpc
    def echo(self) -> str:
        """Return a constant."""
        return "echo"

    @rpc(expected_exceptions=ShopError, idempotent=True)
    def work(self, text: str) -> dict[str, Any]:
        """Note the work, then die if the test created the `.die` file."""
        note(f"did {text}")
        die = Path(f"{os.environ['STUB_NOTES']}.die")
        if die.exists():
            die.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"b": text, "a": 1.10}

    @rpc(expected_exceptions=ShopError)
    def unguarded(self, text: str) -> str:
        """Do the same as `work`, without keeping the answer."""
        note(f"did {text}")
        return text

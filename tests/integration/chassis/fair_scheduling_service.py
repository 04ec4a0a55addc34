"""A stub whose slow verb works for a while, without giving way, once its back has answered."""

from __future__ import annotations

import os
from typing import Any

from eventlet import patcher

from chassis import fair_scheduling
from chassis.rpc.entrypoint import rpc
from chassis.rpc.service_rpc import ServiceRpc
from contracts.errors import ShopError
from tests.integration.chassis.echo_service import note

# The operating system's, which stops every greenlet of the process, as work does.
work = patcher.original("time").sleep


class Turning:
    """The stub."""

    name = os.environ["STUB_NAME"]
    back = ServiceRpc(os.environ["STUB_BACK"])

    @rpc
    def echo(self) -> None:
        """Nothing."""

    @rpc(most=12)
    def slow(self) -> None:
        """Wait until the test says go, then work."""
        self.back.hold()
        work(0.8)
        note("slow")

    @rpc(expected_exceptions=ShopError)
    def ask(self, method: str) -> Any:
        """What the back answers, or fails with."""
        return getattr(self.back, method)()

    @rpc
    def quick(self) -> tuple[int, bool]:
        """How many quick ones are at work, and whether this is one."""
        return _standing()

    @rpc(most=2)
    def placed(self) -> tuple[int, bool]:
        """As `quick`, of a slow one."""
        return _standing()


def _standing() -> tuple[int, bool]:
    mine = fair_scheduling._turns.get()
    assert mine is not None
    return mine[0].quick, mine[1]

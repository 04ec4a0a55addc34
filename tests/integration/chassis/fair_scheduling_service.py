"""A stub whose slow verb calls its back service, then works for a while without yielding."""

from __future__ import annotations

import os
from typing import Any

from eventlet import patcher

from chassis import fair_scheduling
from chassis.rpc.entrypoint import rpc
from chassis.rpc.service_rpc import ServiceRpc
from contracts.errors import ShopError
from tests.integration.chassis.echo_service import note

# The unpatched sleep blocks every greenlet of the process, as real work does.
work = patcher.original("time").sleep


class FairlyScheduled:
    """The stub."""

    name = os.environ["STUB_NAME"]
    back = ServiceRpc(os.environ["STUB_BACK"])

    @rpc
    def echo(self) -> None:
        """Do nothing."""

    @rpc(most=12)
    def slow(self) -> None:
        """Wait until the test releases the back service, then work."""
        self.back.hold()
        work(0.8)
        note("slow")

    @rpc(expected_exceptions=ShopError)
    def ask(self, method: str) -> Any:
        """Relay the answer or the failure of the back service."""
        return getattr(self.back, method)()

    @rpc
    def quick(self) -> tuple[int, bool]:
        """Return the number of running quick requests, and whether this request is quick."""
        return _standing()

    @rpc(most=2)
    def placed(self) -> tuple[int, bool]:
        """Return the same as `quick`, for a slow request."""
        return _standing()


def _standing() -> tuple[int, bool]:
    mine = fair_scheduling._turns.get()
    assert mine is not None
    return mine[0].quick, mine[1]

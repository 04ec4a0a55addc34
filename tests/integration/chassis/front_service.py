"""A stub that calls another service on behalf of its caller, as cart does."""

from __future__ import annotations

import os
from typing import Any

from chassis import deadline
from chassis.rpc.entrypoint import rpc
from chassis.rpc.service_rpc import ServiceRpc
from contracts.errors import ShopError

if "STUB_MARGIN" in os.environ:
    deadline.DEADLINE_MARGIN_S = float(os.environ["STUB_MARGIN"])


class Front:
    """The stub."""

    name = os.environ["STUB_NAME"]
    back = ServiceRpc(os.environ["STUB_BACK"])

    @rpc
    def echo(self, *args: Any) -> Any:
        """Return the arguments, without a second call."""
        return args

    @rpc(expected_exceptions=ShopError)
    def relay(self, method: str, *args: Any) -> Any:
        """Relay the answer of the other service."""
        return getattr(self.back, method)(*args)

"""A stock Nameko service: it uses Nameko's own @rpc, and calls our services through Nameko's RpcProxy."""

from __future__ import annotations

import os
from typing import Any

from nameko.rpc import RpcProxy, rpc

from contracts.errors import NotFound


class Stock:
    """The stub."""

    name = os.environ["STUB_NAME"]
    back = RpcProxy(os.environ["STUB_BACK"])

    @rpc
    def echo(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the arguments."""
        return {"args": args, "kwargs": kwargs}

    @rpc
    def fail(self) -> None:
        """Raise a ShopError, which Nameko serializes."""
        raise NotFound("Not in stock.", {"sku": "sku_1"})

    @rpc
    def relay(self, method: str, *args: Any) -> Any:
        """Relay the answer of the other service."""
        return getattr(self.back, method)(*args)

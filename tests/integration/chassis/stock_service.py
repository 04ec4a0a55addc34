"""A service on Nameko's own @rpc, which also calls ours by Nameko's own RpcProxy."""

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
        """What was sent."""
        return {"args": args, "kwargs": kwargs}

    @rpc
    def fail(self) -> None:
        """A ShopError, told in Nameko's own words."""
        raise NotFound("Not in stock.", {"sku": "sku_1"})

    @rpc
    def relay(self, method: str, *args: Any) -> Any:
        """What the other one answers."""
        return getattr(self.back, method)(*args)

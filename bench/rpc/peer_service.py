"""The peer's service: FastStream on asyncio with uvloop, as its own command line would run it."""

from __future__ import annotations

import asyncio
from typing import Any

import uvloop
from faststream import FastStream

from bench.rpc.echo import product
from bench.rpc.peer_broker import QUEUE, broker

service = broker()


@service.subscriber(QUEUE)
async def get(product_id: str) -> dict[str, Any]:
    """Return the same product as our side's."""
    return product(product_id)


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(FastStream(service, logger=None).run())

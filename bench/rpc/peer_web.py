"""The peer's web process: FastAPI on uvicorn, whose one route makes one RPC.

PEER_CALL selects how: ``request`` is FastStream's RPC (`broker.request`, RabbitMQ's direct reply-to), which allows one
call at a time per broker object; ``pool`` gives the process sixteen of those; ``replies`` is what its maintainers
advise for concurrent calls, written by hand: a reply queue and a future for each call.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from faststream import AckPolicy
from faststream.rabbit import RabbitQueue

from bench.rpc.peer_broker import QUEUE, broker

TIMEOUT = 10.0
POOL = 16

Call = Callable[[str], Awaitable[Any]]


@asynccontextmanager
async def requesting(size: int) -> AsyncIterator[Call]:
    """Calls by `broker.request` over `size` connections."""
    brokers = [broker() for _ in range(size)]
    free: asyncio.LifoQueue[Any] = asyncio.LifoQueue()
    for each in brokers:
        await each.start()
        free.put_nowait(each)

    async def call(product_id: str) -> Any:
        if size == 1:
            return await (await brokers[0].request(product_id, QUEUE, timeout=TIMEOUT)).decode()
        taken = await free.get()
        try:
            return await (await taken.request(product_id, QUEUE, timeout=TIMEOUT)).decode()
        finally:
            free.put_nowait(taken)

    yield call
    for each in brokers:
        await each.stop()


@asynccontextmanager
async def replying() -> AsyncIterator[Call]:
    """Calls by `broker.publish`, answered to a queue of this process."""
    web = broker()
    waiting: dict[str, asyncio.Future[Any]] = {}
    replies = RabbitQueue(f"bench-faststream-replies-{uuid.uuid4()}", exclusive=True, auto_delete=True)

    @web.subscriber(replies, ack_policy=AckPolicy.ACK_FIRST)
    async def answered(product: dict[str, Any]) -> None:
        future = waiting.pop(web.context.get_local("message").correlation_id, None)
        if future is not None and not future.done():
            future.set_result(product)

    async def call(product_id: str) -> Any:
        correlation_id = uuid.uuid4().hex
        future = waiting[correlation_id] = asyncio.get_running_loop().create_future()
        await web.publish(product_id, QUEUE, reply_to=replies.name, correlation_id=correlation_id)
        return await asyncio.wait_for(future, TIMEOUT)

    await web.start()
    yield call
    await web.stop()


CALLS: dict[str, Callable[[], AbstractAsyncContextManager[Call]]] = {
    "request": lambda: requesting(1),
    "pool": lambda: requesting(POOL),
    "replies": replying,
}


@asynccontextmanager
async def connected(app: FastAPI) -> AsyncIterator[None]:
    """FastAPI's lifespan: the broker is connected while the process serves."""
    async with CALLS[os.environ["PEER_CALL"]]() as call:
        app.state.call = call
        yield


app = FastAPI(lifespan=connected)


@app.get("/api/products/{product_id}")
async def get(product_id: str) -> dict[str, Any]:
    """Make one RPC; return its answer as JSON, serialized by pydantic's core according to the return type."""
    product: dict[str, Any] = await app.state.call(product_id)
    return product

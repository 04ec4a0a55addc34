"""The sandbox's own routes for webhooks: their delivery faults, and the delivery counts."""

from __future__ import annotations

import asyncio

import orjson
from aiohttp import web

from sandbox.context import Context
from sandbox.control import json_object, json_response, refusal
from sandbox.faults import PROVIDERS, BadFault
from sandbox.webhooks.waiting import Switches, default

# How long a request for the last webhook waits for one in flight, and how often it looks (seconds).
LAST_WAIT_S, LAST_LOOK_INTERVAL_S = 8.0, 0.1
# How often one request may repeat a webhook.
MAX_TIMES = 10


def add_webhook_routes(application: web.Application, sandbox: Context) -> None:
    """Add GET, PUT, DELETE /sandbox/webhooks/{provider}, POST …/flush, GET …/last, GET /sandbox/webhooks and
    POST /sandbox/feed/webhook/{id}/repeat."""
    control = _Control(sandbox)
    application.router.add_routes(
        [
            web.get("/sandbox/webhooks", control.get_all),
            web.get("/sandbox/webhooks/{provider}", control.get),
            web.put("/sandbox/webhooks/{provider}", control.put),
            web.delete("/sandbox/webhooks/{provider}", control.delete),
            web.post("/sandbox/webhooks/{provider}/flush", control.flush),
            web.get("/sandbox/webhooks/{provider}/last", control.last),
            web.post("/sandbox/feed/webhook/{id}/repeat", control.repeat),
        ]
    )


class _Control:
    def __init__(self, sandbox: Context) -> None:
        self.sandbox = sandbox
        self.webhooks = sandbox.webhooks

    async def get_all(self, request: web.Request) -> web.Response:
        return json_response({provider: self.webhooks.describe(provider) for provider in PROVIDERS})

    async def get(self, request: web.Request) -> web.Response:
        provider = request.match_info["provider"]
        return json_response(self.webhooks.describe(provider)) if provider in PROVIDERS else _unknown()

    async def put(self, request: web.Request) -> web.Response:
        provider = request.match_info["provider"]
        if provider not in PROVIDERS:
            return _unknown()
        try:
            self.webhooks.set(provider, Switches.from_json(provider, orjson.loads(await request.read())))
        except (orjson.JSONDecodeError, BadFault) as error:
            return refusal(400, str(error))
        self.sandbox.feed.wake()
        return json_response(self.webhooks.describe(provider))

    async def delete(self, request: web.Request) -> web.Response:
        provider = request.match_info["provider"]
        if provider not in PROVIDERS:
            return _unknown()
        self.webhooks.set(provider, default(provider))
        self.sandbox.feed.wake()
        return json_response(self.webhooks.describe(provider))

    async def flush(self, request: web.Request) -> web.Response:
        """Send everything that is held back now, and answer when each was tried: {"flushed": how many, "counts": …}."""
        provider = request.match_info["provider"]
        if provider not in PROVIDERS:
            return _unknown()
        flushed = await self.sandbox.sender.flush(provider)
        return json_response({"flushed": flushed, "counts": self.webhooks.describe(provider)["counts"]})

    async def last(self, request: web.Request) -> web.Response:
        """Return the last accepted webhook as a curl configuration: `curl -K` sends it again."""
        provider = request.match_info["provider"]
        if provider not in PROVIDERS:
            return _unknown()
        for _ in range(int(LAST_WAIT_S / LAST_LOOK_INTERVAL_S)):
            if provider in self.webhooks.last:
                headers, body = self.webhooks.last[provider]
                lines = [f"header = {_quoted(f'{name}: {value}')}" for name, value in headers.items()]
                return web.Response(text="\n".join([*lines, f"data-raw = {_quoted(body.decode())}", ""]))
            await asyncio.sleep(LAST_LOOK_INTERVAL_S)
        return refusal(404, "no webhook of this provider has been taken yet")

    async def repeat(self, request: web.Request) -> web.Response:
        """Accept {"times": n} and send the webhook n times more, each signed like a new one; answer its record."""
        body = await json_object(request)
        times = body.get("times")
        if set(body) != {"times"} or type(times) is not int or not 1 <= times <= MAX_TIMES:
            return refusal(400, f'the body is {{"times": a whole number from 1 to {MAX_TIMES}}}')
        record = self.webhooks.repeat(request.match_info["id"], times)
        return refusal(404, "no such webhook") if record is None else json_response(record)


def _quoted(text: str) -> str:
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"), ("\v", "\\v")):
        text = text.replace(plain, escaped)
    return f'"{text}"'


def _unknown() -> web.Response:
    return refusal(404, f"no such provider; there are {', '.join(PROVIDERS)}")

"""The sandbox's own routes for recipients: what becomes of messages to a number or an address."""

from __future__ import annotations

from aiohttp import web

from sandbox.context import Context
from sandbox.control import json_object, json_response, refusal
from sandbox.recipients import KIND, BadRecipient, mark, recipient


def add_recipient_routes(application: web.Application, sandbox: Context) -> None:
    """Add GET /sandbox/recipients, and GET, PUT, DELETE /sandbox/recipients/{address}."""
    control = _Control(sandbox)
    application.router.add_routes(
        [
            web.get("/sandbox/recipients", control.get_all),
            web.get("/sandbox/recipients/{address}", control.get),
            web.put("/sandbox/recipients/{address}", control.put),
            web.delete("/sandbox/recipients/{address}", control.delete),
        ]
    )


class _Control:
    def __init__(self, sandbox: Context) -> None:
        self.sandbox = sandbox
        self.state = sandbox.state

    async def get_all(self, request: web.Request) -> web.Response:
        return json_response({"recipients": self.state.find(KIND)})

    async def get(self, request: web.Request) -> web.Response:
        return json_response(recipient(self.state, request.match_info["address"]))

    async def put(self, request: web.Request) -> web.Response:
        """Accept {"outcome": …, "error_code": …}, and answer what is known of the recipient."""
        body = await json_object(request)
        try:
            return json_response(mark(self.state, request.match_info["address"], body))
        except BadRecipient as problem:
            return refusal(400, str(problem))

    async def delete(self, request: web.Request) -> web.Response:
        """Forget everything about the recipient, so that messages to it arrive again."""
        address = request.match_info["address"].lower()
        with self.state.transaction():
            self.state.delete(KIND, address)
        return json_response(recipient(self.state, address))

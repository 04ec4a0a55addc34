"""The sandbox's own routes for the options of a provider."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson
from aiohttp import web

from sandbox.context import Context
from sandbox.control import json_response, refusal
from sandbox.faults import BadFault
from sandbox.options import Options
from sandbox.shippo.options import ShippoOptions
from sandbox.state import State
from sandbox.stripe.options import StripeOptions

KINDS: dict[str, type[Options]] = {kind.provider: kind for kind in (ShippoOptions, StripeOptions)}


def described(state: State) -> dict[str, dict[str, Any]]:
    """Return the options of every provider that has some."""
    return {name: asdict(kind.of(state)) for name, kind in KINDS.items()}


def add_option_routes(application: web.Application, sandbox: Context) -> None:
    """Add GET, PUT and DELETE /sandbox/options/{provider} to the application."""
    control = _Control(sandbox)
    for provider in KINDS:
        path = f"/sandbox/options/{provider}"
        application.router.add_routes(
            [web.get(path, control.show), web.put(path, control.put), web.delete(path, control.delete)]
        )


class _Control:
    def __init__(self, sandbox: Context) -> None:
        self.sandbox = sandbox
        self.state = sandbox.state

    async def show(self, request: web.Request) -> web.Response:
        return json_response(described(self.state)[_provider(request)])

    async def put(self, request: web.Request) -> web.Response:
        """Accept options, those that are left out at their defaults; see `ShippoOptions` and `StripeOptions`."""
        try:
            options = KINDS[_provider(request)].from_json(orjson.loads(await request.read()))
        except (orjson.JSONDecodeError, BadFault) as error:
            return refusal(400, str(error))
        return self._set(options)

    async def delete(self, request: web.Request) -> web.Response:
        return self._set(KINDS[_provider(request)]())

    def _set(self, options: Options) -> web.Response:
        with self.state.transaction():
            options.store(self.state)
        self.sandbox.feed.wake()
        return json_response(asdict(options))


def _provider(request: web.Request) -> str:
    return request.path.rpartition("/")[2]

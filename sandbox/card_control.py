"""The sandbox's own route that lets ordinary cards behave as another test card."""

from __future__ import annotations

from aiohttp import web

from sandbox.context import Context
from sandbox.control import json_object, json_response, refusal
from sandbox.faults import is_number
from sandbox.stripe.card_switch import describe, switch
from sandbox.stripe.cards import card_named


def add_card_routes(application: web.Application, sandbox: Context) -> None:
    """Add GET, PUT and DELETE /sandbox/cards to the application."""
    control = _Control(sandbox)
    application.router.add_get("/sandbox/cards", control.show)
    application.router.add_put("/sandbox/cards", control.put)
    application.router.add_delete("/sandbox/cards", control.delete)


class _Control:
    def __init__(self, sandbox: Context) -> None:
        self.state = sandbox.state

    async def show(self, request: web.Request) -> web.Response:
        return json_response(describe(self.state))

    async def put(self, request: web.Request) -> web.Response:
        """Accept {"behave_as": "pm_card_…", "share": 0…1, "times": a number of cards}; the last two are optional."""
        body = await json_object(request)
        name, share, times = body.get("behave_as"), body.get("share", 1), body.get("times")
        if not set(body) <= {"behave_as", "share", "times"}:
            return refusal(400, "known: behave_as, share, times")
        if not isinstance(name, str) or card_named(name) is None:
            return refusal(400, "behave_as must be a test card, such as pm_card_radarBlock")
        if not is_number(share) or not 0 <= share <= 1:
            return refusal(400, "share must be a number from 0 to 1")
        if times is not None and (type(times) is not int or times < 0):
            return refusal(400, "times must be a whole number, 0 or more")
        with self.state.transaction():
            switch(self.state, name, share, times)
        return json_response(describe(self.state))

    async def delete(self, request: web.Request) -> web.Response:
        with self.state.transaction():
            switch(self.state, None)
        return json_response(describe(self.state))

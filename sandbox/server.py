"""The HTTP server: passes each call to its provider, applies the active faults, and drains on shutdown."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web

from sandbox.bank import add_bank_routes
from sandbox.card_control import add_card_routes
from sandbox.control import add_control_routes
from sandbox.dispute_control import add_dispute_routes
from sandbox.faults import NO_TROUBLE, Faults
from sandbox.feed import Feed
from sandbox.guard import add_headers, same_origin
from sandbox.label_control import add_label_routes
from sandbox.later import Later
from sandbox.option_control import add_option_routes
from sandbox.page_control import add_page_routes
from sandbox.provider import Answer, Call, Provider
from sandbox.recipient_control import add_recipient_routes
from sandbox.script_control import add_script_routes
from sandbox.sendgrid.api import SendGrid
from sandbox.settings import SandboxSettings
from sandbox.settlement_control import add_settlement_routes
from sandbox.shippo.api import Shippo
from sandbox.shippo.refunds import advance_refund
from sandbox.shippo.transactions import end_planned_purchase
from sandbox.state import State
from sandbox.stripe.api import Stripe
from sandbox.stripe.async_capture import book_capture
from sandbox.stripe.debit_outcomes import settle_debit
from sandbox.stripe.dispute_cases import settle_overdue
from sandbox.stripe.endpoint import Desk
from sandbox.stripe.refund_outcomes import settle_refund
from sandbox.twilio.api import Twilio
from sandbox.webhook_control import add_webhook_routes
from sandbox.webhooks.events import events_of
from sandbox.webhooks.sender import Sender
from sandbox.webhooks.waiting import Webhooks

DRAIN_SECONDS = 5.0
BODY_LIMIT = 32 * 1024 * 1024
_HANG_LOOK_SECONDS = 0.05
_SWITCHED_ON = "A fault that was switched on in the sandbox."
# How often what is due is carried out (seconds).
_ADVANCE_SECONDS = 0.2

log = logging.getLogger("sandbox")


class Sandbox:
    """The whole sandbox on one state: its application, its providers, its faults, its webhooks, and its feed.

    state: where everything is stored. public_url: the base of label and 3-D Secure URLs. settings: the target and the
    secrets of webhooks.
    """

    def __init__(self, state: State, public_url: str, settings: SandboxSettings) -> None:
        self.state = state
        self.public_url = public_url
        self.settings = settings
        self.feed = Feed(state)
        self.faults = Faults()
        self.webhooks = Webhooks(state, events_of(state))
        self.sender = Sender(self.webhooks, state, settings)
        self.later = Later(
            state,
            {
                "refund": lambda refund, result: settle_refund(self.desk(), refund, result),
                "charge": lambda charge, _: book_capture(self.desk(), charge),
                "payment_intent": lambda intent, result: settle_debit(self.desk(), intent, result),
                "dispute": lambda dispute, _: settle_overdue(self.desk(), dispute),
                "transaction": lambda transaction, _: end_planned_purchase(state, transaction),
                "shippo_refund": lambda refund, _: advance_refund(state, refund),
            },
        )
        self.stopping = asyncio.Event()
        self.providers: dict[str, Provider] = {
            provider.name: provider for provider in (Stripe(state), Shippo(state), Twilio(state), SendGrid(state))
        }

    def desk(self) -> Desk:
        """Return what Stripe's endpoints work with."""
        return Desk(self.state, self.public_url)

    def application(self) -> web.Application:
        """Return the aiohttp application with every provider's and the control routes."""
        application = web.Application(client_max_size=BODY_LIMIT, middlewares=[same_origin(self)])
        application.on_response_prepare.append(add_headers)
        for provider in self.providers.values():
            application.router.add_route("*", f"/{provider.name}{{path:/.*}}", self._endpoint(provider))
        add_control_routes(application, self)
        add_page_routes(application, self)
        add_bank_routes(application, self)
        add_script_routes(application)
        add_dispute_routes(application, self)
        add_card_routes(application, self)
        add_settlement_routes(application, self)
        add_option_routes(application, self)
        add_webhook_routes(application, self)
        add_label_routes(application, self)
        add_recipient_routes(application, self)
        return application

    async def advance(self) -> None:
        """Carry out what is due, until the sandbox stops."""
        while not self.stopping.is_set():
            try:
                self.later.carry_out()
            except sqlite3.Error:
                log.exception("what is due could not be read; it is tried again")
            with suppress(TimeoutError):
                async with asyncio.timeout(_ADVANCE_SECONDS):
                    await self.stopping.wait()

    def _endpoint(self, provider: Provider) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                body = await request.read()
            except web.HTTPRequestEntityTooLarge:
                return _response(provider.failure(413, "The request body is too large."))
            call = Call(
                method=request.method,
                path=request.match_info["path"],
                query=request.rel_url.raw_query_string,
                headers=request.headers,
                body=body,
                base=f"{self.public_url}/{provider.name}",
                public_url=self.public_url,
            )
            return await self._handle(provider, call, request)

        return handle

    async def _handle(self, provider: Provider, call: Call, request: web.Request) -> web.StreamResponse:
        refusal = provider.refuse(call) or provider.hold(call)
        if refusal is not None:
            return _response(refusal)
        try:
            trouble = self.faults.draw(provider.name, call.method, call.path)
            if trouble != NO_TROUBLE:
                self.feed.wake()
            if trouble.hang:
                await self._hang(request)
                return web.Response(status=503)  # the client has disconnected
            if trouble.delay:
                with suppress(TimeoutError):
                    async with asyncio.timeout(trouble.delay):
                        await self.stopping.wait()
            if trouble.error_status is not None:
                answer = provider.failure(trouble.error_status, _SWITCHED_ON)
            else:
                answer = self._answer(provider, call, trouble.saved_error_done)
        finally:
            provider.release(call)
        if trouble.lose_answer and request.transport is not None:
            request.transport.abort()
        return _response(answer)

    @staticmethod
    def _answer(provider: Provider, call: Call, saved_error_done: bool | None) -> Answer:
        try:
            if saved_error_done is not None:
                return provider.saved_error(call, _SWITCHED_ON, done=saved_error_done)
            return provider.answer(call)
        except Exception:
            log.exception("%s %s %s failed: a bug of the sandbox", provider.name, call.method, call.path)
            return provider.failure(500, "The sandbox has a bug: its log says where.")

    async def _hang(self, request: web.Request) -> None:
        while not self.stopping.is_set() and request.transport is not None and not request.transport.is_closing():
            with suppress(TimeoutError):
                async with asyncio.timeout(_HANG_LOOK_SECONDS):
                    await self.stopping.wait()
        if request.transport is not None:
            request.transport.abort()


def _response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, headers=dict(answer.headers))


async def serve(settings: SandboxSettings) -> int:
    """Run the sandbox until SIGTERM or SIGINT, then let running calls finish (five seconds at most).

    Returns the exit status: 0, or 1 after one sentence on stderr when the port or the file cannot be used.
    """
    path = settings.var_dir / "sandbox.db"
    try:
        state = State(path)
    except (sqlite3.Error, OSError) as error:
        print(f"The sandbox cannot use its file {path}: {error}.", file=sys.stderr)
        return 1
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    sandbox = Sandbox(state, settings.public_url or f"http://{host}:{settings.port}", settings)
    runner = web.AppRunner(sandbox.application(), access_log=None, shutdown_timeout=DRAIN_SECONDS)
    await runner.setup()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, sandbox.stopping.set)
    try:
        site = web.TCPSite(runner, settings.host, settings.port)
        try:
            await site.start()
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            reason = "it is in use already" if taken else error.strerror or str(error)
            print(f"The sandbox cannot listen on {host}:{settings.port}: {reason}.", file=sys.stderr)
            return 1
        port = runner.addresses[0][1]
        if settings.public_url is None:
            sandbox.public_url = f"http://{host}:{port}"
        print(f"sandbox ready on http://{host}:{port}", flush=True)
        sending, advancing = asyncio.create_task(sandbox.sender.run()), asyncio.create_task(sandbox.advance())
        await sandbox.stopping.wait()
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
        await advancing
        return 0
    finally:
        await runner.cleanup()
        state.close()

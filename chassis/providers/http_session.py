"""The HTTP session that every provider's SDK uses: it bounds each call, and respects the environment.

Stripe's SDK keeps one session per greenlet unless it is given one. Shippo's sets no timeout and ignores the
environment's proxies and certificate bundles. Twilio's sets no timeout. This session corrects all of that.
"""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import eventlet
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import ProxyManager

from chassis.deadline import bounded
from chassis.fair_scheduling import away
from chassis.providers.guard import FAIR_WAIT_S, Guard, NotSent
from contracts.errors import ShopError

# Connections kept per provider: as many as one service process has workers, with room to spare.
POOL_CONNECTIONS = 50


class DeadlinePassed(NotSent):
    """No time was left: the request was never sent."""


class HeldBack(NotSent):
    """The sender withdrew the request at the last moment."""


_look: ContextVar[Callable[[], bool] | None] = ContextVar("look", default=None)


@contextlib.contextmanager
def last_look(look: Callable[[], bool]) -> Iterator[None]:
    """Call `look` right before each request inside is sent, when the request has its place and its connection.

    Args:
        look: if it returns False or raises a ShopError, the request is not sent; its sender gets HeldBack.
    """
    token = _look.set(look)
    try:
        yield
    finally:
        _look.reset(token)


def look_again() -> None:
    """Call the function that `last_look` was given, if any. Raises HeldBack."""
    look = _look.get()
    try:
        wanted = look is None or look()
    except ShopError as error:
        raise HeldBack("It is unknown whether the request is still wanted.") from error
    if not wanted:
        raise HeldBack("The request is not wanted any more.")


class _Stopped(Exception):
    """Carries the reason for stopping a request past urllib3, which treats every OSError as a connection error."""

    def __init__(self, held: HeldBack) -> None:
        super().__init__()
        self.held = held


class _Looks(http.client.HTTPConnection):
    """A connection that checks again when only the bytes remain to be sent."""

    def endheaders(self, *args: Any, **options: Any) -> None:
        if self.sock is None:
            self.connect()
        try:
            look_again()
        except HeldBack as held:
            raise _Stopped(held) from held
        super().endheaders(*args, **options)


class _Plain(_Looks, HTTPConnection):
    pass


class _Secure(_Looks, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*args, **options)
        if isinstance(manager, ProxyManager):  # not a SOCKS proxy
            manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
        return manager


class ProviderSession(requests.Session):
    """A session with default timeouts, never longer than the time left for the call being handled.

    Args:
        connect: seconds to connect.
        read: seconds between two bytes of the answer.
        provider: its name.

    Attributes:
        guard: keeps a slow provider from taking every worker, and a failing one from being hammered.
    """

    def __init__(self, connect: float, read: float, provider: str = "The provider") -> None:
        super().__init__()
        self.guard = Guard(provider)
        self._connect = connect
        self._read = read
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(pool_maxsize=POOL_CONNECTIONS))

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send as `requests.Session.send` does.

        Raises NotSent without sending: DeadlinePassed when no time is left, HeldBack, or an error of `Guard.calling`.
        """
        # The SDK's own options take precedence, as in requests' own request(); shippo passes none.
        environment = self.merge_environment_settings(request.url, {}, None, None, None)
        for name, value in environment.items():
            options.setdefault(name, value)
        with away(), self.guard.calling() as call:
            left = bounded(self._read)
            if left <= 0:
                call.hurried = True
                raise DeadlinePassed("No time is left to ask the provider.", request=request)
            call.hurried = left < min(self._read, FAIR_WAIT_S)
            options["timeout"] = (min(self._connect, left), left)
            # That bounds the wait for each byte only. An eventlet timeout bounds the whole answer, for a provider that
            # sends it byte by byte.
            late = requests.exceptions.ReadTimeout("The provider's answer took too long.", request=request)
            try:
                with eventlet.Timeout(left + self._connect, late):
                    answer = super().send(request, **options)
            except _Stopped as stopped:
                call.hurried = True  # the provider was not at fault
                raise stopped.held from stopped.held.__cause__
            call.status = answer.status_code
            return answer

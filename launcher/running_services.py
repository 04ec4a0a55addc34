"""The running shop's services for an operator's command: retries failed calls, and reports errors as sentences."""

from __future__ import annotations

import logging
import os
import time
from types import TracebackType
from typing import Any

import structlog
from nameko.exceptions import BadRequest, RemoteError

from chassis.rpc.client import RpcClient
from contracts.errors import OutcomeUnknown, ShopError, Unavailable
from launcher.problem import Problem

ANSWER_WAIT_S = 30.0  # seconds for one page, which is one request to a provider and some to a database
# The number of attempts when a provider limits the request rate, or a service is restarting.
TRIES = 4
LONGEST_PAUSE_S = 5.0  # seconds
AGAIN = (Unavailable, OutcomeUnknown)
# A service that failed during the call, or of another version that does not know the method.
BUGS = (RemoteError, BadRequest)


class Services:
    """The services behind one broker; `with Services(uri) as services:`.

    Args:
        amqp_uri: the broker's.
    """

    def __init__(self, amqp_uri: str) -> None:
        self._client = RpcClient(amqp_uri, name="operator")

    @classmethod
    def running(cls) -> Services:
        """Return the services of the shop that this process belongs to. Raises Problem."""
        uri = os.environ.get("AMQP_URI")
        if not uri:
            raise Problem("AMQP_URI has to say where the shop's message broker is.")
        # The RPC client's own log lines about its connection do not matter to the operator.
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        return cls(uri)

    def __enter__(self) -> Services:
        self._client.start()
        self._client.link.wait(ANSWER_WAIT_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.stop()

    def ask(self, service: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """Make a call that can be repeated. Raises Problem when there is no answer after some tries."""
        for left in reversed(range(TRIES)):
            try:
                return self.call_once(service, method, *args, **kwargs)
            except AGAIN as error:
                if not left:
                    raise Problem(error.detail) from error
                time.sleep(min(LONGEST_PAUSE_S, float(error.facts.get("retry_after") or 1)))
            except ShopError as error:
                raise Problem(error.detail) from error
            except BUGS as error:
                said = f"{type(error).__name__}: {error}"
                raise Problem(f"{service} failed over {method} ({said}); its log says more.") from error
        raise AssertionError("the last try answers or raises")

    def call_once(self, service: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call once; raises as `RpcClient.call` does."""
        return self._client.call(service, method, args, kwargs, timeout=ANSWER_WAIT_S)

"""Whether the shop is ready: the broker, every service and every service's database, all asked at once."""

from __future__ import annotations

import time
from functools import partial

from chassis.rpc.client import RpcClient
from contracts.errors import Unavailable
from gateway import waiting
from gateway.rpc import NAMES
from gateway.waiting import Wait

# The slowest part determines how long the answer takes; a probe's own timeout is often 3 to 5 s.
ANSWER_TIMEOUT_S = 2.0
# Within this time, one answer serves all callers: many probes together ask the services once a second.
ANSWER_FRESH_S = 1.0
# How long a request waits for the answer to another's question before it asks the services.
ANSWER_WAIT_S = ANSWER_TIMEOUT_S + 1

Parts = dict[str, dict[str, str]]
SILENT = {"status": "unavailable", "database": "unknown"}


class Readiness:
    """Asks the services for their health; one question at a time, regardless of the number of callers.

    Args:
        client: the process's connection.
    """

    def __init__(self, client: RpcClient) -> None:
        self._client = client
        self._asking = False
        self._waiting: list[Wait] = []
        self._asked = 0.0
        self._parts: Parts = {}

    def parts(self) -> Parts:
        """Every part's state: `{"broker": {"status": "ok"}, "cart": {"status": "ok", "database": "ok"}, …}`.

        A state is "ok", "unavailable", or "unknown" if it could not be asked; `database` says what is wrong with it
        (`chassis.db.outage`). Answers within about `ANSWER_TIMEOUT_S`.
        """
        while self._asking:
            answered = Wait()
            self._waiting.append(answered)
            answered.wait(ANSWER_WAIT_S)
        if time.monotonic() - self._asked >= ANSWER_FRESH_S:
            self._asking = True
            try:
                self._parts = self._ask()
            finally:
                self._asking = False
                self._asked = time.monotonic()
                woken, self._waiting = self._waiting, []
                for each in woken:
                    each.settle(None)
        return self._parts

    def _ask(self) -> Parts:
        found: Parts = {}

        def ask(name: str) -> None:
            found[name] = self._service(name)

        waiting.together([partial(ask, name) for name in NAMES], ANSWER_TIMEOUT_S + 0.5)
        broker = {"status": "ok" if self._client.connected else "unavailable"}
        return {"broker": broker, **{name: found.get(name, SILENT) for name in NAMES}}

    def _service(self, name: str) -> dict[str, str]:
        try:
            self._client.call(name, "health", timeout=ANSWER_TIMEOUT_S)
            return {"status": "ok", "database": "ok"}
        except Unavailable as error:
            # An error from the service is about its database; an error on the way means that no service was reached.
            if self._client.connected and "service" not in error.facts:
                return {"status": "ok", "database": str(error.facts.get("database", "unavailable"))}
            return SILENT
        except Exception:
            return SILENT

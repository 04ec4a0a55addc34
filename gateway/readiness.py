"""Is the shop ready? The broker, every service and every service's database, asked all at once."""

from __future__ import annotations

import threading
import time

from chassis.rpc_client import RpcClient
from contracts.errors import ShopError, Unavailable
from gateway.rpc import NAMES

# The slowest part settles how long the answer takes; a probe's own patience is often 3 to 5 s.
SECONDS = 2.0
# Within this time an answer serves everybody who asks: probes from many sides cost the services one question a second.
FRESH = 1.0

Parts = dict[str, dict[str, str]]


class Readiness:
    """Asks the services how they are; one question at a time, however many ask.

    Args:
        client: the process's connection.
    """

    def __init__(self, client: RpcClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._asked = 0.0
        self._parts: Parts = {}

    def parts(self) -> Parts:
        """Every part's state: `{"broker": {"status": "ok"}, "cart": {"status": "ok", "database": "ok"}, …}`.

        A state is "ok", "unavailable", or "unknown" where it could not be asked. Answers within about `SECONDS`.
        """
        with self._lock:
            if time.monotonic() - self._asked >= FRESH:
                self._parts = self._ask()
                self._asked = time.monotonic()
            return self._parts

    def _ask(self) -> Parts:
        found: Parts = {}
        askers = [
            threading.Thread(target=lambda name=name: found.update({name: self._service(name)}), daemon=True)
            for name in NAMES
        ]
        for asker in askers:
            asker.start()
        end = time.monotonic() + SECONDS + 0.5
        for asker in askers:
            asker.join(max(0.0, end - time.monotonic()))
        broker = {"status": "ok" if self._client.connected else "unavailable"}
        silent = {"status": "unavailable", "database": "unknown"}
        return {"broker": broker, **{name: found.get(name, silent) for name in NAMES}}

    def _service(self, name: str) -> dict[str, str]:
        try:
            self._client.call(name, "health", timeout=SECONDS)
        except Unavailable as error:
            # Said by the service itself, it is about its database; said on the way, no service was reached.
            reached = self._client.connected and "service" not in error.facts
            if reached:
                return {"status": "ok", "database": "unavailable"}
        except ShopError:
            pass
        except Exception:
            return {"status": "unavailable", "database": "unknown"}
        else:
            return {"status": "ok", "database": "ok"}
        return {"status": "unavailable", "database": "unknown"}

"""How much of a gateway process each part of the shop may use: calls beyond its share are refused at once.

Calls to a slow provider must not queue up without limit. So the verbs that call a provider have their own share, each
service has its own, and a call beyond its share is answered 503.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chassis.rpc.client import RpcClient
from contracts.errors import Unavailable

# The verbs that call a provider, or another service that does.
SLOW = frozenset(
    {
        ("cart", "checkout"),
        ("cart", "choose_shipping"),
        ("cart", "quote_order"),
        ("cart", "pay"),
        ("cart", "cancel"),
        ("cart", "refund"),
        ("cart", "create_discount"),
        ("cart", "delete_discount"),
        ("products", "create"),
        ("products", "update"),
        ("products", "delete"),
        ("products", "add_sku"),
        ("products", "update_sku"),
        ("products", "delete_sku"),
        ("shipping", "rates"),
        ("shipping", "tracking"),
        ("notifications", "send_email"),
        ("notifications", "send_sms"),
    }
)
# Calls in flight in one process: all; those to one service; those of its slow verbs; slow ones to all services.
# A waiting call costs no thread, only a greenlet and its request, some 50 KB. The bounds follow from memory and from
# what can be answered in time: a service process works on 32 calls at once, a share of which are slow verbs.
ALL, OF_SERVICE, SLOW_OF_SERVICE, ALL_SLOW = 512, 256, 56, 72
# After how many seconds a retry makes sense: spread out, so that not all return at the same moment.
RETRY_SLOW, RETRY = (2, 5), (1, 2)


class Shares:
    """Counts the calls in flight."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all = 0
        self._slow = 0
        self._of_service: Counter[str] = Counter()
        self._slow_of_service: Counter[str] = Counter()

    @contextmanager
    def taken(self, service: str, verb: str) -> Iterator[None]:
        """Hold a share during a call. Raises Unavailable at once when none is left."""
        slow = (service, verb) in SLOW
        with self._lock:
            if slow and (self._slow_of_service[service] >= SLOW_OF_SERVICE or self._slow >= ALL_SLOW):
                raise _refused("Too many requests of this kind are under way.", RETRY_SLOW)
            if self._of_service[service] >= OF_SERVICE or self._all >= ALL:
                raise _refused("Too many requests are under way.", RETRY)
            self._count(service, slow, 1)
        try:
            yield
        finally:
            with self._lock:
                self._count(service, slow, -1)

    def _count(self, service: str, slow: bool, step: int) -> None:
        self._all += step
        self._of_service[service] += step
        if slow:
            self._slow += step
            self._slow_of_service[service] += step


class SharedClient:
    """The process's connection, as requests share it.

    Args:
        client: the connection.
    """

    def __init__(self, client: RpcClient) -> None:
        self._client = client
        self._shares = Shares()

    def call(self, service: str, method: str, *arguments: Any, **options: Any) -> Any:
        """Like `RpcClient.call`; also raises Unavailable when the call would exceed its share."""
        with self._shares.taken(service, method):
            return self._client.call(service, method, *arguments, **options)


def _refused(detail: str, later: tuple[int, int]) -> Unavailable:
    return Unavailable(detail, {"retry_after": random.randint(*later)})  # noqa: S311

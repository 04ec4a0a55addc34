"""How many copies of a service take requests now, asked of the broker about once a second, and before a refusal.

A passive declaration of the queue ``rpc-<service>`` returns the number of its consumers and of its waiting messages. It
has its own channel, because the broker closes the channel that asks for a queue that does not exist. The reader of a
`chassis.rpc.link.Link` drives it, and never waits for an answer; a caller may wait for one (`recount`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import amqp
from amqp import spec

from chassis.rpc.broker_connection import Channel

# An older answer is ignored (seconds). Calls are then sent as if there were consumers.
COUNT_VALID_S = 3.0
# How long a request in the queue of a service without consumers may still be taken (seconds). A crashed service is back
# within three seconds, or fifteen on a heavily overloaded machine.
RESTART_S = 20.0


@dataclass(frozen=True)
class _Count:
    """The last answer about one queue.

    Attributes:
        consumers: how many consumers it has; None when it does not exist.
        at: when the answer came (monotonic seconds).
        stuck_since: since when messages wait in it without a consumer; None otherwise.
    """

    consumers: int | None
    at: float
    stuck_since: float | None


class Waiter(Protocol):
    """A caller that waits for a count."""

    def settle(self, reply: None) -> None:
        """The count is there."""


class _Asking(Channel):
    """The channel for questions: the broker's answers go to `counted` or `missing`."""

    def __init__(
        self, connection: amqp.Connection, counted: Callable[[str, int, int], None], missing: Callable[[], None]
    ) -> None:
        self._counted = counted
        self._missing = missing
        super().__init__(connection)

    def _setup_listeners(self) -> None:
        super()._setup_listeners()
        self._callbacks[spec.Queue.DeclareOk] = self._counted

    def _on_close(self, _code: int, _text: str, _class: int, _method: int) -> None:
        self.send_method(spec.Channel.CloseOk)
        self.is_open = False
        self._missing()

    def reopen(self) -> None:
        """Reopen it, without waiting."""
        self.send_method(spec.Channel.Open, "s", ("",))

    def ask(self, queue: str) -> None:
        """Ask about a queue, without waiting."""
        passive, durable, exclusive, auto_delete, nowait = True, False, False, False, False
        flags = (passive, durable, exclusive, auto_delete, nowait)
        self.send_method(spec.Queue.Declare, "BsbbbbbF", (0, queue, *flags, {}))


class ConsumerCounts:
    """The consumers of each service, as one connection knows them.

    Args:
        services: asked about from the start; others from their first `watch` on.
        clock: monotonic seconds; another one in tests.
    """

    def __init__(self, services: Iterable[str] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self._services = dict.fromkeys(services)
        self._clock = clock
        self._counts: dict[str, _Count] = {}
        self._channel: _Asking | None = None
        self._round: list[str] = []
        self._asked: str | None = None
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Waiter]] = {}
        self._asked_for: list[Waiter] = []

    def watch(self, service: str) -> None:
        """Ask about this service, too, from the next round on."""
        if service not in self._services:
            self._services[service] = None

    def vacant(self, service: str) -> bool:
        """Whether the service has a queue without consumers, as far as is known."""
        count = self._counts.get(service)
        return count is not None and count.consumers == 0 and self._clock() - count.at <= COUNT_VALID_S

    def recount(self, service: str, waiter: Waiter) -> None:
        """Ask about a service again now, and settle `waiter` when the answer is there."""
        with self._lock:
            self._waiting.setdefault(service, []).append(waiter)
            if service not in self._round:
                self._round.append(service)
        self.tick()

    def stuck(self) -> list[str]:
        """The services whose requests have waited for longer than `RESTART_S` without a consumer.

        Nothing waits while the last copy drains: it still answers the calls that it is handling.
        """
        now = self._clock()
        return [
            service
            for service, count in self._counts.items()
            if count.stuck_since is not None and now - count.stuck_since >= RESTART_S
        ]

    def open(self, channel: amqp.Channel) -> None:
        """Ask over the connection of `channel` from now on, and begin. For the reader, like everything below."""
        self._counts.clear()
        self._answer()
        self._channel = _Asking(channel.connection, self._counted, self._missing)
        self._channel.open()
        self.tick()

    def tick(self) -> None:
        """Begin a round of questions, unless one is under way."""
        with self._lock:
            if self._asked is None:
                # Services that a caller waits for come first: the list is processed from its end.
                self._round = [*self._services, *self._waiting]
                self._next()

    def _next(self) -> None:
        """Ask the next question of the round, if none is open. Holds the lock while it sends: a channel that is
        reopened twice breaks the connection."""
        if self._channel is None or self._asked is not None or not self._round:
            return
        self._asked = self._round.pop()
        self._asked_for = self._waiting.pop(self._asked, [])
        if not self._channel.is_open:
            self._channel.reopen()  # the broker reads the question after this
        self._channel.ask(f"rpc-{self._asked}")

    def _counted(self, queue: str, messages: int, consumers: int) -> None:
        service, now = self._asked or "", self._clock()
        before = self._counts.get(service)
        since = None
        if consumers == 0 and messages > 0:
            since = now if before is None or before.stuck_since is None else before.stuck_since
        self._counts[service] = _Count(consumers, now, since)
        self._answer()
        with self._lock:
            self._next()

    def _missing(self) -> None:
        # The broker returns calls to a missing queue at once: no count is needed. The next round asks about the rest.
        self._counts.pop(self._asked or "", None)
        self._answer()
        if self._waiting:
            self.tick()

    def _answer(self) -> None:
        """The last question is answered: release the callers that waited for it."""
        with self._lock:
            asked_for, self._asked_for = self._asked_for, []
            self._asked = None
        for waiter in asked_for:
            waiter.settle(None)

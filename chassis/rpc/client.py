"""Nameko RPC for many callers over one connection: many calls in flight, each with a deadline.

Wire-compatible with Nameko's `@rpc`: a request goes to the exchange ``nameko-rpc`` with the routing key
``service.method`` and the body ``{"args": [...], "kwargs": {...}}``; the answer comes to this client's own reply queue
as ``{"result": ..., "error": ...}``, matched by correlation id.

A request expires in the broker at its caller's deadline, so that nothing runs for a caller that has gone. It is
``mandatory``, so that a service that has never run is detected at once. It is not persistent: if a crash of the broker
loses it, its deadline passes and the caller repeats it. A service without a running copy is not called at all
(`chassis.rpc.consumer_counts`).
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import amqp
import orjson
from nameko.exceptions import RemoteError, deserialize

from chassis.deadline import headers as deadline_headers
from chassis.logs import log
from chassis.rpc.broker_connection import FAILURES
from chassis.rpc.consumer_counts import ConsumerCounts
from chassis.rpc.link import Link
from contracts.errors import DeadlineExceeded, OutcomeUnknown, Unavailable

EXCHANGE = "nameko-rpc"
# How long a call waits for a connection that is being made, before it fails (seconds).
CONNECT_GRACE_S = 0.5
# How long a call waits for the count that confirms that the service has no consumer (seconds); the broker answers in
# about one millisecond.
RECOUNT_TIMEOUT_S = 0.5

_LOST = object()


class _Call:
    """One call in flight: a lock that the reader releases, and the outcome."""

    __slots__ = ("done", "reply", "service")

    def __init__(self, service: str) -> None:
        self.service = service
        self.done = threading.Lock()
        self.done.acquire()
        self.reply: Any = None

    def settle(self, reply: Any) -> None:
        self.reply = reply
        self.done.release()

    def wait(self, timeout: float) -> bool:
        return self.done.acquire(timeout=timeout)


class RpcClient:
    """Calls services; safe to share between threads or greenlets.

    Args:
        uri: the broker's AMQP URI.
        name: its name in the log and in the broker's list of connections.
        services: those that will be called, so that the first call already knows whether a copy is running.
    """

    link_class = Link

    def __init__(self, uri: str, name: str = "rpc-client", services: Iterable[str] = ()) -> None:
        self._calls: dict[str, Any] = {}
        self._prefix = uuid.uuid4().hex
        self._counter = 0
        self._counter_lock = threading.Lock()
        self._reply_key = str(uuid.uuid4())
        self._reply_queue = ""
        self.consumers = ConsumerCounts(services)
        self.link = self.link_class(
            uri, declare=self._declare, on_open=self._open, on_lost=self._lost, on_tick=self._tick, name=name
        )
        self._thread: threading.Thread | None = None

    @property
    def connected(self) -> bool:
        """True while the broker is there."""
        return self.link.connected

    def start(self) -> RpcClient:
        """Start connecting, in a separate thread; returns at once."""
        self._thread = threading.Thread(target=self.link.run, name="rpc-client", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the connection; calls in flight fail."""
        self.link.stop()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def call(
        self,
        service: str,
        method: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        timeout: float = 10.0,
        context: Mapping[str, str] | None = None,
        notes: dict[str, Any] | None = None,
    ) -> Any:
        """Call ``service.method`` and wait for its answer.

        Args:
            args, kwargs: the method's arguments, JSON-plain.
            timeout: seconds until the call is given up and its message expires.
            context: headers that travel with the call and with the calls made on its behalf (``request_id``).
            notes: receives what accompanies the answer, be it a result or a failure: ``replayed`` and ``request_id`` of
                an earlier answer (see `chassis.work.idempotency`).

        Raises:
            ShopError: the service's error, of the same type.
            Unavailable: no broker, or no copy of the service runs (``facts["service"]``); nothing has happened.
            OutcomeUnknown: the connection broke while the service may have been at work, or the service stopped.
            DeadlineExceeded: no answer in time.
            nameko.exceptions.RemoteError: the service raised something other than a ShopError: a bug.
        """
        deadline = time.monotonic() + timeout
        if timeout <= 0:
            raise DeadlineExceeded(f"No time was left to ask {service}.")
        if not self.link.connected and not self.link.wait(min(timeout, CONNECT_GRACE_S)):
            raise Unavailable("The message broker cannot be reached.", {"retry_after": 1})
        self.consumers.watch(service)
        self._refuse_if_vacant(service, deadline)
        body = orjson.dumps({"args": args, "kwargs": kwargs or {}})
        headers: dict[str, Any] = {f"nameko.{name}": value for name, value in (context or {}).items()}
        headers.update({f"nameko.{name}": value for name, value in deadline_headers(timeout).items()})
        with self._counter_lock:
            self._counter += 1
            correlation_id = f"{self._prefix}{self._counter}"
        call = self._calls[correlation_id] = self._new_call(service)
        try:
            self.link.publish(
                body,
                EXCHANGE,
                f"{service}.{method}",
                mandatory=True,
                content_type="application/json",
                content_encoding="utf-8",
                delivery_mode=1,
                reply_to=self._reply_key,
                correlation_id=correlation_id,
                expiration=str(max(1, int(timeout * 1000))),
                application_headers=headers,
            )
            if not call.wait(max(0.0, deadline - time.monotonic())):
                raise DeadlineExceeded(f"{service} did not answer within {timeout:g} s.", {"retry_after": 1})
        finally:
            self._calls.pop(correlation_id, None)
        reply = call.reply
        if reply is _LOST:
            broke = f"The connection to the message broker broke while {service} was asked."
            raise OutcomeUnknown(broke, {"retry_after": 1})
        if isinstance(reply, Exception):
            raise reply
        if notes is not None and reply.get("replayed") is True:
            notes.update(replayed=True, request_id=reply.get("request_id"))
        error = reply.get("error")
        if error:
            raise _failure(error)
        return reply.get("result")

    def _refuse_if_vacant(self, service: str, deadline: float) -> None:
        if not self.consumers.vacant(service):
            return
        count = self._new_call(service)
        try:
            self.consumers.recount(service, count)
        except FAILURES as error:
            raise Unavailable("The message broker cannot be reached.", {"retry_after": 1}) from error
        count.wait(min(RECOUNT_TIMEOUT_S, deadline - time.monotonic()))
        if self.consumers.vacant(service):
            raise _absent(service)

    def _new_call(self, service: str) -> Any:
        """The object that a caller waits on; another class where callers are not threads (`gateway.loop_rpc`)."""
        return _Call(service)

    def _declare(self, channel: amqp.Channel, nowait: bool) -> None:
        channel.exchange_declare(EXCHANGE, type="topic", durable=True, auto_delete=False, nowait=nowait)
        if not nowait:
            # Unique per connection: a queue of the previous name may still belong to a broken connection.
            self._reply_queue = f"rpc.reply-{uuid.uuid4()}"
        channel.queue_declare(self._reply_queue, durable=False, exclusive=True, auto_delete=True, nowait=nowait)
        channel.queue_bind(self._reply_queue, EXCHANGE, routing_key=self._reply_key, nowait=nowait)

    def _open(self, channel: amqp.Channel) -> None:
        self._consume(channel)
        channel.events["basic_return"].add(self._on_return)
        self.consumers.open(channel)

    def _consume(self, channel: amqp.Channel) -> None:
        def canceled(_tag: str) -> None:
            log.warning("reply queue lost", link=self.link.name)
            self._declare(channel, True)
            self._consume(channel)

        queue = self._reply_queue
        channel.basic_consume(
            queue, consumer_tag=queue, no_ack=True, nowait=True, callback=self._on_reply, on_cancel=canceled
        )

    def _tick(self) -> None:
        self.consumers.tick()
        for service in self.consumers.stuck():
            for correlation_id, call in list(self._calls.items()):
                if call.service == service and self._calls.pop(correlation_id, None) is not None:
                    gone = f"No copy of the {service} service runs any more."
                    call.settle(OutcomeUnknown(gone, {"retry_after": 1, "service": service}))

    def _on_reply(self, message: amqp.Message) -> None:
        call = self._calls.pop(message.properties.get("correlation_id", ""), None)
        if call is None:
            return  # its caller has gone
        try:
            reply = orjson.loads(message.body)
            if not isinstance(reply, dict):
                raise ValueError("a reply is an object")
        except ValueError:
            reply = OutcomeUnknown("The service's answer cannot be read.")
        call.settle(reply)

    def _on_return(self, _exc: Exception, _exchange: str, routing_key: str, message: amqp.Message) -> None:
        call = self._calls.pop(message.properties.get("correlation_id", ""), None)
        if call is not None:
            call.settle(_absent(routing_key.split(".", 1)[0]))

    def _lost(self) -> None:
        # A call published from now on finds no connection; the calls already published fail here.
        while self._calls:
            try:
                _, call = self._calls.popitem()
            except KeyError:
                break
            call.settle(_LOST)


def _absent(service: str) -> Unavailable:
    return Unavailable(f"The {service} service is not there.", {"retry_after": 1, "service": service})


def _failure(error: Any) -> Exception:
    """The exception that `error` describes; a RemoteError when it describes none."""
    try:
        failure: Exception = deserialize(error)
    except Exception:
        return RemoteError("Unreadable", f"{error}"[:500])
    return failure

"""``@rpc``: Nameko's RPC entrypoint with a leaner reply, a deadline, and a drain that executes nothing twice.

The wire format and the decorator are the same; `nameko shell` can call it. Its differences from `nameko.rpc.rpc`
concern replies, expired requests, a lost broker, repeated crashes (`chassis.rpc.dead_letters`), concurrency
(`chassis.work.concurrency_limits`) and SIGTERM. See docs/adr, ADR 5 and 6, for the reasons; `RpcServer` describes them.
"""

from __future__ import annotations

import contextlib
import inspect
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import amqp
import eventlet
import orjson
from amqp import spec
from nameko.exceptions import (
    ContainerBeingKilled,
    IncorrectSignature,
    MalformedRequest,
    MethodNotFound,
)
from nameko.extensions import Entrypoint, ProviderCollector, SharedExtension

from chassis import deadline
from chassis.answers import encoded
from chassis.fair_scheduling import FairScheduling
from chassis.logs import log
from chassis.rpc.client import EXCHANGE
from chassis.rpc.dead_letters import DEATHS, VERB, DeadLetters, deaths, suspects_queue, verb_of
from chassis.rpc.link import UNREADABLE, Link
from chassis.work.concurrency_limits import ConcurrencyLimits, Job
from chassis.work.timer import Timer
from contracts.errors import Unavailable

if TYPE_CHECKING:
    from chassis.container import ShopContainer

# The least number of workers that no request may take: timers run in the same pool, one worker each, and the reader
# must never wait for a free worker.
SPARE_WORKERS = 4
# When a request that found no place may be repeated (seconds): spread out, so that not all return at the same moment.
RETRY_AFTER = (2, 5)


class RpcServer(SharedExtension, ProviderCollector):
    """Consumes one service's queue for all of its ``@rpc`` methods.

    It replies on the channel of the request: not persistent, without confirms, and with nothing declared. It drops
    an expired request unread, and survives an answer that cannot be sent because the broker is gone. It parks a
    request over which the service dies again and again. A verb that calls a provider has a limited number of places.
    On SIGTERM it cancels the consumer first, and keeps the connection until every worker has answered and acknowledged.
    """

    container: ShopContainer

    def setup(self) -> None:
        service = self.container.service_name
        self._queue = f"rpc-{service}"
        self._tags = (f"{service}-requests", f"{service}-suspects")
        self._draining = False
        uri = self.container.config["AMQP_URI"]
        self._link = Link(uri, declare=self._declare, on_open=self._open, on_lost=self._lost, name=f"{service} service")
        self._parking = DeadLetters(self._link, service)
        timers = sum(isinstance(entrypoint, Timer) for entrypoint in self.container.entrypoints)
        workers = max(1, self.container.max_workers - max(SPARE_WORKERS, timers))
        self._places = ConcurrencyLimits(workers, after=eventlet.spawn_after)
        self._scheduling: FairScheduling = self.container.fair_scheduling
        self._methods: dict[str, Rpc] = {}

    def start(self) -> None:
        self._methods = {provider.method_name: provider for provider in self._providers}
        self._reader = self.container.spawn_managed_thread(self._link.run, identifier="rpc-server")

    def unregister_provider(self, provider: Rpc) -> None:
        """A method stops: accept nothing new, but keep the connection for the answers still owed."""
        if not self._draining:
            self._draining = True
            log.info("draining", service=self.container.service_name)
            channel = self._link.channel
            if channel is not None:
                # Do not wait for the broker's confirmation: only the reader may read.
                with contextlib.suppress(amqp.exceptions.AMQPError, OSError):
                    for tag in self._tags:
                        channel.basic_cancel(tag, nowait=True)
            for job in self._places.clear():
                job.give_back()
        super().unregister_provider(provider)

    def stop(self) -> None:
        """Every worker has finished: close the connection."""
        self._link.stop()
        self._reader.wait()

    def kill(self) -> None:
        self._link.stop()

    def _declare(self, channel: amqp.Channel, nowait: bool) -> None:
        channel.exchange_declare(EXCHANGE, type="topic", durable=True, auto_delete=False, nowait=nowait)
        channel.queue_declare(self._queue, durable=True, auto_delete=False, nowait=nowait)
        self._parking.declare(channel, nowait)
        key = f"{self.container.service_name}.*"
        channel.queue_bind(self._queue, EXCHANGE, routing_key=key, nowait=nowait)

    def _open(self, channel: amqp.Channel) -> None:
        if not self._draining:
            for tag in self._tags:
                self._consume(channel, tag, nowait=False)

    def _consume(self, channel: amqp.Channel, tag: str, nowait: bool) -> None:
        """Consume requests, or suspects."""
        requests, _ = self._tags
        if tag == requests:
            queue, at_hand = self._queue, self._places.most_at_hand
        else:
            # One suspect at a time: the next crash can then be attributed to it alone.
            queue, at_hand = suspects_queue(self.container.service_name), 1

        def canceled(_tag: str) -> None:
            log.warning("queue lost", queue=queue)
            self._declare(channel, True)
            if not self._draining:
                self._consume(channel, tag, nowait=True)

        channel.send_method(spec.Basic.Qos, "lBb", (0, at_hand, False))  # for the consumers after it
        receive = partial(self._on_request, channel)
        channel.basic_consume(queue, consumer_tag=tag, nowait=nowait, callback=receive, on_cancel=canceled)

    def _lost(self) -> None:
        # The waiting requests are delivered again, over the next connection.
        self._places.clear()

    def _on_request(self, channel: amqp.Channel, message: amqp.Message) -> None:
        if self._draining:
            # It was in transit when the consumer was cancelled: leave it to another copy, or to the next start.
            channel.basic_reject(message.delivery_tag, requeue=True)
            return
        if message.properties.get("content_type") == UNREADABLE:
            self._put_away(channel, message, self._parking.park, "its properties cannot be read")
            return
        method = verb_of(message).rpartition(".")[2]
        count = deaths(message)
        try:
            context = _context(message.headers or {})
            if _late(context):
                self._drop(channel, message, method, context)
                return
            if message.delivery_info.get("redelivered"):
                self._put_away(channel, message, self._parking.put_back, count)
                return
            provider = self._methods.get(method)
            if provider is None:
                raise MethodNotFound(method)
            args, kwargs = _arguments(message)
            provider.check_signature(args, kwargs)
            if count:
                context["redelivered"] = True  # see chassis.work.idempotency
        except Exception as error:
            self.answer(channel, message, None, error)
            return

        def start() -> bool:
            if _late(context):  # it expired while it waited in line
                self._drop(channel, message, method, context)
                return False
            self._scheduling.quick += provider.quick
            try:
                self.container.spawn_worker(provider, args, kwargs, context_data=context, handle_result=finish)
            except ContainerBeingKilled:
                self._scheduling.quick -= provider.quick
                give_back()
                return False
            return True

        def finish(_worker_ctx: Any, result: Any, exc_info: Any) -> tuple[Any, Any]:
            self.answer(channel, message, result, exc_info[1] if exc_info else None)
            self._scheduling.quick -= provider.quick
            self._places.done(job)
            return result, exc_info

        def refuse() -> None:
            log.info("refused: concurrency limit", method=method, request_id=context.get("request_id"))
            busy = f"Too many requests of this kind are at work in {self.container.service_name}."
            later = random.randint(*RETRY_AFTER)  # noqa: S311
            self.answer(channel, message, None, Unavailable(busy, {"retry_after": later}))

        def give_back() -> None:
            with contextlib.suppress(amqp.exceptions.AMQPError, OSError, AttributeError):
                channel.basic_reject(message.delivery_tag, requeue=True)

        job = Job(method, provider.most, start, refuse, give_back)
        self._places.offer(job)

    def _drop(self, channel: amqp.Channel, message: amqp.Message, method: str, context: dict[str, Any]) -> None:
        log.info("request dropped: its caller stopped waiting", method=method, request_id=context.get("request_id"))
        self._acknowledge(channel, message)

    def _put_away(self, channel: amqp.Channel, message: amqp.Message, how: Callable[..., None], why: Any) -> None:
        try:
            how(channel, message, why)
        except Unavailable as lost:
            log.warning("request not parked", error=str(lost))  # no connection: it will be redelivered
            return
        self._acknowledge(channel, message)

    def _acknowledge(self, channel: amqp.Channel, message: amqp.Message) -> None:
        try:
            channel.basic_ack(message.delivery_tag)
        except (amqp.exceptions.AMQPError, OSError, AttributeError):
            self._link.reset(channel)

    def answer(self, channel: amqp.Channel, message: amqp.Message, result: Any, error: Exception | None) -> None:
        """Send the answer, then acknowledge the request.

        When the connection of the request is gone, the broker redelivers the request, here or to another copy.
        Methods that change something are therefore idempotent by their key.
        """
        properties = message.properties
        try:
            reply_to = properties.get("reply_to")
            if reply_to:
                self._link.publish(
                    encoded(result, error),
                    EXCHANGE,
                    reply_to,
                    channel=channel,
                    content_type="application/json",
                    content_encoding="utf-8",
                    delivery_mode=1,
                    correlation_id=properties.get("correlation_id"),
                )
            channel.basic_ack(message.delivery_tag)
        except (Unavailable, amqp.exceptions.AMQPError, OSError, AttributeError) as lost:
            # AttributeError: amqp dismantles a closed channel, so that its connection is None.
            log.warning("answer lost with the broker", error=f"{type(lost).__name__}: {lost}")
            # On a live channel, the request would remain unacknowledged, and would keep its place among the workers.
            self._link.reset(channel)


class Rpc(Entrypoint):
    """A method that other services, the gateway and the shell may call.

    Args:
        most: how many calls of it may run at once in one process; None for any number. For a verb that calls a
            provider, or another service that does.
        idempotent: whether a call that carries a key (headers ``once_key``, ``once_body``) goes through
            `chassis.work.idempotency`, which stores its answer and repeats it. A call without a key is not affected.
        options: of Nameko's entrypoints.
    """

    server = RpcServer()

    def __init__(self, most: int | None = None, idempotent: bool = False, **options: Any) -> None:
        self.most = most
        self.quick = most is None
        self.idempotent = idempotent
        super().__init__(**options)

    def setup(self) -> None:
        # Once: inspecting the signature again for every call is a tenth of the cost of a small call.
        self._signature = inspect.signature(getattr(self.container.service_cls, self.method_name))
        self.server.register_provider(self)

    def check_signature(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise IncorrectSignature when the method does not accept these arguments."""
        try:
            self._signature.bind(None, *args, **kwargs)
        except TypeError as error:
            raise IncorrectSignature(str(error)) from None

    def stop(self) -> None:
        self.server.unregister_provider(self)


rpc = Rpc.decorator


def _context(headers: dict[str, Any]) -> dict[str, Any]:
    """The headers that travel with a call, without those that would crash Nameko's worker, and the process with it."""
    context = {
        name[7:] if name.startswith("nameko.") else name: value
        for name, value in headers.items()
        if name not in (DEATHS, VERB)
    }
    stack = context.get("call_id_stack", [])
    if not isinstance(stack, list) or not all(isinstance(call, str) for call in stack):
        del context["call_id_stack"]
    if not isinstance(context.get("request_id", ""), str):
        del context["request_id"]
    return context


def _late(context: dict[str, Any]) -> bool:
    """Whether the caller has gone. Raises ValueError or TypeError when the deadline cannot be read."""
    end = deadline.of(context)
    return end is not None and time.monotonic() >= end


def _arguments(message: amqp.Message) -> tuple[list[Any], dict[str, Any]]:
    try:
        body = orjson.loads(message.body)
        args, kwargs = body["args"], body["kwargs"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise MalformedRequest("A request is a JSON object with `args` and `kwargs`.") from None
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise MalformedRequest("`args` is a list and `kwargs` an object.")
    return args, kwargs

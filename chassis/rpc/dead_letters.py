"""Dead letters: requests over which the service died, kept from being redelivered for ever.

A header counts the deaths, since the broker says no more than "redelivered". After its first death, a request runs
normally, because most requests in progress when a process dies are innocent. After the second, it waits in
``rpc-<service>.suspects``, of which each process runs one at a time, so that the next crash can be attributed to this
request alone. After more than `MAX_DEATHS` deaths, it is parked in ``rpc-<service>.parked`` (`launcher.parked`).
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from typing import Any

import amqp

from chassis import deadline
from chassis.answers import encoded
from chassis.logs import log
from chassis.rpc.client import EXCHANGE
from chassis.rpc.link import Link
from contracts.errors import OutcomeUnknown

# How many deaths of its consumers a request may cause before it is parked.
MAX_DEATHS = 3
# Headers of ours: the number of deaths, the verb, the reason for parking, and its time (Unix seconds).
DEATHS, VERB, REASON, PARKED = "shop.deaths", "shop.verb", "shop.reason", "shop.parked"
# The most parked requests; beyond that the oldest are dropped. Each has cost several crashes, or was made by hand.
MAX_PARKED = 10_000
# When its caller may ask again (seconds): the process that died over it has been restarted by then.
ASK_AGAIN_S = 5


def parked_queue(service: str) -> str:
    """The queue of the requests that the service died over."""
    return f"rpc-{service}.parked"


def suspects_queue(service: str) -> str:
    """The queue of the requests that are run one at a time."""
    return f"rpc-{service}.suspects"


def deaths(message: amqp.Message) -> int:
    """How often the request was delivered and not acknowledged, including the delivery that this one repeats."""
    noted = (message.headers or {}).get(DEATHS)
    count = noted if isinstance(noted, int) and 0 <= noted <= MAX_DEATHS + 1 else 0
    return count + 1 if message.delivery_info.get("redelivered") else count


def verb_of(message: amqp.Message) -> str:
    """The service and the method that are called, such as ``cart.pay``."""
    verb = (message.headers or {}).get(VERB)
    return verb if isinstance(verb, str) else message.delivery_info["routing_key"]


class DeadLetters:
    """Requeues requests with a count, moves them to the suspects, or parks them.

    Args:
        link: the connection that the requests arrive on.
        service: the service that they are for.
    """

    def __init__(self, link: Link, service: str) -> None:
        self._link = link
        self._service = service

    def declare(self, channel: amqp.Channel, nowait: bool) -> None:
        """Declare the queues; with `nowait`, without waiting for an answer.

        Nameko's own queues keep their arguments: those of an existing queue cannot be changed.
        """
        channel.queue_declare(suspects_queue(self._service), durable=True, auto_delete=False, nowait=nowait)
        limit = {"x-max-length": MAX_PARKED}
        channel.queue_declare(
            parked_queue(self._service), durable=True, auto_delete=False, nowait=nowait, arguments=limit
        )

    def put_back(self, channel: amqp.Channel, message: amqp.Message, count: int) -> None:
        """Put a redelivered request back with its count, or park it."""
        verb = verb_of(message)
        if count > MAX_DEATHS:
            self.park(channel, message, f"the service died over it {count} times", count)
            return
        log.warning(
            "request redelivered", verb=verb, deaths=count, correlation_id=message.properties.get("correlation_id")
        )
        target = (EXCHANGE, verb) if count == 1 else ("", suspects_queue(self._service))
        self._send(channel, message, target, {DEATHS: count, VERB: verb})

    def park(self, channel: amqp.Channel, message: amqp.Message, reason: str, count: int = 0) -> None:
        """Keep a request for an operator, and answer its caller, if there still is one."""
        verb = verb_of(message)
        log.error("request parked", verb=verb, reason=reason, correlation_id=message.properties.get("correlation_id"))
        notes = {DEATHS: count, VERB: verb, REASON: reason, PARKED: f"{time.time():.3f}"}
        self._send(channel, message, ("", parked_queue(self._service)), notes, delivery_mode=2, expiration=None)
        reply_to = message.properties.get("reply_to")
        if reply_to:
            # The request may have taken effect before the process died: ask the caller to repeat it under the same key.
            facts = {"retry_after": ASK_AGAIN_S, "parked": True}
            answer = encoded(None, OutcomeUnknown(f"{verb} was put aside for an operator: {reason}.", facts))
            self._link.publish(
                answer,
                EXCHANGE,
                reply_to,
                channel=channel,
                content_type="application/json",
                content_encoding="utf-8",
                delivery_mode=1,
                correlation_id=message.properties.get("correlation_id"),
            )

    def _send(
        self,
        channel: amqp.Channel,
        message: amqp.Message,
        target: tuple[str, str],
        notes: Mapping[str, Any],
        **changes: Any,
    ) -> None:
        """Publish on the channel of the request: the broker then processes its acknowledgement after this message."""
        properties = {**message.properties, "expiration": _left(message), **changes}
        exchange, key = target
        headers = {**(message.headers or {}), **notes}
        try:
            body = message.body or b""
            self._link.publish(body, exchange, key, channel=channel, **{**properties, "application_headers": headers})
        except (ValueError, TypeError, ArithmeticError, struct.error, amqp.exceptions.FrameSyntaxError):
            # These headers can be decoded but not encoded. Nothing has been sent yet.
            headers = {name: value for name, value in headers.items() if _is_plain(name, value)}
            self._link.publish(body, exchange, key, channel=channel, **{**properties, "application_headers": headers})


def _left(message: amqp.Message) -> str | None:
    """The time left until the caller has gone, as AMQP's `expiration` (milliseconds)."""
    expiration: str | None = message.properties.get("expiration")
    try:
        headers = {name.removeprefix("nameko."): value for name, value in (message.headers or {}).items()}
        end = deadline.of(headers)
        return expiration if end is None else str(max(1, int((end - time.monotonic()) * 1000)))
    except (TypeError, ValueError, OverflowError, AttributeError):
        return expiration


def _is_plain(name: Any, value: Any) -> bool:
    return isinstance(name, str) and (value is None or isinstance(value, str | bool | int))

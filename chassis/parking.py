"""Requests over which the service died, kept from being delivered for ever.

The broker delivers a request again when whoever had it in hand went without an answer. How often that has happened is
counted in a header, since the broker tells no more than "again": such a request is put back with its count. The first
time it runs beside all others, for most of those that were in hand when a process died had nothing to do with it. From
the second time on it waits in ``rpc-<service>.suspects``, of which each process runs one at a time, so that the next
death can be laid at no other's door. Whatever has had more than `MOST` deaths is parked in ``rpc-<service>.parked`` for
an operator (`chassis.parked`), and its caller, if there still is one, is told.

The queues of Nameko's wire stay as they are: they cannot be given other arguments while they exist.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from typing import Any

import amqp

from chassis import deadline
from chassis.answers import encoded
from chassis.link import Link
from chassis.logs import log
from chassis.rpc_client import EXCHANGE
from contracts.errors import OutcomeUnknown

# How often a request may outlive whoever had it in hand.
MOST = 3
# Headers of ours: how often it did, what was asked for, why it was parked and when (Unix seconds).
DEATHS, VERB, REASON, PARKED = "shop.deaths", "shop.verb", "shop.reason", "shop.parked"
# As many are kept; beyond that the oldest go. Each of them costs several lives, or was made by hand.
MOST_PARKED = 10_000
# When its caller may ask again (seconds): by then what died over it has been started anew.
ASK_AGAIN = 5


def parked_queue(service: str) -> str:
    """The queue in which what the service died over is kept."""
    return f"rpc-{service}.parked"


def suspects_queue(service: str) -> str:
    """The queue of what is run one at a time."""
    return f"rpc-{service}.suspects"


def deaths(message: amqp.Message) -> int:
    """How often whoever had the request in hand went without an answer; the delivery at hand included."""
    noted = (message.headers or {}).get(DEATHS)
    count = noted if isinstance(noted, int) and 0 <= noted <= MOST + 1 else 0
    return count + 1 if message.delivery_info.get("redelivered") else count


def verb_of(message: amqp.Message) -> str:
    """``cart.pay``: what is asked for."""
    verb = (message.headers or {}).get(VERB)
    return verb if isinstance(verb, str) else message.delivery_info["routing_key"]


class Parking:
    """Puts requests back, aside, or away.

    Args:
        link: the connection that they came on.
        service: whose they are.
    """

    def __init__(self, link: Link, service: str) -> None:
        self._link = link
        self._service = service

    def declare(self, channel: amqp.Channel, nowait: bool) -> None:
        """Declare the queues; with `nowait`, do not wait for an answer."""
        channel.queue_declare(suspects_queue(self._service), durable=True, auto_delete=False, nowait=nowait)
        limit = {"x-max-length": MOST_PARKED}
        channel.queue_declare(
            parked_queue(self._service), durable=True, auto_delete=False, nowait=nowait, arguments=limit
        )

    def put_back(self, channel: amqp.Channel, message: amqp.Message, count: int) -> None:
        """A request that came again: put it back with its count, or park it."""
        verb = verb_of(message)
        if count > MOST:
            self.park(channel, message, f"the service died over it {count} times", count)
            return
        log.warning("request again", verb=verb, deaths=count, correlation_id=message.properties.get("correlation_id"))
        target = (EXCHANGE, verb) if count == 1 else ("", suspects_queue(self._service))
        self._send(channel, message, target, {DEATHS: count, VERB: verb})

    def park(self, channel: amqp.Channel, message: amqp.Message, reason: str, count: int = 0) -> None:
        """Keep a request for an operator, and tell its caller."""
        verb = verb_of(message)
        log.error("request parked", verb=verb, reason=reason, correlation_id=message.properties.get("correlation_id"))
        notes = {DEATHS: count, VERB: verb, REASON: reason, PARKED: f"{time.time():.3f}"}
        self._send(channel, message, ("", parked_queue(self._service)), notes, delivery_mode=2, expiration=None)
        reply_to = message.properties.get("reply_to")
        if reply_to:
            # Whoever died over it may have done it first: its caller is told to ask again, by the same key.
            facts = {"retry_after": ASK_AGAIN, "parked": True}
            told = encoded(None, OutcomeUnknown(f"{verb} was put aside for an operator: {reason}.", facts))
            self._link.publish(
                told,
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
        """On the channel that it came on: the broker takes what follows, its acknowledgement, after this."""
        properties = {**message.properties, "expiration": _left(message), **changes}
        exchange, key = target
        headers = {**(message.headers or {}), **notes}
        try:
            body = message.body or b""
            self._link.publish(body, exchange, key, channel=channel, **{**properties, "application_headers": headers})
        except (ValueError, TypeError, ArithmeticError, struct.error, amqp.exceptions.FrameSyntaxError):
            # Headers that can be read and not be written. Nothing of it has been sent.
            headers = {name: value for name, value in headers.items() if _is_plain(name, value)}
            self._link.publish(body, exchange, key, channel=channel, **{**properties, "application_headers": headers})


def _left(message: amqp.Message) -> str | None:
    """What is left until its caller has gone, as AMQP's `expiration` (milliseconds)."""
    expiration: str | None = message.properties.get("expiration")
    try:
        headers = {name.removeprefix("nameko."): value for name, value in (message.headers or {}).items()}
        end = deadline.of(headers)
        return expiration if end is None else str(max(1, int((end - time.monotonic()) * 1000)))
    except (TypeError, ValueError, OverflowError, AttributeError):
        return expiration


def _is_plain(name: Any, value: Any) -> bool:
    return isinstance(name, str) and (value is None or isinstance(value, str | bool | int))

"""``python -m launcher.parked [--again | --drop] [SERVICE ...]``: requests that made a service crash repeatedly.

They wait in ``rpc-<service>.parked`` (`chassis.rpc.dead_letters`). `./install_run_project parked` calls this.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import amqp

from chassis.rpc import broker_connection
from chassis.rpc.client import EXCHANGE
from chassis.rpc.dead_letters import DEATHS, PARKED, REASON, VERB, parked_queue
from launcher.place import SERVICES
from launcher.problem import Problem
from launcher.screen import errors, printable, say

OK, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130
USAGE = """\
Usage: ./install_run_project parked [--again | --drop] [SERVICE ...]

Lists the requests over which a service died again and again.
  --again  repeat the request for its effect; the caller is gone and gets no answer
  --drop   throw them away"""
SECONDS = 5.0


def main(arguments: Sequence[str]) -> int:
    """List, retry, or drop; return the exit status."""
    options = [argument for argument in arguments if argument.startswith("-")]
    services = [argument for argument in arguments if not argument.startswith("-")] or list(SERVICES)
    if options not in ([], ["--again"], ["--drop"]):
        errors.print(USAGE, markup=False)
        return OK if options in (["--help"], ["-h"]) else MISUSED
    try:
        with _connection() as connection:
            counts = [_each(connection.channel(), service, *options) for service in services]
    except (OSError, amqp.exceptions.AMQPError) as error:
        errors.print(f"The message broker cannot be asked: {error}", markup=False)
        return FAILED
    except Problem as problem:
        errors.print(str(problem), markup=False)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    number, stuck = sum(each for each, _ in counts), sum(each for _, each in counts)
    if stuck:
        errors.print(f"{stuck} could not be asked again.", markup=False)
        return FAILED
    if not number:
        say("Nothing is parked.")
    elif not options:
        say(f"{number} parked; --again asks once more, --drop throws away.")
    return OK


def _each(channel: amqp.Channel, service: str, option: str = "") -> tuple[int, int]:
    """Process one service's parked requests; return how many there were, and how many of them no queue accepts."""
    number = stuck = 0
    returned: list[object] = []
    channel.events["basic_return"].add(lambda *why: returned.append(why))
    for message in _waiting(channel, parked_queue(service)):
        number += 1
        say(printable(_line(message)))
        if option == "--again":
            if not _asked(channel, message, returned):
                say("  nobody takes it: it stays parked")
                stuck += 1
                continue
            say("  asked again")
        if option:
            channel.basic_ack(message.delivery_tag)
    # Requests that were only listed, or that no queue accepts, return to their place when the channel closes.
    channel.close()
    return number, stuck


def _asked(channel: amqp.Channel, message: amqp.Message, returned: list[object]) -> bool:
    """Publish the request again; return whether the broker routed it to a queue. An unroutable message is returned
    before it is confirmed."""
    returned.clear()
    try:
        request = _original_request(message)
        channel.basic_publish_confirm(request, EXCHANGE, _verb(message), mandatory=True, timeout=SECONDS)
    except amqp.exceptions.MessageNacked:
        return False
    return not returned


def _waiting(channel: amqp.Channel, queue: str) -> Iterator[amqp.Message]:
    """Yield what is in the queue now, without later arrivals."""
    try:
        count = channel.queue_declare(queue, passive=True).message_count
    except amqp.exceptions.NotFound:
        return  # the service has never run
    for _ in range(count):
        message = channel.basic_get(queue)
        if message is None:
            return
        yield message


def _original_request(message: amqp.Message) -> amqp.Message:
    """Return the original request, without the reply address of its caller."""
    headers = {
        name: value
        for name, value in _headers(message).items()
        if name not in (DEATHS, VERB, REASON, PARKED) and not name.startswith("nameko.deadline")
    }
    return amqp.Message(
        message.body,
        content_type="application/json",
        content_encoding="utf-8",
        delivery_mode=2,
        application_headers=headers,
    )


def _line(message: amqp.Message) -> str:
    """Return the line that an operator reads. It omits the arguments, which may be confidential."""
    headers = _headers(message)
    try:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(headers[PARKED])))
    except (KeyError, TypeError, ValueError, OverflowError):
        when = "?"
    request = headers.get("nameko.request_id") or "unknown"
    return f"{when}  {_verb(message)}  request {request}: {headers.get(REASON, '?')}"


def _verb(message: amqp.Message) -> str:
    return str(_headers(message).get(VERB, "?"))


def _headers(message: amqp.Message) -> dict[str, Any]:
    return message.headers or {}


def _connection() -> broker_connection.Connection:
    uri = os.environ.get("AMQP_URI")
    if not uri:
        raise Problem("AMQP_URI has to say where the shop's message broker is.")
    connection = broker_connection.connect(uri, "parked", SECONDS)
    connection.release(SECONDS)  # per answer: a queue may be long
    return connection


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Exchanges, bindings, queues or consumers lost while all connections stay open, and services without a copy."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import amqp
import pytest

from chassis.rpc import consumer_counts
from chassis.rpc.client import EXCHANGE, RpcClient
from chassis.rpc.consumer_counts import COUNT_VALID_S, ConsumerCounts
from chassis.rpc.dead_letters import suspects_queue
from contracts.errors import OutcomeUnknown, ShopError, Unavailable
from tests.integration.chassis.running import Service, connect, until

Start = Callable[..., Service]
REPAIR_TIMEOUT_S = 30.0


def lose(uri: str, how: Callable[[amqp.Channel], object]) -> None:
    """Delete part of the topology, as an operator might by mistake."""
    with connect(uri) as connection:
        how(connection.channel())


def answers(client: RpcClient, service: Service, method: str = "one", *args: object) -> bool:
    try:
        return bool(client.call(service.name, method, args or [True], timeout=2.0))
    except ShopError:
        return False


def consumers(uri: str, queue: str) -> int:
    """Return the number of consumers of the queue; -1 when it does not exist."""
    with connect(uri) as connection:
        try:
            return int(connection.channel().queue_declare(queue, passive=True).consumer_count)
        except amqp.exceptions.NotFound:
            return -1


def waiting(uri: str, service: Service) -> int:
    """Return the number of requests in the service's queue."""
    with connect(uri) as connection:
        return int(connection.channel().queue_declare(f"rpc-{service.name}", passive=True).message_count)


LOSSES: dict[str, Callable[[amqp.Channel, Service, RpcClient], object]] = {
    "the exchange": lambda channel, _service, _client: channel.exchange_delete(EXCHANGE),
    "the service's binding": lambda channel, service, _client: channel.queue_unbind(
        f"rpc-{service.name}", EXCHANGE, f"{service.name}.*"
    ),
    "the service's queue": lambda channel, service, _client: channel.queue_delete(f"rpc-{service.name}"),
}


@pytest.mark.parametrize("what", LOSSES)
def test_lost_topology_is_repaired_without_a_restart(
    uri: str, client: RpcClient, stubs: dict[str, Service], what: str
) -> None:
    """Both hops recover: a service that calls another service also repairs its own end."""
    echo, front = stubs["echo"], stubs["front"]
    lose(uri, lambda channel: LOSSES[what](channel, echo, client))
    lost = time.monotonic()
    until(lambda: answers(client, echo) and answers(client, front, "relay", "one", True), REPAIR_TIMEOUT_S)
    assert time.monotonic() - lost < REPAIR_TIMEOUT_S
    assert echo.alive
    assert front.alive


def test_lost_reply_queue_is_repaired_and_the_next_call_answered(client: RpcClient, stubs: dict[str, Service]) -> None:
    # The queue is exclusive: only its own connection may delete it.
    channel = client.link.channel
    assert channel is not None
    channel.queue_delete(client._reply_queue, nowait=True)
    until(lambda: answers(client, stubs["echo"]), REPAIR_TIMEOUT_S)
    assert client.link.channel is channel  # the repair does not lose other calls


def test_lost_reply_binding_is_repaired(client: RpcClient, stubs: dict[str, Service]) -> None:
    channel = client.link.channel
    assert channel is not None
    channel.send_method(amqp.spec.Queue.Unbind, "BsssF", (0, client._reply_queue, EXCHANGE, client._reply_key, {}))
    until(lambda: answers(client, stubs["echo"]), REPAIR_TIMEOUT_S)


def test_lost_suspects_queue_is_consumed_from_again(uri: str, stubs: dict[str, Service]) -> None:
    queue = suspects_queue(stubs["echo"].name)
    lose(uri, lambda channel: channel.queue_delete(queue))
    until(lambda: consumers(uri, queue) == 1, REPAIR_TIMEOUT_S)


def test_exchange_lost_under_load_leaves_no_call_without_end(
    uri: str, client: RpcClient, stubs: dict[str, Service]
) -> None:
    """Sixteen threads publish while the broker closes their channel."""
    over: list[bool] = []

    def ask(_number: int) -> set[str]:
        seen = set()
        while not over:
            try:
                client.call(stubs["echo"].name, "one", [1], timeout=2.0)
            except Exception as error:
                seen.add(type(error).__name__)
        return seen

    with ThreadPoolExecutor(16) as pool:
        asking = [pool.submit(ask, number) for number in range(16)]
        lose(uri, lambda channel: channel.exchange_delete(EXCHANGE))
        until(lambda: answers(client, stubs["echo"]), REPAIR_TIMEOUT_S)
        over.append(True)
        seen = set().union(*(each.result(30) for each in asking))
    assert seen <= {"Unavailable", "OutcomeUnknown", "DeadlineExceeded"}
    assert client._calls == {}


def test_absent_service_is_refused_at_once_and_runs_nothing_later(uri: str, client: RpcClient, start: Start) -> None:
    service = start("echo_service").answering(client)
    service.stop()
    until(lambda: client.consumers.vacant(service.name))
    with pytest.raises(Unavailable) as absent:
        client.call(service.name, "sleep", [0, "for nobody"], timeout=60)
    assert absent.value.facts == {"retry_after": 1, "service": service.name}
    assert consumers(uri, f"rpc-{service.name}") == 0
    # What `answering` gave up asking for expires by itself, long before this call would.
    until(lambda: waiting(uri, service) == 0, what="the empty queue")
    service.start()
    until(lambda: consumers(uri, f"rpc-{service.name}") == 1)
    back = time.monotonic()
    until(lambda: answers(client, service))
    assert time.monotonic() - back < 2 * COUNT_VALID_S
    assert service.notes == []


def test_call_in_flight_fails_when_no_copy_returns(
    client: RpcClient, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_counts, "RESTART_S", 1.0)
    service = start("echo_service").answering(client)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.call, service.name, "hold", [], None, 240)
        until(lambda: service.notes == ["began hold"])
        service.signal(signal.SIGKILL)
        with pytest.raises(OutcomeUnknown) as gone:
            asked.result(60)
    assert gone.value.facts == {"retry_after": 1, "service": service.name}


def test_call_of_a_draining_service_is_still_answered(
    client: RpcClient, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service no longer consumes, but still runs."""
    monkeypatch.setattr(consumer_counts, "RESTART_S", 0.0)
    service = start("echo_service").answering(client)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.call, service.name, "hold", [], None, 240)
        until(lambda: service.notes == ["began hold"])
        service.signal(signal.SIGTERM)
        until(lambda: client.consumers.vacant(service.name))
        until(lambda: not client.consumers.stuck())
        Path(f"{service.notes_file}.go").touch()
        assert asked.result(60) == "held"


def _reads(connection: amqp.Connection) -> bool:
    with suppress(TimeoutError):
        connection.drain_events(timeout=0.05)
    return True


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def counted(clock: Clock) -> ConsumerCounts:
    counts = ConsumerCounts(["cart"], clock)
    counts._asked = "cart"
    return counts


def test_outdated_count_is_ignored() -> None:
    clock = Clock()
    counts = counted(clock)
    assert not counts.vacant("cart")  # no count yet
    counts._counted("rpc-cart", 0, 0)
    assert counts.vacant("cart")
    clock.now += COUNT_VALID_S + 0.1
    assert not counts.vacant("cart")


def test_call_is_not_refused_because_of_an_old_count(client: RpcClient, start: Start) -> None:
    """The count dates from before the copy started."""
    service = start("echo_service").answering(client)
    client.consumers._counts[service.name] = consumer_counts._Count(0, time.monotonic(), None)
    assert client.call(service.name, "one", [1]) == 1


def test_many_calls_wait_for_the_same_count(client: RpcClient, start: Start) -> None:
    service = start("echo_service").answering(client)
    service.signal(signal.SIGTERM)
    service.wait()
    until(lambda: client.consumers.vacant(service.name), what="the count")

    def refused(_: int) -> None:
        with pytest.raises(Unavailable, match="is not there"):
            client.call(service.name, "one", [1], timeout=60)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(refused, range(200)))
    service.start()
    service.answering(client)


def test_closed_channel_is_reopened_once_however_many_ask(uri: str) -> None:
    """The broker closes the connection of a channel that is opened twice."""
    with connect(uri) as connection:
        counts = ConsumerCounts(["missing"])
        counts.open(connection.channel())
        channel = counts._channel
        assert channel is not None
        until(lambda: _reads(connection) and not channel.is_open, what="the closed channel")
        reopen, ask, opened, others = channel.reopen, counts._next, [], []

        def reopening() -> None:
            opened.append(True)
            reopen()

        def while_another_asks() -> None:
            if not others:
                others.append(threading.Thread(target=counts.tick))
                others[0].start()
                others[0].join(0.2)  # it ends at once, unless it waits for this thread
            ask()

        channel.reopen = reopening  # type: ignore[method-assign]
        counts._next = while_another_asks  # type: ignore[method-assign]
        counts.tick()
        others[0].join()
        until(lambda: _reads(connection) and counts._asked is None, what="the answer")
        assert opened == [True]
        assert connection.connected


def test_waiting_requests_are_stuck_only_without_a_break() -> None:
    clock = Clock()
    counts = counted(clock)
    for messages, taking in ((1, 0), (0, 0), (1, 0), (1, 1), (1, 0)):
        counts._asked = "cart"
        counts._counted("rpc-cart", messages, taking)
        assert counts.stuck() == []
        clock.now += consumer_counts.RESTART_S - 0.1
    clock.now += 0.2
    assert counts.stuck() == ["cart"]

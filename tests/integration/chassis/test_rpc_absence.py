"""A service that goes away: stopped, killed during a call, or terminated while it works."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import amqp
import pytest

from chassis.container import DRAIN_MARGIN_S
from chassis.rpc.client import EXCHANGE, RpcClient
from contracts.errors import DeadlineExceeded
from tests.integration.chassis.running import Service, connect, until

Start = Callable[..., Service]


def queue(service: Service) -> tuple[int, int]:
    """Return the number of waiting requests of the service, and of its consumers."""
    with connect(service.uri) as connection:
        _, held, taking = connection.channel().queue_declare(f"rpc-{service.name}", passive=True)
        return int(held), int(taking)


@contextmanager
def new_client(uri: str) -> Iterator[RpcClient]:
    """A new client. It has no consumer count yet, so it sends the call although no copy runs."""
    client = RpcClient(uri, name="unaware").start()
    assert client.link.wait(30)
    yield client
    client.stop()


def test_service_drops_a_request_delivered_late(client: RpcClient, start: Start) -> None:
    """The stopped service has the request, so it no longer expires in the broker."""
    service = start("echo_service").answering(client)
    service.signal(signal.SIGSTOP)
    with pytest.raises(DeadlineExceeded):
        client.call(service.name, "sleep", [0, "too late"], timeout=2.0)
    service.signal(signal.SIGCONT)
    assert client.call(service.name, "one", [1]) == 1
    until(lambda: any("dropped" in line["event"] for line in service.log), what="the log line")
    assert service.notes == []


def test_broker_redelivers_the_call_of_a_killed_service(client: RpcClient, start: Start) -> None:
    service = start("echo_service").answering(client)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.call, service.name, "hold", [], None, 100)
        until(lambda: service.notes == ["began hold"])
        service.signal(signal.SIGKILL)
        service.wait()
        Path(f"{service.notes_file}.go").touch()
        service.start()
        assert answer.result(timeout=110) == "held"
    assert service.notes == ["began hold", "began hold", "ended hold"]


def test_sigterm_finishes_running_calls_and_drops_expired_ones(client: RpcClient, start: Start) -> None:
    service = start("echo_service").answering(client)
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(client.call, service.name, "sleep", [2.5, "in flight"], None, 60)
        until(lambda: "began in flight" in service.notes)
        service.signal(signal.SIGTERM)
        until(lambda: any(line["event"] == "draining" for line in service.log), what="the drain")
        assert queue(service)[1] == 0
        with new_client(service.uri) as asking, pytest.raises(DeadlineExceeded):  # no copy takes this call now
            asking.call(service.name, "sleep", [0, "while draining"], timeout=0.5)
        assert working.result(timeout=60) == "in flight"
        assert service.wait() == 0
    began = time.monotonic()
    for _ in range(3):
        with new_client(service.uri) as asking, pytest.raises(DeadlineExceeded):
            asking.call(service.name, "sleep", [0, "while down"], timeout=0.3)
    assert time.monotonic() - began < 20  # three calls with the default deadline would take 30 s
    until(lambda: queue(service) == (0, 0), what="the expiry of abandoned requests")
    service.start().answering(client)
    time.sleep(0.3)
    client.call(service.name, "sleep", [0, "in time"])
    # Each call ran once: the restart repeated none, and the expired calls never ran.
    assert service.notes == ["began in flight", "ended in flight", "began in time", "ended in time"]


@pytest.mark.parametrize(
    ("verb", "body", "note"), [("sleep", b'[3600, "hanging"]', "hanging"), ("seize", b"[]", "hold")]
)
def test_sigterm_abandons_a_hanging_call_after_the_bound(
    client: RpcClient, start: Start, verb: str, body: bytes, note: str
) -> None:
    """This holds also for a call that blocks every greenlet of the process."""
    bound = 1 + DRAIN_MARGIN_S
    timeouts = {"RPC_TIMEOUT": "1", "CHECKOUT_TIMEOUT": "1", "PAY_TIMEOUT": "1"}
    service = start("echo_service", **timeouts).answering(client)
    with connect(service.uri) as connection:
        channel = connection.channel()
        # No caller waits for the message, so that only the drain ends the call.
        message = amqp.Message(b'{"args": %s, "kwargs": {}}' % body)
        channel.basic_publish(message, EXCHANGE, f"{service.name}.{verb}")
    until(lambda: service.notes == [f"began {note}"])
    began = time.monotonic()
    service.signal(signal.SIGTERM)
    until(lambda: any(line["event"] == "draining" for line in service.log), what="the drain")
    Path(f"{service.notes_file}.go").touch()
    assert service.wait(timeout=bound + 60) == 1
    assert time.monotonic() - began > bound - 0.5
    assert any(line["event"] == "drain given up" and line["calls"] == [verb] for line in service.log)
    until(lambda: queue(service) == (1, 0), what="the message back in the queue")


def test_rolling_restart_under_load_runs_every_call_once(client: RpcClient, start: Start) -> None:
    first = start("echo_service")
    second = start("echo_service", name=first.name)
    for each in (first, second):
        each.consuming()
    over = threading.Event()
    asked: list[str] = []

    def ask(number: int) -> int:
        turn = 0
        while not over.is_set():
            text = f"{number}/{turn}"
            assert client.call(first.name, "sleep", [0.02, text], timeout=60) == text
            asked.append(text)
            turn += 1
        return turn

    with ThreadPoolExecutor(8) as pool:
        loads = [pool.submit(ask, number) for number in range(8)]
        start("echo_service", name=first.name).consuming()
        for old in (first, second):
            old.signal(signal.SIGTERM)
            assert old.wait() == 0
            time.sleep(0.3)
        over.set()
        turns = [load.result(timeout=60) for load in loads]
    assert min(turns) > 10
    assert sorted(first.notes) == sorted(f"{word} {text}" for text in asked for word in ("began", "ended"))

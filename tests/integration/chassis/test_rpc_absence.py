"""A service that goes: stopped, killed in the middle of a call, or asked to go while it works."""

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
    """How many requests the broker holds for it, and how many processes take them."""
    with connect(service.uri) as connection:
        _, held, taking = connection.channel().queue_declare(f"rpc-{service.name}", passive=True)
        return int(held), int(taking)


@contextmanager
def unaware(uri: str) -> Iterator[RpcClient]:
    """A client that does not know yet whether a copy of the service runs, so that it calls."""
    client = RpcClient(uri, name="unaware").start()
    assert client.link.wait(30)
    yield client
    client.stop()


def test_a_request_that_is_delivered_late_is_dropped_unread(client: RpcClient, start: Start) -> None:
    """Delivered, hence no longer expiring in the broker, but not yet read by a service that stands still."""
    service = start("echo_service").answering(client)
    service.signal(signal.SIGSTOP)
    with pytest.raises(DeadlineExceeded):
        client.call(service.name, "sleep", [0, "too late"], timeout=2.0)
    service.signal(signal.SIGCONT)
    assert client.call(service.name, "one", [1]) == 1
    until(lambda: any("dropped" in line["event"] for line in service.log), what="the log line")
    assert service.notes == []


def test_kill_9_in_the_middle_of_a_call_delivers_it_again(client: RpcClient, start: Start) -> None:
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


def test_sigterm_finishes_what_runs_and_nothing_runs_for_a_caller_who_has_gone(client: RpcClient, start: Start) -> None:
    service = start("echo_service").answering(client)
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(client.call, service.name, "sleep", [2.5, "in flight"], None, 60)
        until(lambda: "began in flight" in service.notes)
        service.signal(signal.SIGTERM)
        until(lambda: any(line["event"] == "draining" for line in service.log), what="the drain")
        assert queue(service)[1] == 0
        with unaware(service.uri) as asking, pytest.raises(DeadlineExceeded):  # nobody takes this one now
            asking.call(service.name, "sleep", [0, "while draining"], timeout=0.5)
        assert working.result(timeout=60) == "in flight"
        assert service.wait() == 0
    began = time.monotonic()
    for _ in range(3):
        with unaware(service.uri) as asking, pytest.raises(DeadlineExceeded):
            asking.call(service.name, "sleep", [0, "while down"], timeout=0.3)
    assert time.monotonic() - began < 20  # three times as long as any deadline of the service would be 30 s
    until(lambda: queue(service) == (0, 0), what="the expiry of what nobody waits for")
    service.start().answering(client)
    time.sleep(0.3)
    client.call(service.name, "sleep", [0, "in time"])
    # Once: neither again after the restart, nor any of the late ones.
    assert service.notes == ["began in flight", "ended in flight", "began in time", "ended in time"]


@pytest.mark.parametrize(
    ("verb", "body", "note"), [("sleep", b'[3600, "hanging"]', "hanging"), ("seize", b"[]", "hold")]
)
def test_sigterm_does_not_wait_for_ever_for_a_call_that_hangs(
    client: RpcClient, start: Start, verb: str, body: bytes, note: str
) -> None:
    """Also when it lets nothing else of the process go on."""
    bound = 1 + DRAIN_MARGIN_S
    timeouts = {"RPC_TIMEOUT": "1", "CHECKOUT_TIMEOUT": "1", "PAY_TIMEOUT": "1"}
    service = start("echo_service", **timeouts).answering(client)
    with connect(service.uri) as connection:
        channel = connection.channel()
        # Nobody waits for it, so nothing but the drain ends it.
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


def test_a_rolling_restart_under_load_loses_no_call_and_runs_none_twice(client: RpcClient, start: Start) -> None:
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

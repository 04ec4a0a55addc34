"""The broker stops and returns: calls fail fast meanwhile, and both ends reconnect automatically."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from chassis.rpc.client import RpcClient
from contracts.errors import OutcomeUnknown, ShopError, Unavailable
from launcher import packages
from launcher.shop import Shop
from tests.integration.chassis.running import Service, until

FAST_FAILURE_S = 20.0  # a call that waits for its deadline takes longer
CALL_TIMEOUT_S = 60.0
RECOVERY_TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A private broker that only this module uses."""
    with Shop.on_free_ports(tmp_path_factory.mktemp("node"), parts="broker") as shop:
        yield shop


@pytest.fixture(scope="module")
def service(node: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service on the private broker. No test restarts it."""
    echo = Service(node.amqp_uri, "echo_service", tmp_path_factory.mktemp("away")).start()
    yield echo
    assert echo.alive  # it survived every outage of the broker
    echo.stop()


@pytest.fixture(scope="module")
def front(node: Shop, service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    asking = Service(node.amqp_uri, "front_service", tmp_path_factory.mktemp("front"), STUB_BACK=service.name).start()
    yield asking
    assert asking.alive
    asking.stop()


@pytest.fixture(scope="module")
def client(node: Shop, service: Service, front: Service) -> Iterator[RpcClient]:
    """A client on the private node."""
    connected = RpcClient(node.amqp_uri, name="broker tests").start()
    service.answering(connected)
    front.answering(connected)
    yield connected
    connected.stop()


def go_file(service: Service) -> Path:
    """Return the path of the `.go` file. While the file exists, `hold` returns at once."""
    return Path(f"{service.notes_file}.go")


def timed(call: Callable[[], object]) -> tuple[BaseException | object, float]:
    """Return the result or the error of the call, and its duration (seconds)."""
    began = time.monotonic()
    try:
        result: BaseException | object = call()
    except Exception as error:
        result = error
    return result, time.monotonic() - began


def test_calls_fail_fast_without_a_broker_and_recover(
    node: Shop, client: RpcClient, service: Service, front: Service
) -> None:
    with ThreadPoolExecutor(12) as pool:
        # These workers are busy now, and reply while the broker is away.
        owed = [pool.submit(timed, lambda: client.call(service.name, "hold", timeout=CALL_TIMEOUT_S)) for _ in range(3)]
        until(lambda: service.notes.count("began hold") == 3)
        node.halt("rabbitmq")
        for answer in owed:
            failed, _ = answer.result(timeout=CALL_TIMEOUT_S)
            assert isinstance(failed, OutcomeUnknown)
        assert not client.connected
        for failed, took in pool.map(
            timed, [lambda: client.call(service.name, "one", [1], timeout=CALL_TIMEOUT_S)] * 12
        ):
            assert isinstance(failed, Unavailable)
            assert failed.facts["retry_after"] == 1
            assert took < FAST_FAILURE_S
    go_file(service).touch()
    until(lambda: service.notes.count("ended hold") == 3)
    go_file(service).unlink()
    node.resume("rabbitmq")
    service.answering(client)
    assert client.call(service.name, "one", [2]) == 2
    until(lambda: _answers(client, front, "relay", "one", 3) == 3, RECOVERY_TIMEOUT_S, "the second hop")
    assert service.alive
    assert front.alive


def _answers(client: RpcClient, service: Service, method: str, *args: object) -> object:
    try:
        return client.call(service.name, method, args, timeout=2.0)
    except ShopError:
        return None


def test_calls_recover_after_the_broker_is_killed_under_load(node: Shop, client: RpcClient, service: Service) -> None:
    service.answering(client)
    over = threading.Event()
    seen: Counter[str] = Counter()
    slowest = [0.0]

    def ask(number: int) -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            answer, took = timed(lambda: client.call(service.name, "one", [[number, turn]], timeout=CALL_TIMEOUT_S))  # noqa: B023
            seen["answered" if answer == [number, turn] else type(answer).__name__] += 1
            slowest[0] = max(slowest[0], took)
            if isinstance(answer, Exception):
                time.sleep(0.05)

    with ThreadPoolExecutor(8) as pool:
        load = [pool.submit(ask, number) for number in range(8)]
        time.sleep(0.5)
        node.kill("rabbitmq")  # its supervisor restarts it
        until(lambda: not client.connected)
        until(lambda: client.connected, 60, "the connection")
        before = seen["answered"]
        until(lambda: seen["answered"] > before + 50, RECOVERY_TIMEOUT_S, "answers")
        over.set()
        for each in load:
            each.result(timeout=CALL_TIMEOUT_S + 10)
    assert set(seen) <= {"answered", "Unavailable", "OutcomeUnknown", "DeadlineExceeded"}, seen
    # The service may reconnect a moment after the client. Such a request waits for it, but not until its deadline.
    assert slowest[0] < CALL_TIMEOUT_S / 2, (slowest, seen)
    assert client._calls == {}
    assert service.alive


def test_memory_alarm_refuses_calls_and_delays_owed_replies(node: Shop, client: RpcClient, service: Service) -> None:
    service.answering(client)
    most = 28  # as many calls as the service takes at once: if it lost their places, it would take no more
    before = service.notes.count("began hold")
    with ThreadPoolExecutor(most) as pool:
        owed = [pool.submit(timed, lambda: client.call(service.name, "hold", timeout=240)) for _ in range(most)]
        until(lambda: service.notes.count("began hold") == before + most)
        memory_limit(node, "0.00001")
        try:
            until(lambda: _blocked(client, service), what="the broker blocking publishers")
            failed, took = timed(lambda: client.call(service.name, "one", [1], timeout=CALL_TIMEOUT_S))
            assert isinstance(failed, Unavailable)
            assert took < FAST_FAILURE_S
            go_file(service).touch()
            until(lambda: service.notes.count("ended hold") == before + most)
            until(lambda: any(line.get("event") == "broker blocks publishers" for line in service.log))
        finally:
            memory_limit(node, "0.4")
        assert {answer.result(timeout=240)[0] for answer in owed} == {"held"}
    until(lambda: _answers(client, service, "one", 5) == 5, RECOVERY_TIMEOUT_S, "an answer after the alarm")
    assert service.notes.count("began hold") == before + most  # each ran once


def memory_limit(node: Shop, share: str) -> None:
    """Set the share of the machine's memory that the broker may use."""
    environment = {
        **os.environ,
        "HOME": str(node.place.var_dir / "rabbitmq"),
        "RABBITMQ_NODENAME": "shop@localhost",
        "ERL_EPMD_PORT": _epmd_port(node),
    }
    server = packages.rabbitmq_server()
    assert server is not None
    command = [str(server.with_name("rabbitmqctl")), "-q", "set_vm_memory_high_watermark", share]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)


def _blocked(client: RpcClient, service: Service) -> bool:
    _answers(client, service, "one", 1)  # the broker notifies a connection when it publishes
    return client.link._blocked


def _epmd_port(node: Shop) -> str:
    (pid,) = node.pids("epmd")
    command = psutil.Process(pid).cmdline()
    return command[command.index("-port") + 1]

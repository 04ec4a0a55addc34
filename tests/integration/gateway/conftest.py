"""Fixtures for the gateway tests: a private broker, doubles of the services on it, and running gateways."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chassis.rpc.client import RpcClient
from contracts.errors import ShopError
from tests.integration.gateway.asking import SHORT_DEADLINES, Running, start_gateway, start_stubs
from tests.process_coverage import coverage_env
from tests.rabbit_node import RabbitNode


@pytest.fixture(scope="package")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    """A running, private RabbitMQ."""
    rabbit = RabbitNode(tmp_path_factory.mktemp("rabbit"))
    rabbit.start()
    yield rabbit
    rabbit.stop()


class Doubles:
    """The doubles of the services, in two processes, so that a test can kill `cart` alone."""

    def __init__(self, uri: str, control: Path) -> None:
        self.control = control
        self._uri = uri
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._groups = {"cart": ("cart",), "others": ("products", "shipping", "notifications")}
        for group in self._groups:
            self.start(group)

    def start(self, group: str) -> None:
        """Start the process of a group."""
        self._processes[group] = start_stubs(self._uri, self.control, *self._groups[group])

    def kill(self, group: str) -> None:
        """Send SIGKILL to the process of a group."""
        self._processes[group].kill()
        self._processes[group].wait(timeout=10)

    def wait(self, client: RpcClient, timeout: float = 90.0) -> None:
        """Wait until every double answers `health`."""
        deadline = time.monotonic() + timeout
        for service in ("products", "cart", "shipping", "notifications"):
            while not self._answers(client, service):
                assert time.monotonic() < deadline, service
                time.sleep(0.2)

    @staticmethod
    def _answers(client: RpcClient, service: str) -> bool:
        try:
            client.call(service, "health", timeout=2.0)
        except ShopError:
            return False
        return True

    def stop(self) -> None:
        """Kill both processes."""
        for group in self._processes:
            self.kill(group)


@pytest.fixture(scope="package")
def client(node: RabbitNode) -> Iterator[RpcClient]:
    """The RPC connection of the tests."""
    connection = RpcClient(node.uri, name="gateway tests").start()
    yield connection
    connection.stop()


@pytest.fixture(scope="package")
def doubles(node: RabbitNode, client: RpcClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doubles]:
    """The doubles of the four services, once they answer."""
    stubs = Doubles(node.uri, tmp_path_factory.mktemp("control"))
    try:
        stubs.wait(client)
        yield stubs
    finally:
        stubs.stop()


@pytest.fixture(scope="package")
def shop(node: RabbitNode, doubles: Doubles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway with two workers and no admin keys. All tests that only send requests share it."""
    running = start_gateway(node.uri, tmp_path_factory.mktemp("shop"), **coverage_env())
    yield running
    running.stop()


@pytest.fixture(scope="package")
def short_deadline_shop(
    node: RabbitNode, doubles: Doubles, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A gateway with short deadlines, only for tests of deadlines: on a busy machine, any call may miss one."""
    running = start_gateway(node.uri, tmp_path_factory.mktemp("short-deadlines"), **SHORT_DEADLINES)
    yield running
    running.stop()


@pytest.fixture
def new_gateway(node: RabbitNode, doubles: Doubles, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """A function that starts a gateway with the settings of one test."""
    started: list[Running] = []

    def start(**settings: Any) -> Running:
        started.append(start_gateway(settings.pop("uri", node.uri), tmp_path, **coverage_env(), **settings))
        return started[-1]

    yield start
    for running in started:
        running.stop()

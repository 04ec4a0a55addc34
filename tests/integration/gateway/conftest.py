"""A broker of their own for the gateway's tests, doubles of the services on it, and a gateway to ask."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chassis.rpc.client import RpcClient
from contracts.errors import ShopError
from tests.integration.gateway.asking import HASTY, Running, start_gateway, start_stubs
from tests.rabbit_node import RabbitNode


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    """A private RabbitMQ, running."""
    rabbit = RabbitNode(tmp_path_factory.mktemp("rabbit"))
    rabbit.start()
    yield rabbit
    rabbit.stop()


class Doubles:
    """The stub services: two processes, so that `cart` can be killed alone."""

    def __init__(self, uri: str, control: Path) -> None:
        self.control = control
        self._uri = uri
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._groups = {"cart": ("cart",), "others": ("products", "shipping", "notifications")}
        for group in self._groups:
            self.start(group)

    def start(self, group: str) -> None:
        """Start a group's process."""
        self._processes[group] = start_stubs(self._uri, self.control, *self._groups[group])

    def kill(self, group: str) -> None:
        """`kill -9` a group's process."""
        self._processes[group].kill()
        self._processes[group].wait(timeout=10)

    def wait(self, client: RpcClient, timeout: float = 90.0) -> None:
        """Wait until all of them answer."""
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
        """Kill all of them."""
        for group in self._processes:
            self.kill(group)


@pytest.fixture(scope="session")
def client(node: RabbitNode) -> Iterator[RpcClient]:
    """A connection of the tests' own."""
    connection = RpcClient(node.uri, name="gateway tests").start()
    yield connection
    connection.stop()


@pytest.fixture(scope="session")
def doubles(node: RabbitNode, client: RpcClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doubles]:
    """The four services' doubles, answering."""
    stubs = Doubles(node.uri, tmp_path_factory.mktemp("control"))
    try:
        stubs.wait(client)
        yield stubs
    finally:
        stubs.stop()


@pytest.fixture(scope="session")
def shop(node: RabbitNode, doubles: Doubles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway of two workers on the doubles, open (no admin keys), shared by all tests that only ask."""
    running = start_gateway(node.uri, tmp_path_factory.mktemp("shop"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def hasty(node: RabbitNode, doubles: Doubles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One that gives calls up soon, for tests of that: on a busy machine any call may be late."""
    running = start_gateway(node.uri, tmp_path_factory.mktemp("hasty"), **HASTY)
    yield running
    running.stop()


@pytest.fixture
def another(node: RabbitNode, doubles: Doubles, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts gateways with settings of the test's own."""
    started: list[Running] = []

    def start(**settings: Any) -> Running:
        started.append(start_gateway(settings.pop("uri", node.uri), tmp_path, **settings))
        return started[-1]

    yield start
    for running in started:
        running.stop()

"""The broker and the stub services that these tests call."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from chassis import deadline
from chassis.db.engine import Database
from chassis.rpc.client import RpcClient
from tests.integration.chassis.running import Service, forget
from tests.rabbit_node import RabbitNode


@pytest.fixture(scope="package")
def uri(rabbit: RabbitNode) -> str:
    return rabbit.uri


@pytest.fixture(scope="module")
def client(uri: str) -> Iterator[RpcClient]:
    """A connected client that runs on threads."""
    connected = RpcClient(uri, name="chassis tests").start()
    assert connected.link.wait(30)
    yield connected
    connected.stop()


@pytest.fixture(scope="package")
def stubs(uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Service]]:
    """One process of each stub: `echo`, `front` and `stock`. Tests that stop no process share them."""
    folder = tmp_path_factory.mktemp("stubs")
    echo = Service(uri, "echo_service", folder)
    started = {
        "echo": echo,
        "front": Service(uri, "front_service", folder, STUB_BACK=echo.name),
        "stock": Service(uri, "stock_service", folder, STUB_BACK=echo.name),
    }
    try:
        for service in started.values():
            service.start()
        asking = RpcClient(uri, name="chassis tests").start()
        for service in started.values():
            service.answering(asking)
        asking.stop()
        yield started
        # No test has ended a shared process.
        assert all(service.alive for service in started.values())
    finally:
        for service in started.values():
            service.stop()
        forget(uri, {service.name for service in started.values()})


@pytest.fixture
def start(uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Service]]:
    """``start("echo_service")`` starts a stub process for this test alone; ``name=`` makes it a further copy."""
    folder = tmp_path_factory.mktemp("own")
    started: list[Service] = []

    def starting(module: str, **options: str) -> Service:
        started.append(Service(options.pop("uri", uri), module, folder, **options).start())
        return started[-1]

    yield starting
    for service in started:
        service.stop()
    forget(uri, {service.name for service in started})


@pytest.fixture(autouse=True)
def no_deadline() -> None:
    deadline.begin(None)


@pytest.fixture
def here(database: Callable[[str], Database]) -> Database:
    return database("cart")

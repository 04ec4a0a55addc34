"""The broker and the stub services that these tests ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from chassis import deadline
from chassis.db.engine import Database
from chassis.rpc.client import RpcClient
from tests.integration.chassis.running import Service, forget
from tests.rabbit_node import RabbitNode


@pytest.fixture(scope="session")
def uri(rabbit: RabbitNode) -> str:
    return rabbit.uri


@pytest.fixture(scope="module")
def client(uri: str) -> Iterator[RpcClient]:
    """A client on threads, connected."""
    with_threads = RpcClient(uri, name="chassis tests").start()
    assert with_threads.link.wait(30)
    yield with_threads
    with_threads.stop()


@pytest.fixture(scope="session")
def stubs(uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Service]]:
    """One process each of the stubs `echo`, `front` and `stock`, shared by the tests that only ask."""
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
        # Whatever was sent to them, none of them fell.
        assert all(service.alive for service in started.values())
    finally:
        for service in started.values():
            service.stop()
        forget(uri, {service.name for service in started.values()})


@pytest.fixture
def start(uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Service]]:
    """``start("echo_service")``: a process of a stub for this test alone; ``name=`` makes it a further copy."""
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

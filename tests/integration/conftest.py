"""One broker for all tests of a pytest process. Tests that stop the broker start a broker of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rabbit_node import RabbitNode


@pytest.fixture(scope="session")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    """A private RabbitMQ that is running."""
    node = RabbitNode(tmp_path_factory.mktemp("rabbit"))
    node.start()
    yield node
    node.stop()

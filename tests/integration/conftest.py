"""A broker for all tests of one process of pytest; what takes it away has one of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rabbit_node import RabbitNode


@pytest.fixture(scope="session")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    """A private RabbitMQ, running."""
    node = RabbitNode(tmp_path_factory.mktemp("rabbit"))
    node.start()
    yield node
    node.stop()

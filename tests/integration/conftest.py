"""A broker for the tests of the services as they run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.gateway.rabbit_node import RabbitNode


@pytest.fixture(scope="package")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    """A private RabbitMQ, running."""
    node = RabbitNode(tmp_path_factory.mktemp("rabbit"))
    node.start()
    yield node
    node.stop()

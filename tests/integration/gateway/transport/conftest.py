"""The gateway that all transport tests of one module share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.gateway.transport.local import Local, running


@pytest.fixture(scope="module")
def shop() -> Iterator[Local]:
    with running() as local:
        yield local

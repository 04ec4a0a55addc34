"""One running shop for all attacks in this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.abuse.target import Target, target


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The running shop."""
    place: Path = tmp_path_factory.mktemp("abuse")
    with target(place) as found:
        yield found

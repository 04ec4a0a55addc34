"""Fixtures for every test. Also decides which tests share a process when the suite runs in parallel."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

pytest_plugins = ("tests.browser", "tests.databases", "tests.locked", "tests.running_sandbox", "tests.scripted_server")

# The tests of such a folder share something that starts slowly, so one process runs them all. Other tests are
# distributed by file. The slowest folders come first: each process takes the next group when it is free.
GROUPED_FOLDERS = (
    "tests/e2e/faults",
    "tests/e2e/journeys",
    "tests/e2e/outages",
    "tests/integration/launcher",
    "tests/integration/gateway",
    "tests/integration/chassis",
    "tests/e2e/abuse",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slowest groups first."""
    order = {folder: place for place, folder in enumerate(GROUPED_FOLDERS)}
    items.sort(key=lambda item: order.get(_group(item.nodeid), len(order)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Make pytest-xdist run each group in one process."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return Groups(config, log)


def _group(nodeid: str) -> str:
    path = nodeid.split("::")[0]
    folders = {str(folder) for folder in PurePosixPath(path).parents}
    return next((folder for folder in GROUPED_FOLDERS if folder in folders), path)

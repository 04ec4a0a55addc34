"""The fixtures that every test may ask for, and which tests share a process when several run side by side."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

pytest_plugins = ("tests.databases", "tests.locked", "tests.running_sandbox", "tests.scripted_server")

# Folders whose tests share something that takes long to start. The others are shared out file by file. The longest come
# first: each process takes the next one when it is done.
TOGETHER = (
    "tests/e2e/faults",
    "tests/e2e/journeys",
    "tests/e2e/outages",
    "tests/integration/launcher",
    "tests/integration/gateway",
    "tests/integration/chassis",
    "tests/e2e/abuse",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest groups first."""
    order = {folder: place for place, folder in enumerate(TOGETHER)}
    items.sort(key=lambda item: order.get(_group(item.nodeid), len(order)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """pytest-xdist: one process per group at a time."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return Groups(config, log)


def _group(nodeid: str) -> str:
    path = nodeid.split("::")[0]
    folders = {str(folder) for folder in PurePosixPath(path).parents}
    return next((folder for folder in TOGETHER if folder in folders), path)

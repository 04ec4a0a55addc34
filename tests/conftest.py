"""The fixtures that every test may ask for, and which tests share a process when several run side by side."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

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


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name each test's group for pytest-xdist, and put the longest groups first."""
    places: dict[str, int] = {}
    for item in items:
        group = _group(item.nodeid.split("::")[0])
        item.add_marker(pytest.mark.xdist_group(group))
        places[item.nodeid] = TOGETHER.index(group) if group in TOGETHER else len(TOGETHER)
    items.sort(key=lambda item: places[item.nodeid])


def _group(path: str) -> str:
    folders = {str(folder) for folder in PurePosixPath(path).parents}
    return next((folder for folder in TOGETHER if folder in folders), path)

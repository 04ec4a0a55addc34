"""Fixtures for every test. Also decides which tests share a process when the suite runs in parallel."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

pytest_plugins = ("tests.browser", "tests.databases", "tests.locked", "tests.running_sandbox", "tests.scripted_server")

# The tests under the paths of such a group share something that starts slowly, so one process runs them all. Other
# tests are distributed by file. The slowest groups come first: each process takes the next one when it is free.
GROUPS = (
    # These share the shop `twins`, the next two the shop `lone`.
    ("tests/e2e/faults/test_crash_points.py", "tests/e2e/faults/test_races.py", "tests/e2e/faults/test_restarts.py"),
    ("tests/e2e/faults/test_model.py", "tests/e2e/faults/test_the_proof.py"),
    ("tests/e2e/journeys",),
    ("tests/e2e/faults/test_chaos.py",),
    ("tests/e2e/outages",),
    ("tests/e2e/browser",),
    ("tests/integration/launcher",),
    ("tests/integration/gateway",),
    ("tests/integration/chassis",),
    ("tests/e2e/abuse",),
)
GROUP_OF = {path: number for number, paths in enumerate(GROUPS) for path in paths}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slowest groups first."""
    items.sort(key=lambda item: _group(item.nodeid)[0])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Make pytest-xdist run each group in one process."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return " ".join(map(str, _group(nodeid)))

    return Groups(config, log)


def _group(nodeid: str) -> tuple[int, str]:
    """The place of a test's group among the groups, and for a test of no group its file."""
    path = PurePosixPath(nodeid.split("::")[0])
    found = [GROUP_OF[str(each)] for each in (path, *path.parents) if str(each) in GROUP_OF]
    return (found[0], "") if found else (len(GROUPS), str(path))

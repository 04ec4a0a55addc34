"""A process of a real shop is killed at every crash point in turn, and the story still ends right."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.faults import points, stories
from bench.faults.crash_points import Case, CrashPoints, all_cases, bugs, summary, troubled_cases
from bench.faults.front import Front
from bench.faults.records import Databases
from launcher.shop import Shop

MODULES = sorted(set(points.declared()) | set(points.passed()))


@pytest.mark.parametrize("module", MODULES)
def test_module_declares_the_crash_points_it_passes(module: str) -> None:
    named, passed = points.declared().get(module, ()), points.passed().get(module, [])
    assert len(set(named)) == len(named)
    assert [name for name in named if not any(pattern.fullmatch(name) for pattern in passed)] == []
    assert [pattern.pattern for pattern in passed if not any(pattern.fullmatch(name) for name in named)] == []


def test_crash_point_names_are_unique() -> None:
    names = [name for module in points.declared().values() for name in module]
    assert len(set(names)) == len(names)
    files = [name.replace(":", "-") for name in names]
    assert len(set(files)) == len(files)


@pytest.mark.timeout(1500)
def test_story_ends_right_after_every_crash_point(twins: Shop, front: Front) -> None:
    databases = Databases(None, str(twins.place.var_dir))
    folder = Path(twins.place.env["CRASH_POINTS"])
    endings = CrashPoints(front, databases, folder).run([*all_cases(full=False), *troubled_cases()])
    databases.close()
    print(summary(endings))
    assert bugs(twins.place.var_dir / "logs") == []
    assert [f"{ending.case}: {ending.wrong}" for ending in endings if ending.wrong] == []


@pytest.mark.timeout(600)
def test_killed_refund_is_made_once_without_webhooks(twins: Shop, front: Front) -> None:
    """Stripe's events usually report a refund before the shop would ask for it again, so they are switched off."""
    databases = Databases(None, str(twins.place.var_dir))
    cases = [Case("refund:money:asked", stories.ReturnsPart, stays) for stays in (True, False)]
    with front.silent("stripe"):
        endings = CrashPoints(front, databases, Path(twins.place.env["CRASH_POINTS"])).run(cases)
    databases.close()
    assert [f"{ending.case}: {ending.wrong}" for ending in endings if ending.wrong] == []

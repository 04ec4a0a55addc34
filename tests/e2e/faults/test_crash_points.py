"""A process of a real shop is killed at every crash point in turn, and the story still ends right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from bench.faults import points, stories
from bench.faults.crash_points import Case, CrashPoints, all_cases, bugs, summary, troubled_cases
from bench.faults.front import Front
from bench.faults.records import Databases
from launcher.shop import Shop

Found = TypeVar("Found")

SERVICES = sorted({module.partition(".")[0] for module in (*points.declared(), *points.passed())})


@pytest.mark.parametrize("service", SERVICES)
def test_service_declares_the_crash_points_it_passes(service: str) -> None:
    named, passed = of_service(service, points.declared()), of_service(service, points.passed())
    assert [name for name in named if not any(pattern.fullmatch(name) for pattern in passed)] == []
    assert [pattern.pattern for pattern in passed if not any(pattern.fullmatch(name) for name in named)] == []


def of_service(service: str, by_module: Mapping[str, Sequence[Found]]) -> list[Found]:
    return [each for module, found in by_module.items() if module.partition(".")[0] == service for each in found]


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

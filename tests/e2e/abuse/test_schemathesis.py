"""The short form of `bench schemathesis` against one shop."""

from __future__ import annotations

from pathlib import Path

from bench import schemathesis
from bench.abuse.target import Target


def test_requests_made_from_the_description_find_nothing(shop: Target, tmp_path: Path) -> None:
    found = schemathesis.run(shop, tmp_path, seed=9, requests=1, cases=schemathesis.CASES_SHORT, show=print)
    assert "\n".join(found.findings) == ""
    assert found.requests > 500

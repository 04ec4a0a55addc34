"""`bench live` with a sandbox in the place of the real providers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from bench.conformance.stripe_types import NotHad
from bench.live.command import main
from tests.integration.bench.standin import StandIn
from tests.integration.providers.sandbox.process import SandboxProcess


@pytest.fixture
def sandbox_url(tmp_path: Path) -> Iterator[str]:
    with SandboxProcess(tmp_path) as process:
        yield process.url


def planted(method: str, path: str, body: Any) -> Any:
    """What this provider does otherwise: a member more, one less, another type, and another value of an enum."""
    if path == "/stripe/v1/products" and method == "POST" and "error" not in body:
        body["color"] = "red"
        del body["shippable"]
        body["created"] = str(body["created"])
    if path == "/shippo/parcels" and method == "POST" and "object_id" in body:
        body["object_state"] = "INVALID"
    return body


def run(stand_in: StandIn, tmp_path: Path, *more: str) -> str:
    report = tmp_path / "live.md"
    assert main(["--at", stand_in.url, "--report", str(report), "--cache", str(tmp_path / "none"), *more]) == 0
    return report.read_text()


@pytest.fixture
def no_npm(monkeypatch: pytest.MonkeyPatch) -> None:
    """No compiler can be had, so that the test downloads nothing."""

    def refuse(cache: Path) -> Any:
        raise NotHad("npm is not installed.")

    monkeypatch.setattr("bench.conformance.stripe_types.installed", refuse)


@pytest.mark.usefixtures("no_npm")
def test_planted_differences_are_reported_and_no_others(sandbox_url: str, tmp_path: Path) -> None:
    stand_in = StandIn(sandbox_url, planted)
    report = run(stand_in, tmp_path)
    stand_in.close()

    found = [line for line in report.split("## The real answers")[0].splitlines() if line.startswith("- ")]
    assert sorted(found) == sorted(
        [
            "- stripe, catalogue: POST /v1/products: .color is absent in the sandbox",
            "- stripe, catalogue: POST /v1/products: .shippable is only in the sandbox",
            "- stripe, catalogue: POST /v1/products: .created is string, number in the sandbox",
            "- shippo, parts: POST /parcels: .object_state is 'INVALID', 'VALID' in the sandbox",
        ]
    )
    assert "not checked: npm is not installed." in report


@pytest.mark.usefixtures("no_npm")
def test_tour_cleans_up_at_the_real_provider(sandbox_url: str, tmp_path: Path) -> None:
    stand_in = StandIn(sandbox_url, lambda method, path, body: body)
    report = run(stand_in, tmp_path, "--providers", "stripe")
    stand_in.close()

    assert report.count("None.") >= 2
    left = stripe(sandbox_url, "/v1/products", active="true")
    assert left == []
    assert stripe(sandbox_url, "/v1/coupons") == []
    assert stripe(sandbox_url, "/v1/promotion_codes", active="true") == []
    waiting = {intent["status"] for intent in stripe(sandbox_url, "/v1/payment_intents")}
    assert "requires_action" not in waiting


def stripe(url: str, path: str, **query: str) -> list[dict[str, Any]]:
    key = {"Authorization": "Bearer sk_sandbox"}
    answer = requests.get(f"{url}/stripe{path}", params={"limit": "100", **query}, headers=key, timeout=30)
    found: list[dict[str, Any]] = answer.json()["data"]
    return found

"""Where the bank's page of the sandbox leads back to."""

from __future__ import annotations

import pytest

from sandbox.bank import returning

ADDED = "payment_intent=pi_1&payment_intent_client_secret=pi_1_secret_2&redirect_status="


@pytest.mark.parametrize(
    ("return_url", "before", "after"),
    [
        ("https://a.example", "https://a.example?", ""),
        ("https://a.example/back?order=1", "https://a.example/back?order=1&", ""),
        ("https://a.example/back?thanks#top", "https://a.example/back?thanks&", "#top"),
    ],
)
def test_return_url_keeps_its_own_parts(return_url: str, before: str, after: str) -> None:
    intent = {"id": "pi_1", "client_secret": "pi_1_secret_2", "status": "succeeded"}
    assert returning(return_url, intent) == f"{before}{ADDED}succeeded{after}"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *(("succeeded", "succeeded"), ("requires_capture", "succeeded"), ("processing", "pending")),
        *(("requires_payment_method", "failed"), ("canceled", "failed")),
    ],
)
def test_return_url_says_how_the_payment_ended(status: str, expected: str) -> None:
    intent = {"id": "pi_1", "client_secret": "pi_1_secret_2", "status": status}
    assert returning("https://a.example", intent).endswith(f"redirect_status={expected}")

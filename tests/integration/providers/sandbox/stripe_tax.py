"""Calls of Stripe Tax in the sandbox, through Stripe's own SDK."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
import stripe

from tests.integration.providers.sandbox.process import Sdks

DAY_S = 86400
SEATTLE = {"country": "US", "postal_code": "98104", "state": "WA", "city": "Seattle", "line1": "920 5th Ave"}
FOOD, CLOTHING, DIGITAL, SERVICES = "txcd_40040000", "txcd_30011000", "txcd_10000000", "txcd_20030000"


def calculate(sdks: Sdks, *lines: dict[str, Any], to: Any = SEATTLE, **more: Any) -> stripe.tax.Calculation:
    """Calculate the tax on these lines in US dollars, or in the currency of `more`; lines may omit everything."""
    details = {"address": to, "address_source": "shipping", **more.pop("customer", {})}
    asked: Any = {
        "currency": "usd", "line_items": [{"amount": 1000, **line} for line in lines or ({},)],
        "customer_details": details, "expand": ["line_items"], **more,
    }  # fmt: skip
    return sdks.stripe.v1.tax.calculations.create(asked)


def to(country: str, **more: str) -> dict[str, str]:
    return {"country": country, **more}


def record(sdks: Sdks, calculation: stripe.tax.Calculation, reference: str | None = None) -> stripe.tax.Transaction:
    """Record a sale."""
    return sdks.stripe.v1.tax.transactions.create_from_calculation(
        {"calculation": str(calculation.id), "reference": reference or unique(), "expand": ["line_items"]}
    )


def reverse(sdks: Sdks, original: str, mode: str = "full", **more: Any) -> stripe.tax.Transaction:
    asked: Any = {
        "mode": mode, "original_transaction": original, "reference": unique(), "expand": ["line_items"], **more,
    }  # fmt: skip
    return sdks.stripe.v1.tax.transactions.create_reversal(asked)


def part(line: Any, amount: int, amount_tax: int, **more: Any) -> dict[str, Any]:
    """Return a line of a partial reversal."""
    return {
        "original_line_item": line.id, "reference": unique(), "amount": amount, "amount_tax": amount_tax, **more,
    }  # fmt: skip


def unique() -> str:
    return f"tax-{uuid.uuid4().hex[:12]}"


def lines_of(body: Any) -> list[Any]:
    return list(body.line_items.data)


def amounts(body: Any) -> list[tuple[int, int]]:
    return [(line.amount, line.amount_tax) for line in lines_of(body)]


def refused(ask: Callable[[], object]) -> tuple[str | None, str | None]:
    """Return the code and the parameter of Stripe's refusal."""
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        ask()
    assert refusal.value.http_status == 400
    assert refusal.value.error is not None
    assert refusal.value.error.to_dict()["type"] == "invalid_request_error"
    return refusal.value.code, refusal.value.param

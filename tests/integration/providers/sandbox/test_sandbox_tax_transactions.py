"""Transactions of Stripe Tax, in the sandbox, through Stripe's own SDK."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.integration.providers.sandbox.process import SandboxProcess, Sdks
from tests.integration.providers.sandbox.stripe_tax import (
    DAY_S,
    SEATTLE,
    amounts,
    calculate,
    lines_of,
    record,
    refused,
    reverse,
    unique,
)


def test_transaction_records_its_calculation(sdks: Sdks) -> None:
    made = calculate(sdks, {"reference": "L1", "metadata": {"sku": "duck"}}, shipping_cost={"amount": 200})
    reference = unique()
    sold = sdks.stripe.v1.tax.transactions.create_from_calculation(
        {"calculation": str(made.id), "reference": reference, "metadata": {"order": "7"}, "expand": ["line_items"]}
    )
    assert (sold.type, sold.reference, sold.reversal, sold.currency) == ("transaction", reference, None, "usd")
    assert sold.metadata is not None
    assert sold.metadata.to_dict() == {"order": "7"}
    assert sold.customer_details.to_dict() == made.customer_details.to_dict()
    assert sold.created == sold.posted_at >= sold.tax_date == made.tax_date
    [line], [calculated] = lines_of(sold), lines_of(made)
    assert (line.amount, line.amount_tax, line.reference, line.type) == (1000, 65, "L1", "transaction")
    assert line.metadata.to_dict() == {"sku": "duck"}
    assert line.id != calculated.id
    assert sold.shipping_cost is not None
    assert (sold.shipping_cost.amount, sold.shipping_cost.amount_tax) == (200, 13)
    kept = sdks.stripe.v1.tax.transactions.retrieve(sold.id, {"expand": ["line_items"]})
    assert kept.to_dict() == sold.to_dict()


def test_reference_is_used_once_by_sales_and_reversals(sdks: Sdks) -> None:
    made, reference = calculate(sdks), unique()
    sold = record(sdks, made, reference)
    again = ("resource_already_exists", "reference")
    assert refused(lambda: record(sdks, made, reference)) == again
    assert refused(lambda: reverse(sdks, sold.id, reference=reference)) == again
    back = reverse(sdks, sold.id)
    assert refused(lambda: reverse(sdks, sold.id, reference=back.reference)) == again
    assert refused(lambda: record(sdks, made, back.reference)) == again


def test_same_key_replays_the_transaction(sdks: Sdks) -> None:
    made, reference, key = calculate(sdks), unique(), unique()
    asked: Any = {"calculation": str(made.id), "reference": reference}
    service = sdks.stripe.v1.tax.transactions
    first, second = (service.create_from_calculation(asked, {"idempotency_key": key}) for _ in range(2))
    assert first.to_dict() == second.to_dict()
    assert refused(lambda: service.create_from_calculation(asked)) == ("resource_already_exists", "reference")


def test_lost_answer_is_found_under_its_key(sdks: Sdks, fault: Callable[..., Any]) -> None:
    made, reference = calculate(sdks), unique()
    fault("stripe", lose_answer_rate=1, times=1, path="/v1/tax/transactions")
    sold = record(sdks, made, reference)  # the SDK repeats it with the same key
    assert sold.reference == reference
    assert sdks.get("/sandbox/faults/stripe").json()["hits"] == 1


def test_failing_calculation_is_an_api_error(sdks: Sdks, fault: Callable[..., Any]) -> None:
    fault("stripe", error_rate=1, error_status=503, path="/v1/tax/calculations")
    impatient = sdks.stripe_with("sk_sandbox", retries=0)
    asked: Any = {
        "currency": "usd", "line_items": [{"amount": 1}],
        "customer_details": {"address": SEATTLE, "address_source": "shipping"},
    }  # fmt: skip
    with pytest.raises(stripe.APIError):
        impatient.v1.tax.calculations.create(asked)


def test_posted_at_lies_between_tax_date_and_now(sdks: Sdks) -> None:
    now = int(sdks.get("/sandbox/clock").json()["now"])
    made = calculate(sdks, tax_date=now - 2 * DAY_S)
    asked: Any = {"calculation": str(made.id), "reference": unique()}
    service = sdks.stripe.v1.tax.transactions
    for wrong in (now - 3 * DAY_S, now + DAY_S):
        assert refused(lambda at=wrong: service.create_from_calculation({**asked, "posted_at": at})) == (  # type: ignore[misc]
            None, "posted_at",
        )  # fmt: skip
    assert service.create_from_calculation({**asked, "posted_at": now - DAY_S}).posted_at == now - DAY_S


def test_unknown_objects_are_refused(sdks: Sdks) -> None:
    for ask in (
        lambda: sdks.stripe.v1.tax.calculations.retrieve("taxcalc_0"),
        lambda: sdks.stripe.v1.tax.transactions.retrieve("tax_0"),
        lambda: sdks.stripe.v1.tax.calculations.line_items.list("taxcalc_0"),
        lambda: sdks.stripe.v1.tax.transactions.line_items.list("tax_0"),
        lambda: sdks.stripe.v1.tax_codes.retrieve("txcd_1"),
    ):
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            ask()
        assert (refusal.value.http_status, refusal.value.code) == (404, "resource_missing")
    asked: Any = {"calculation": "taxcalc_0", "reference": unique()}
    create = sdks.stripe.v1.tax.transactions.create_from_calculation
    assert refused(lambda: create(asked)) == ("resource_missing", "calculation")
    assert refused(lambda: reverse(sdks, "tax_0")) == ("resource_missing", "original_transaction")


def test_calculation_expires_after_ninety_days_and_outlives_a_restart(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path) as process:
        sdks = Sdks(process.url)
        made = calculate(sdks)
        sold = record(sdks, made, "before")
        process.terminate()
    with SandboxProcess(tmp_path) as process:
        sdks = Sdks(process.url)
        assert sdks.stripe.v1.tax.transactions.retrieve(sold.id).reference == "before"
        sdks.post("/sandbox/clock", json={"advance_seconds": 90 * DAY_S - 120})
        record(sdks, made, "in time")
        sdks.post("/sandbox/clock", json={"advance_seconds": 120})
        assert refused(lambda: record(sdks, made, "late")) == ("resource_missing", "calculation")
        with pytest.raises(stripe.InvalidRequestError) as gone:
            sdks.stripe.v1.tax.calculations.retrieve(str(made.id))
        assert (gone.value.http_status, gone.value.code) == (404, "resource_missing")
        assert amounts(reverse(sdks, sold.id)) == [(-1000, -65)]

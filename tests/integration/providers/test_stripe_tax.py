"""The port for taxes through Stripe's SDK and the sandbox: rates, records, reversals, refusals and outages."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from cart.rules.order import Address
from cart.rules.tax import Entry, Question, Taxed
from cart.stripe.tax import StripeTaxes
from chassis.clock import now
from contracts.errors import OutcomeUnknown, ProviderFailure, Refused, Unavailable
from tests.integration.providers.test_stripe_payments import settings
from tests.running_sandbox import RunningSandbox
from tests.scripted_server import Scripted, ScriptedServer

SAN_JOSE = Address("San Jose", "US", "1092 Indian Summer Ct", None, "95122", "CA")
NEWARK = Address("Newark", "US", "1 Main St", None, "07102", "NJ")
BERLIN = Address("Berlin", "DE", "Unter den Linden 1", None, "10117", None)
PORTLAND = Address("Portland", "US", "1 Main St", None, "97201", "OR")
SONG = "txcd_10000000"


@pytest.fixture
def taxes(providers: RunningSandbox) -> StripeTaxes:
    return StripeTaxes(settings(providers.url))


def asked(
    address: Address = SAN_JOSE,
    *amounts: int,
    shipping: int | None = 500,
    included: bool = False,
    code: str | None = None,
) -> Question:
    goods = [Taxed(f"sku_{number}", amount, 2, code) for number, amount in enumerate(amounts or (1000, 333))]
    return Question("usd", address, tuple(goods), shipping, included)


def name() -> str:
    return f"or_{uuid.uuid4().hex}"


@pytest.mark.parametrize(
    ("question", "added", "contained"),
    [
        (asked(), 73 + 24, 0),  # 7.25 %; California does not tax shipping
        (asked(NEWARK), 66 + 22 + 33, 0),  # 6.625 %, shipping included
        (asked(BERLIN), 190 + 63 + 95, 0),  # 19 %
        (asked(BERLIN, included=True), 0, 160 + 53 + 80),
        (asked(PORTLAND), 0, 0),
        (asked(BERLIN, 999, shipping=None, code=SONG), 190, 0),
        (asked(SAN_JOSE, 999, shipping=None, code=SONG), 0, 0),
        (asked(SAN_JOSE, 0, 0, shipping=None), 0, 0),
    ],
)
def test_tax_is_that_of_the_place(taxes: StripeTaxes, question: Question, added: int, contained: int) -> None:
    found = taxes.calculate(question)
    assert (found.added, found.contained, found.total) == (added, contained, question.amount + added)
    assert 89 < (found.expires_at - now()) / 86400 < 91


@pytest.mark.parametrize("included", [False, True])
def test_sale_is_recorded_once_and_its_reversals_add_up(taxes: StripeTaxes, included: bool) -> None:
    found, order = taxes.calculate(asked(BERLIN, 999, 1, 12345, included=included)), name()
    sale = taxes.record(found.id, order, f"{order}:tax")
    assert sale is not None
    assert taxes.record(found.id, order, f"{order}:tax") == sale
    tax = found.added or found.contained
    assert taxes.find(sale) == Entry(sale, order, found.total, tax)
    entries = []
    for amount in (1, 100, 4321, found.total - 4422):
        refund = name()
        back = taxes.reverse(sale, amount, refund, f"{refund}:tax")
        assert back is not None
        assert taxes.reverse(sale, amount, refund, f"{refund}:tax") == back
        entry = taxes.find(back)
        assert entry is not None
        assert (entry.reference, entry.amount, entry.reverses) == (refund, -amount, sale)
        entries.append(entry)
    assert sum(entry.tax for entry in entries) == -tax
    with pytest.raises(Refused):
        taxes.reverse(sale, 1, name(), name())


def test_reversal_can_be_undone(taxes: StripeTaxes) -> None:
    found, order, refund = taxes.calculate(asked(BERLIN)), name(), name()
    sale = taxes.record(found.id, order, name()) or ""
    back = taxes.reverse(sale, found.total, refund, name()) or ""
    undone = taxes.undo(back, f"{refund}:tax_undo", name()) or ""
    assert taxes.find(undone) == Entry(undone, f"{refund}:tax_undo", found.total, found.added, back)
    assert taxes.reverse(sale, found.total, name(), name()) is not None


def test_lines_of_a_large_order_are_all_read(taxes: StripeTaxes) -> None:
    found, order = taxes.calculate(asked(BERLIN, *range(100, 200))), name()
    sale = taxes.record(found.id, order, name())
    assert taxes.find(sale or "") == Entry(sale or "", order, found.total, found.added)


def test_used_reference_counts_as_recorded(taxes: StripeTaxes) -> None:
    found, order = taxes.calculate(asked()), name()
    assert taxes.record(found.id, order, name()) is not None
    assert taxes.record(found.id, order, name()) is None  # the key was forgotten


def test_unknown_place_names_the_address(taxes: StripeTaxes) -> None:
    with pytest.raises(Refused) as caught:
        taxes.calculate(asked(Address("Springfield", "US", "1 Main St", None, None, None)))
    assert list(caught.value.facts["errors"]) == ["address"]


def test_unknown_records_are_refused_or_missing(taxes: StripeTaxes) -> None:
    with pytest.raises(Refused):
        taxes.record("taxcalc_unknown", name(), name())
    with pytest.raises(Refused):
        taxes.reverse("tax_unknown", 1, name(), name())
    assert taxes.find("tax_unknown") is None


def test_shop_is_where_parcels_come_from(scripted: ScriptedServer) -> None:
    scripted.answers = [Scripted(500)]
    taxes = StripeTaxes(settings(scripted.url))
    for question, there in ((asked(shipping=None), False), (asked(), True)):
        scripted.asked.clear()
        with pytest.raises(Unavailable):
            taxes.calculate(question)
        assert (b"ship_from_details" in scripted.asked[0][3]) is there


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Scripted(500), Unavailable),
        (Scripted(drop=True), Unavailable),
        (Scripted(429), Unavailable),
        (Scripted(401, b'{"error": {}}'), ProviderFailure),
        (Scripted(200, b'{"id": "taxcalc_1", "object": "tax.calculation"}'), ProviderFailure),
    ],
)
def test_failed_calculation_is_never_an_amount(
    scripted: ScriptedServer, answer: Scripted, error: type[Exception]
) -> None:
    scripted.answers = [answer]
    with pytest.raises(error):
        StripeTaxes(settings(scripted.url)).calculate(asked())


@pytest.mark.parametrize("expires_at", [None, "soon", True])
def test_unreadable_calculation_is_refused(scripted: ScriptedServer, expires_at: Any) -> None:
    body = {"id": "taxcalc_1", "object": "tax.calculation", "expires_at": expires_at, "amount_total": 1833}
    body |= {"tax_amount_exclusive": 0, "tax_amount_inclusive": 0}
    scripted.answers = [Scripted(body=json.dumps(body).encode())]
    with pytest.raises(ProviderFailure):
        StripeTaxes(settings(scripted.url)).calculate(asked())


def test_lost_record_is_unknown(scripted: ScriptedServer) -> None:
    scripted.answers = [Scripted(500)]
    with pytest.raises(OutcomeUnknown):
        StripeTaxes(settings(scripted.url)).record("taxcalc_1", "or_1", "or_1:tax")
    assert {headers["Idempotency-Key"] for _, _, headers, _ in scripted.asked} == {"or_1:tax"}


def test_failure_kept_under_the_key_is_asked_for_under_another(scripted: ScriptedServer) -> None:
    kept = Scripted(500, b'{"error": {}}', {"Idempotent-Replayed": "true", "Stripe-Should-Retry": "false"})
    scripted.answers = [kept, Scripted(body=b'{"id": "tax_1", "object": "tax.transaction"}')]
    assert StripeTaxes(settings(scripted.url)).record("taxcalc_1", "or_1", "or_1:tax") == "tax_1"
    assert [headers["Idempotency-Key"] for _, _, headers, _ in scripted.asked] == ["or_1:tax", "or_1:tax:again"]


def test_outage_of_stripe_tax_leaves_payments_alone(scripted: ScriptedServer) -> None:
    from cart.stripe.bundle import Stripe

    scripted.answers = [Scripted(500)]
    bundle = Stripe(settings(scripted.url))
    for _ in range(3):
        with pytest.raises(Unavailable):
            bundle.taxes.calculate(asked())
    scripted.asked.clear()
    with pytest.raises(Unavailable):
        bundle.taxes.calculate(asked())
    assert scripted.asked == []  # its circuit breaker is open
    with pytest.raises(OutcomeUnknown):
        bundle.payments.find("pi_1")
    assert scripted.asked != []

"""The tours of `bench conformance`, without the providers' descriptions."""

from __future__ import annotations

import pytest

from bench.conformance import coverage, shippo_models
from bench.conformance.command import driven_sandbox
from bench.conformance.exchanges import Record
from bench.conformance.reasons import sorted_out
from bench.conformance.sandbox_process import routes
from bench.conformance.tours import Trip
from sandbox.webhooks.events import KINDS


@pytest.fixture(scope="module")
def driven() -> tuple[Record, Trip]:
    return driven_sandbox("conftest", lambda base, calling: None)


def test_every_route_of_the_sandbox_is_driven(driven: tuple[Record, Trip]) -> None:
    assert coverage.missing_routes(routes(), driven[0].exchanges) == []


def test_every_kind_of_event_arrives_and_no_other(driven: tuple[Record, Trip]) -> None:
    assert coverage.differing_events(KINDS, driven[0]) == []


def test_tours_go_as_planned(driven: tuple[Record, Trip]) -> None:
    assert driven[1].unexpected == []


def test_shippo_answers_fit_the_models_of_its_sdk(driven: tuple[Record, Trip]) -> None:
    record = driven[0]
    own = [each for each in record.exchanges if each.provider == "shippo"]
    compared, wrong, extra = shippo_models.check(own, record.webhooks)

    assert compared > 100
    assert wrong == []
    assert sorted_out(f"shippo: {each}" for each in extra)[0] == []

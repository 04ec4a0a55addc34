"""How `bench conformance` and `bench live` compare."""

from __future__ import annotations

from typing import Any

import pytest
from shippo.models import components

from bench.conformance import reasons
from bench.conformance.coverage import differing_events, missing_routes, template_of
from bench.conformance.exchanges import Exchange, Record, Webhook, flat
from bench.conformance.openapi import Description
from bench.conformance.shippo_models import wrong
from bench.conformance.stripe_fixtures import check as check_fixtures
from bench.conformance.stripe_types import Body, bodies, type_of
from bench.live.differences import differences
from bench.live.keys import accesses
from launcher.problem import Problem

ROUTES = {"stripe": [("GET", "/v1/products"), ("GET", "/v1/products/search"), ("GET", "/v1/products/{product}")]}


def exchange(path: str, status: int = 200) -> Exchange:
    return Exchange("stripe", "", "GET", path, status, {}, "")


def test_route_without_a_successful_request_is_missing() -> None:
    seen = [exchange("/v1/products"), exchange("/v1/products/search", 400), exchange("/v1/products/prod_1")]
    assert missing_routes(ROUTES, seen) == ["stripe: GET /v1/products/search"]


def test_plain_route_is_preferred_to_a_pattern() -> None:
    assert template_of(ROUTES["stripe"], "GET", "/v1/products/search") == "/v1/products/search"
    assert template_of(ROUTES["stripe"], "POST", "/v1/products") is None


def test_events_that_lack_or_are_undeclared_differ() -> None:
    record = Record(webhooks=[Webhook("shippo", "track_updated", {}), Webhook("shippo", "new", {})])
    found = differing_events({"shippo": frozenset(("track_updated", "transaction_created"))}, record)
    assert found == ["shippo: transaction_created did not arrive", "shippo: new is not declared"]


def test_form_of_nested_parameters_has_brackets() -> None:
    assert list(flat({"a": {"b": [1, True]}})) == [("a[b][0]", "1"), ("a[b][1]", "true")]


def test_types_of_stripe_objects_are_named() -> None:
    names = [type_of("payment_intent"), type_of("tax.calculation"), type_of("product", deleted=True)]
    assert names == ["PaymentIntent", "Tax.Calculation", "DeletedProduct"]


def test_partial_answer_has_a_partial_type_and_no_fixture() -> None:
    answer = Exchange("stripe", "", "GET", "/v1/payment_intents/pi_1", 200, {}, '{"object": "payment_intent"}', True)
    [body] = bodies([answer], [])
    assert body.type == "Partial<Stripe.PaymentIntent>"
    assert check_fixtures({"payment_intent": {"id": "pi_1"}}, [body]) == (0, [])


PARCEL = {
    "length": "5", "width": "5", "height": "5", "distance_unit": "in", "weight": "1", "mass_unit": "oz",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, []),
        ({"mass_unit": "stone"}, ["Parcel.mass_unit is 'stone', not in WeightUnitEnum"]),
        ({"weight": 1}, ["Parcel.weight is 1, not str"]),
        ({"weight": None}, ["Parcel.weight is None, not str"]),
        ({"colour": "red"}, ["Parcel.colour is in no model"]),
        ({"object_created": "yesterday"}, ["Parcel.object_created is 'yesterday', not a time"]),
    ],
)
def test_members_that_do_not_fit_the_sdk_model(change: dict[str, Any], says: list[str]) -> None:
    assert list(wrong(components.Parcel, {**PARCEL, **change}, "Parcel")) == says


def test_member_that_the_sdk_model_requires_is_missed() -> None:
    lacking = {name: value for name, value in PARCEL.items() if name != "length"}
    assert list(wrong(components.Parcel, lacking, "Parcel")) == ["Parcel.length is absent"]


def test_field_of_a_fixture_that_lacks_is_named() -> None:
    fixture = {"coupon": {"object": "coupon", "valid": True, "terms": {"a": 1}}}
    body = Body("", {"object": "coupon", "terms": {}}, "here")
    compared, absent = check_fixtures(fixture, [body])
    assert compared == 1
    assert absent == ["coupon.terms.a is absent [here]", "coupon.valid is absent [here]"]


def test_description_resolves_and_checks_a_body(tmp_path: Any) -> None:
    path = tmp_path / "api.json"
    path.write_text(
        '{"openapi": "3.1.0", "paths": {"/a/{id}": {"get": {}}}, "components": {"schemas": {"x":'
        ' {"type": "object", "properties": {"n": {"type": "integer", "nullable": true}}}}}}'
    )
    description = Description(path)
    schema = {"$ref": "#/components/schemas/x"}
    assert description.operation("GET", "/a/1") == {}
    assert description.operation("GET", "/b") is None
    assert description.errors(schema, {"n": None}) == []
    assert len(description.errors(schema, {"n": "1"})) == 1


def test_difference_without_a_reason_is_a_finding() -> None:
    known = "fixtures: charge.refunds is absent [GET /v1/charges]"
    findings, explained = reasons.sorted_out([known, "stripe: Product: wrong"])
    assert findings == ["stripe: Product: wrong"]
    assert list(explained.values()) == [[known]]


def test_reason_that_explains_nothing_is_a_finding() -> None:
    assert len(reasons.unused([])) == len(reasons.REASONS)
    assert len(reasons.unused(["fixtures: charge.refunds is absent"])) == len(reasons.REASONS) - 1


@pytest.mark.parametrize(
    ("real", "ours", "says"),
    [
        ({"a": 1}, {"a": 2}, []),
        ({"id": "pi_1"}, {"id": "pi_2"}, []),
        ({"status": "succeeded"}, {"status": "processing"}, [".status is 'succeeded', 'processing' in the sandbox"]),
        ({"message": "a"}, {"message": "b"}, []),
        ({"code": "SALE10A"}, {"code": "SALE10B"}, []),
        ({"a": None}, {"a": {}}, [".a is null, object in the sandbox"]),
        ({"a": True}, {"a": 1}, [".a is boolean, number in the sandbox"]),
        ({"a": 1, "b": 2}, {"a": 1}, [".b is absent in the sandbox"]),
        ({}, {"b": 2}, [".b is only in the sandbox"]),
        ({"a": [{"b": 1}, {}]}, {"a": [{"b": "1"}]}, [".a[].b is number, string in the sandbox"]),
        ({"metadata": {"a": "1"}}, {"metadata": {}}, []),
        (None, {}, ["the body is null, object in the sandbox"]),
    ],
)
def test_differences_are_of_shapes_and_enums(real: Any, ours: Any, says: list[str]) -> None:
    assert list(differences(real, ours)) == says


def test_missing_keys_are_named() -> None:
    with pytest.raises(Problem, match="STRIPE_API_KEY, TWILIO_AUTH_TOKEN"):
        accesses(("stripe", "twilio"), {"TWILIO_ACCOUNT_SID": "AC1"})


@pytest.mark.parametrize(
    ("name", "variable", "start"),
    [
        ("stripe", "STRIPE_API_KEY", "sk_live_"),
        ("stripe", "STRIPE_API_KEY", "rk_live_"),
        ("stripe", "STRIPE_API_KEY", "key_"),
        ("shippo", "SHIPPO_API_KEY", "shippo_live_"),
    ],
)
def test_keys_of_live_modes_are_refused(name: str, variable: str, start: str) -> None:
    with pytest.raises(Problem, match=f"{variable} is no key of a test mode"):
        accesses((name,), {variable: start + "1" * 20})


def test_keys_of_test_modes_reach_the_real_providers() -> None:
    keys = {"STRIPE_API_KEY": "sk_test_" + "1" * 20, "SHIPPO_API_KEY": "shippo_test_" + "1" * 20}
    found = accesses(("stripe", "shippo"), keys)
    assert {name: access.base for name, access in found.items()} == {
        "stripe": "https://api.stripe.com", "shippo": "https://api.goshippo.com",
    }  # fmt: skip
    assert found["shippo"].headers["Authorization"].startswith("ShippoToken ")

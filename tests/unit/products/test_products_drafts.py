"""New and changed products are validated, and each wrong field is named."""

from typing import Any

import pytest

from contracts.errors import InvalidRequest
from products.rules.drafts import Change, Draft
from products.rules.stock import Inventory
from tests.products import new_product

SEED = new_product()


def errors(spec: Any) -> Any:
    with pytest.raises(InvalidRequest) as refusal:
        Draft.parse(spec, "usd")
    return refusal.value.facts["errors"]


def test_the_seeds_product_is_read() -> None:
    draft = Draft.parse(SEED, "usd")
    assert draft.name == "Wally bone"
    assert draft.currency == "usd"
    assert draft.attributes == ("manufacturer", "material")
    assert dict(draft.attributes_sku) == SEED["attributes_sku"]
    assert draft.inventory == Inventory("finite", 500)
    assert draft.active is True


def test_required_fields_make_a_product() -> None:
    least = {name: SEED[name] for name in ("name", "price", "package_dimensions", "metadata")}
    draft = Draft.parse(least, "eur")
    assert draft.inventory == Inventory("infinite")
    assert draft.currency == "eur"
    assert draft.description is None


@pytest.mark.parametrize("field", ["name", "price", "package_dimensions", "metadata"])
def test_missing_required_field_is_named(field: str) -> None:
    assert errors({name: value for name, value in SEED.items() if name != field}) == {field: ["required"]}


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("name", "", ["name"]),
        ("name", "  ", ["name"]),
        ("name", 5, ["name"]),
        ("name", "x" * 251, ["name"]),
        ("name", "a\0b", ["name"]),
        ("name", "a\ud800b", ["name"]),
        ("description", 5, ["description"]),
        ("description", "x" * 5001, ["description"]),
        ("price", 0, ["price"]),
        ("price", -5, ["price"]),
        ("price", 99_999_999 + 1, ["price"]),
        ("price", 50.0, ["price"]),
        ("price", True, ["price"]),
        ("price", "50", ["price"]),
        ("currency", "dollars", ["currency"]),
        ("currency", "zzz", ["currency"]),
        ("package_dimensions", 5, ["package_dimensions"]),
        ("package_dimensions", {**SEED["package_dimensions"], "height": 0}, ["package_dimensions", "height"]),
        (
            "package_dimensions",
            {**SEED["package_dimensions"], "height": float("nan")},
            ["package_dimensions", "height"],
        ),
        ("package_dimensions", {**SEED["package_dimensions"], "height": 10**400}, ["package_dimensions", "height"]),
        ("package_dimensions", {**SEED["package_dimensions"], "height": "5"}, ["package_dimensions", "height"]),
        ("package_dimensions", {"height": 1, "length": 1, "weight": 1}, ["package_dimensions", "width"]),
        ("package_dimensions", {**SEED["package_dimensions"], "depth": 1}, ["package_dimensions", "depth"]),
        ("metadata", [], ["metadata"]),
        ("metadata", {"for": "cats"}, ["metadata", "category"]),
        ("metadata", {"category": ""}, ["metadata", "category"]),
        ("metadata", {"category": "food", "size": 5}, ["metadata", "size"]),
        ("metadata", {"category": "food", "size": "x" * 501}, ["metadata", "size"]),
        ("metadata", {"category": "food", "x" * 41: "long"}, ["metadata", "x" * 41]),
        ("metadata", {"category": "food", "a[b]": "c"}, ["metadata", "a[b]"]),
        ("metadata", {"category": "food", "shop:sku": "sku_mine"}, ["metadata", "shop:sku"]),
        ("metadata", {"category": "food", **{f"m{n}": "x" for n in range(45)}}, ["metadata"]),
        ("attributes", "material", ["attributes"]),
        ("attributes", ["manufacturer", "material", "material"], ["attributes"]),
        ("attributes", ["manufacturer", "material", ""], ["attributes"]),
        ("attributes_sku", {"colour": "red"}, ["attributes_sku", "colour"]),
        ("attributes_sku", {"material": 5}, ["attributes_sku", "material"]),
        ("images", ["wally.png"], ["images"]),
        ("images", ["https://example.com/1.png"] * 9, ["images"]),
        ("active", "yes", ["active"]),
        ("inventory", {"type": "finite", "quantity": -1}, ["inventory", "quantity"]),
        ("inventory", [], ["inventory"]),
        ("colour", "red", ["colour"]),
    ],
)
def test_a_wrong_field_is_named_as_the_caller_nested_it(field: str, value: Any, path: list[str]) -> None:
    found = errors({**SEED, field: value})
    for name in path:
        assert list(found) == [name]
        found = found[name]
    assert all(isinstance(message, str) for message in found)


def test_every_wrong_field_is_named_at_once() -> None:
    assert set(errors({"name": "", "price": 0, "colour": "red"})) == {
        *("name", "price", "colour", "package_dimensions", "metadata")
    }


@pytest.mark.parametrize(("currency", "price"), [("isk", 150), ("ugx", 99), ("kwd", 1234)])
def test_price_that_stripe_cannot_charge_is_refused(currency: str, price: int) -> None:
    assert set(errors({**SEED, "currency": currency, "price": price})) == {"price"}
    with pytest.raises(InvalidRequest) as error:
        change({"price": price}, currency=currency)
    assert set(error.value.facts["errors"]) == {"price"}


@pytest.mark.parametrize("spec", [None, [], "name"])
def test_product_that_is_no_object_is_refused(spec: Any) -> None:
    assert errors(spec)


def change(given: Any, **now: Any) -> Change:
    before = {"attributes": ["material"], "attributes_sku": {"material": "rubber"}, "metadata": {}, "currency": "usd"}
    return Change.parse(given, **{**before, **now})


def test_change_has_only_the_given_fields() -> None:
    found = change({"name": "Test_put", "metadata": {"for": ""}})
    assert found.name == "Test_put"
    assert found.metadata == {"for": ""}
    assert (found.price, found.active, found.inventory, found.images) == (None, None, None, None)


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"currency": "eur"}, ["currency"]),
        ({"id": "prod_other"}, ["id"]),
        ({"price": 0}, ["price"]),
        ({"attributes_sku": {"colour": "red"}}, ["attributes_sku", "colour"]),
        ({"attributes": ["colour"]}, ["attributes"]),
        ({"attributes": ["colour"], "attributes_sku": {"material": "wood"}}, ["attributes_sku", "material"]),
        ({"metadata": {"shop:removed": "true"}}, ["metadata", "shop:removed"]),
    ],
)
def test_a_wrong_change_is_refused(given: Any, path: list[str]) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        change(given)
    found = refusal.value.facts["errors"]
    for name in path:
        assert list(found) == [name]
        found = found[name]


def test_new_attributes_may_come_with_their_values() -> None:
    found = change({"attributes": ["colour"], "attributes_sku": {"colour": "red"}})
    assert found.attributes == ["colour"]
    assert found.attributes_sku == {"colour": "red"}


def test_metadata_limit_counts_the_merged_keys() -> None:
    full = {f"m{n}": "x" for n in range(45)}
    with pytest.raises(InvalidRequest):
        change({"metadata": {"one": "more"}}, metadata=full)
    assert change({"metadata": {"one": "more", "m0": ""}}, metadata=full).metadata == {"one": "more", "m0": ""}

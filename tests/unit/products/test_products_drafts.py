"""What must be true of new and changed products; each wrong field is named."""

from typing import Any

import pytest

from contracts.errors import InvalidRequest
from products.rules.catalog import Product
from products.rules.drafts import Change, Draft, SkuChange, SkuDraft
from products.rules.stock import Inventory
from tests.products import DIMENSIONS, new_product, product, variant, variants

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
    (sku,) = draft.skus
    assert (sku.price, sku.attributes, sku.inventory) == (50, SEED["attributes_sku"], Inventory("finite", 500))
    assert (draft.active, draft.shippable) == (True, True)


def test_required_fields_make_a_product() -> None:
    least = {name: SEED[name] for name in ("name", "price", "package_dimensions", "metadata")}
    draft = Draft.parse(least, "eur")
    assert draft.skus[0].inventory == Inventory("infinite")
    assert draft.currency == "eur"
    assert draft.description is None


@pytest.mark.parametrize("field", ["name", "price", "package_dimensions"])
def test_missing_required_field_is_named(field: str) -> None:
    assert errors({name: value for name, value in SEED.items() if name != field}) == {field: ["required"]}


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("name", "  ", ["name"]),
        ("name", 5, ["name"]),
        ("price", 0, ["price"]),
        ("price", 99_999_999 + 1, ["price"]),
        ("price", 50.0, ["price"]),
        ("price", True, ["price"]),
        ("price", "50", ["price"]),
        ("currency", "dollars", ["currency"]),
        ("currency", "zzz", ["currency"]),
        ("currency", 5, ["currency"]),
        ("package_dimensions", 5, ["package_dimensions"]),
        ("package_dimensions", {**DIMENSIONS, "height": 0}, ["package_dimensions", "height"]),
        ("package_dimensions", {**DIMENSIONS, "height": float("nan")}, ["package_dimensions", "height"]),
        ("package_dimensions", {**DIMENSIONS, "height": 10**400}, ["package_dimensions", "height"]),
        ("package_dimensions", {"height": 1, "length": 1, "weight": 1}, ["package_dimensions", "width"]),
        ("package_dimensions", {**DIMENSIONS, "depth": 1}, ["package_dimensions", "depth"]),
        ("metadata", {"category": "food", "shop:sku": "sku_mine"}, ["metadata", "shop:sku"]),
        ("attributes", [f"{'attribute' * 8} {number}" for number in range(10)], ["attributes"]),
        ("attributes_sku", {"colour": "red"}, ["attributes_sku", "colour"]),
        ("attributes_sku", {"material": "x" * 300, "manufacturer": "y" * 300}, ["attributes_sku"]),
        ("inventory", {"type": "finite", "quantity": -1}, ["inventory", "quantity"]),
        ("inventory", [], ["inventory"]),
        ("colour", "red", ["colour"]),
    ],
)
def test_a_wrong_field_is_named_as_the_caller_nested_it(field: str, value: Any, path: list[str]) -> None:
    found = errors({**SEED, field: value})
    for name in path:
        assert name in found
        found = found[name]
    assert all(isinstance(message, str) for message in found)


def test_every_wrong_field_is_named_at_once() -> None:
    assert set(errors({"price": 0, "colour": "red"})) == {"name", "price", "colour", "package_dimensions"}


@pytest.mark.parametrize(("currency", "price"), [("isk", 150), ("ugx", 99), ("kwd", 1234)])
def test_price_that_stripe_cannot_charge_is_refused(currency: str, price: int) -> None:
    assert set(errors({**SEED, "currency": currency, "price": price})) == {"price"}
    assert set(errors(variants("s", currency=currency, skus=[{"price": price}]))) == {"skus"}


@pytest.mark.parametrize("spec", [None, [], "name"])
def test_product_that_is_no_object_is_refused(spec: Any) -> None:
    assert errors(spec)


# Several SKUs


def test_skus_are_read_in_their_order() -> None:
    image = "https://example.com/s.png"
    spec = variants("s", "m")
    spec["skus"][0] |= {"image": image, "package_dimensions": DIMENSIONS}
    first, second = Draft.parse(spec, "usd").skus
    assert (first.attributes, first.image, first.package_dimensions) == ({"size": "s"}, image, DIMENSIONS)
    assert (second.attributes, second.image, second.package_dimensions) == ({"size": "m"}, None, None)
    assert second.inventory == Inventory("finite", 5)


@pytest.mark.parametrize("field", ["price", "attributes_sku", "inventory"])
def test_fields_of_an_only_sku_do_not_go_with_skus(field: str) -> None:
    assert set(errors(variants("s", "m", **{field: new_product()[field]}))) == {field}


@pytest.mark.parametrize(
    ("sku", "field"),
    [
        ({"attributes": {"size": "s"}, "price": 50}, "attributes"),
        ({"attributes": {"material": "wool"}, "price": 50}, "attributes"),
        ({"attributes": {"size": "m"}}, "price"),
        ({"attributes": {"size": "m"}, "price": 0}, "price"),
        ({"price": 50, "inventory": {"type": "finite"}}, "inventory"),
        ({"price": 50, "package_dimensions": {}}, "package_dimensions"),
        ({"price": 50, "id": "sku_mine"}, "id"),
    ],
)
def test_wrong_sku_is_named_by_its_place(sku: dict[str, Any], field: str) -> None:
    spec = variants("s")
    spec["skus"].append(sku)
    found = errors(spec)
    assert list(found) == ["skus"]
    assert list(found["skus"]) == ["1"]
    assert list(found["skus"]["1"]) == [field]


@pytest.mark.parametrize("count", [0, 101])
def test_number_of_skus_is_limited(count: int) -> None:
    assert set(errors(variants(*map(str, range(count))))) == {"skus"}
    assert len(Draft.parse(variants(*map(str, range(100))), "usd").skus) == 100


def test_digital_product_has_no_package() -> None:
    digital = {name: value for name, value in SEED.items() if name != "package_dimensions"} | {"shippable": False}
    draft = Draft.parse(digital, "usd")
    assert (draft.shippable, draft.package_dimensions) == (False, None)
    assert set(errors({**SEED, "shippable": False})) == {"package_dimensions"}
    own = variants("s", shippable=False)
    del own["package_dimensions"]
    own["skus"][0]["package_dimensions"] = DIMENSIONS
    assert errors(own) == {"skus": {"0": {"package_dimensions": ["only for a product that is shipped"]}}}


# Changes


def bone(**document: Any) -> Product:
    return product(1, attributes={"material": "rubber"}, **document)


def shirt() -> Product:
    return product(1, attributes={"size": "s"}, more=[variant("m", size="m")])


def refused(given: Any, now: Product) -> Any:
    with pytest.raises(InvalidRequest) as refusal:
        Change.parse(given, now)
    return refusal.value.facts["errors"]


def test_change_has_only_the_given_fields() -> None:
    found = Change.parse({"name": "Test_put", "metadata": {"for": ""}}, bone())
    assert found.name == "Test_put"
    assert found.metadata == {"for": ""}
    assert (found.sku, found.active, found.images) == (None, None, None)


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
        ({"shippable": False, "package_dimensions": DIMENSIONS}, ["package_dimensions"]),
    ],
)
def test_a_wrong_change_is_refused(given: Any, path: list[str]) -> None:
    found = refused(given, bone())
    for name in path:
        assert list(found) == [name]
        found = found[name]


def test_new_attributes_may_come_with_their_values() -> None:
    found = Change.parse({"attributes": ["colour"], "attributes_sku": {"colour": "red"}}, bone())
    assert found.attributes == ("colour",)
    assert found.sku == SkuChange(attributes={"colour": "red"})


def test_metadata_limit_counts_the_merged_keys() -> None:
    full = bone(metadata={f"m{n}": "x" for n in range(45)})
    assert set(refused({"metadata": {"one": "more"}}, full)) == {"metadata"}
    assert Change.parse({"metadata": {"one": "more", "m0": ""}}, full).metadata == {"one": "more", "m0": ""}


@pytest.mark.parametrize("field", ["price", "attributes_sku", "inventory"])
def test_change_of_a_sku_names_it_when_there_are_several(field: str) -> None:
    assert set(refused({field: new_product()[field], "name": "Renamed"}, shirt())) == {field}


def test_attribute_that_any_sku_has_cannot_be_removed() -> None:
    assert set(refused({"attributes": ["colour"]}, shirt())) == {"attributes"}
    assert Change.parse({"attributes": ["colour", "size"]}, shirt()).attributes == ("colour", "size")


def test_product_that_is_shipped_again_needs_a_package() -> None:
    digital = bone(shippable=False, package_dimensions=None)
    assert refused({"shippable": True}, digital) == {"package_dimensions": ["required"]}
    assert Change.parse({"shippable": True, "package_dimensions": DIMENSIONS}, digital).shippable is True
    assert Change.parse({"shippable": False}, bone()).package_dimensions == {}
    assert Change.parse({"name": "Renamed"}, digital) == Change(name="Renamed")


# A SKU


def test_new_sku_must_differ_from_the_others() -> None:
    draft = SkuDraft.parse({"price": 60, "attributes": {"size": "l"}}, shirt())
    assert (draft.price, draft.attributes, draft.inventory) == (60, {"size": "l"}, Inventory("infinite"))
    for given, field in (
        ({"price": 60, "attributes": {"size": "m"}}, "attributes"),
        ({"price": 60, "attributes": {"fabric": "wool"}}, "attributes"),
        ({"attributes": {"size": "l"}}, "price"),
        ({"price": 60, "currency": "eur"}, "currency"),
    ):
        with pytest.raises(InvalidRequest) as refusal:
            SkuDraft.parse(given, shirt())
        assert list(refusal.value.facts["errors"]) == [field]


def test_changed_sku_must_differ_from_the_others() -> None:
    now = shirt()
    assert SkuChange.parse({"attributes": {"size": "s"}}, now, now.skus[0]).attributes == {"size": "s"}
    with pytest.raises(InvalidRequest) as refusal:
        SkuChange.parse({"attributes": {"size": "m"}}, now, now.skus[0])
    assert list(refusal.value.facts["errors"]) == ["attributes"]


def test_null_removes_the_image_and_package_of_a_sku() -> None:
    now = shirt()
    found = SkuChange.parse({"image": None, "package_dimensions": None}, now, now.skus[1])
    assert found == SkuChange(image="", package_dimensions={})

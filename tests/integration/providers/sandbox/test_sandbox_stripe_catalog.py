"""Stripe's products and prices in the sandbox, through Stripe's own SDK."""

from __future__ import annotations

import uuid

import pytest
import stripe

from tests.integration.providers.sandbox.process import Sdks

DIMENSIONS = {"height": 5.0, "length": 5.0, "weight": 5.0, "width": 5.5}


def new_product(sdks: Sdks, **more: object) -> stripe.Product:
    return sdks.stripe.v1.products.create({"name": f"Wally {uuid.uuid4().hex[:8]}", **more})  # type: ignore[typeddict-item]


def test_a_product_is_created_updated_and_read_back(sdks: Sdks) -> None:
    own_id = f"prod_{uuid.uuid4().hex[:14]}"
    made = new_product(
        sdks, id=own_id, description="A bone", package_dimensions=DIMENSIONS, shippable=True, url="https://a.example",
        images=["https://a.example/1.png"], metadata={"category": "food", "for": "cats", "7": "digits"},
    )  # fmt: skip
    assert made.id == own_id
    assert made.package_dimensions is not None
    assert made.package_dimensions.to_dict() == DIMENSIONS

    changed = sdks.stripe.v1.products.update(
        own_id,
        {"name": "New", "description": "", "images": "", "active": False, "metadata": {"for": "", "type": "bone"}},
    )

    assert changed.to_dict() == sdks.stripe.v1.products.retrieve(own_id).to_dict()
    assert (changed.name, changed.description, changed.images, changed.active) == ("New", None, [], False)
    assert changed.metadata.to_dict() == {"category": "food", "7": "digits", "type": "bone"}
    assert sdks.stripe.v1.products.update(own_id, {"metadata": ""}).metadata.to_dict() == {}


def test_the_same_product_id_is_refused(sdks: Sdks) -> None:
    made = new_product(sdks)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        new_product(sdks, id=made.id)
    assert (refusal.value.code, refusal.value.param, refusal.value.http_status) == (
        "resource_already_exists",
        "id",
        400,
    )


def test_only_a_product_without_a_price_can_be_deleted(sdks: Sdks) -> None:
    made = new_product(sdks)
    price = sdks.stripe.v1.prices.create({"product": made.id, "currency": "usd", "unit_amount": 50})
    sdks.stripe.v1.prices.update(price.id, {"active": False})
    with pytest.raises(stripe.InvalidRequestError, match="one or more user-created prices"):
        sdks.stripe.v1.products.delete(made.id)

    bare = new_product(sdks)
    assert sdks.stripe.v1.products.delete(bare.id).to_dict() == {"id": bare.id, "object": "product", "deleted": True}
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        sdks.stripe.v1.products.retrieve(bare.id)
    assert (refusal.value.http_status, refusal.value.code, refusal.value.param) == (404, "resource_missing", "id")
    with pytest.raises(stripe.InvalidRequestError, match="No such product"):
        sdks.stripe.v1.products.delete(bare.id)


def test_lists_are_newest_first_and_paged_both_ways(sdks: Sdks) -> None:
    mark = f"https://{uuid.uuid4().hex}.example"
    ids = [new_product(sdks, url=mark).id for _ in range(5)]
    newest_first = ids[::-1]

    page = sdks.stripe.v1.products.list({"url": mark, "limit": 2})
    assert ([one.id for one in page.data], page.has_more, page.url) == (newest_first[:2], True, "/v1/products")
    after = sdks.stripe.v1.products.list({"url": mark, "limit": 3, "starting_after": newest_first[1]})
    assert ([one.id for one in after.data], after.has_more) == (newest_first[2:], False)
    before = sdks.stripe.v1.products.list({"url": mark, "limit": 2, "ending_before": newest_first[3]})
    assert ([one.id for one in before.data], before.has_more) == (newest_first[1:3], True)
    everything = sdks.stripe.v1.products.list({"url": mark, "limit": 2}).auto_paging_iter()
    assert [one.id for one in everything] == newest_first
    # A product keeps its place when it changes.
    sdks.stripe.v1.products.update(ids[0], {"name": "changed"})
    assert [one.id for one in sdks.stripe.v1.products.list({"url": mark}).data] == newest_first


@pytest.mark.parametrize("limit", [0, 101, -1])
def test_a_limit_outside_1_to_100_is_refused(sdks: Sdks, limit: int) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        sdks.stripe.v1.products.list({"limit": limit})
    assert refusal.value.param == "limit"


def test_lists_are_filtered(sdks: Sdks) -> None:
    mark = f"https://{uuid.uuid4().hex}.example"
    live, dead = new_product(sdks, url=mark), new_product(sdks, url=mark, active=False)

    def ids(**filters: object) -> set[str]:
        return {one.id for one in sdks.stripe.v1.products.list({"url": mark, **filters}).data}  # type: ignore[typeddict-item]

    assert ids(active=True) == {live.id}
    assert ids(active=False) == {dead.id}
    assert ids(ids=[dead.id]) == {dead.id}
    assert ids(created={"gte": live.created}) == {live.id, dead.id}
    assert ids(created={"gt": dead.created + 5}) == set()


def test_search_finds_by_metadata_name_and_negation(sdks: Sdks) -> None:
    mark = uuid.uuid4().hex
    bone = new_product(sdks, metadata={"mark": mark, "category": "toys"}, description="For small dogs")
    fish = new_product(sdks, metadata={"mark": mark, "category": "food"}, active=False)

    def found(query: str) -> set[str]:
        return {one.id for one in sdks.stripe.v1.products.search({"query": query, "limit": 100}).data}

    assert found(f"metadata['mark']:'{mark}'") == {bone.id, fish.id}
    assert found(f"metadata['mark']:'{mark}' AND -active:'true'") == {fish.id}
    assert found(f'metadata["mark"]:"{mark}" AND description~\'SMALL\'') == {bone.id}
    assert found(f"name:'{bone.name}' OR name:'{fish.name}'") == {bone.id, fish.id}
    for wrong in ("name", "colour:'red'", "name:'a' AND active:'true' OR name:'b'"):
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            found(wrong)
        assert refusal.value.param == "query"


def test_lookup_key_moves_to_the_price_that_takes_it(sdks: Sdks) -> None:
    product = new_product(sdks)
    key = f"sku_{uuid.uuid4().hex[:14]}"
    first = sdks.stripe.v1.prices.create(
        {"product": product.id, "currency": "USD", "unit_amount": 50, "lookup_key": key, "metadata": {"a": "1"}}
    )
    assert (first.unit_amount, first.currency, first.lookup_key, first.type) == (50, "usd", key, "one_time")
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        sdks.stripe.v1.prices.create({"product": product.id, "currency": "usd", "unit_amount": 60, "lookup_key": key})
    assert refusal.value.param == "lookup_key"

    second = sdks.stripe.v1.prices.create(
        {"product": product.id, "currency": "usd", "unit_amount": 60, "lookup_key": key, "transfer_lookup_key": True}
    )
    sdks.stripe.v1.prices.update(first.id, {"active": False, "nickname": "old", "metadata": {"a": "", "b": "2"}})

    found = sdks.stripe.v1.prices.list({"lookup_keys": [key], "expand": ["data.product"]}).data
    assert [price.id for price in found] == [second.id]
    assert isinstance(found[0].product, stripe.Product)
    assert found[0].product.id == product.id
    old = sdks.stripe.v1.prices.retrieve(first.id)
    assert (old.lookup_key, old.active, old.nickname, old.metadata.to_dict()) == (None, False, "old", {"b": "2"})
    active = sdks.stripe.v1.prices.list({"product": product.id, "active": True}).data
    assert [price.id for price in active] == [second.id]


def test_default_price_cannot_be_archived(sdks: Sdks) -> None:
    product = new_product(sdks, default_price_data={"currency": "usd", "unit_amount": 75})
    assert isinstance(product.default_price, str)
    assert sdks.stripe.v1.prices.retrieve(product.default_price).unit_amount == 75
    with pytest.raises(stripe.InvalidRequestError, match="default price"):
        sdks.stripe.v1.prices.update(product.default_price, {"active": False})


# "{product}" stands for the id of a product that exists.
PRICE = {"currency": "usd", "product": "{product}", "unit_amount": "5"}


@pytest.mark.parametrize(
    ("form", "code", "param"),
    [
        ({"unit_amount": "5"}, "parameter_missing", "currency"),
        ({"currency": "usd", "unit_amount": "5"}, "parameter_missing", "product"),
        ({"currency": "usd", "product": "{product}"}, "parameter_missing", "unit_amount"),
        ({**PRICE, "product": "prod_none"}, "resource_missing", "product"),
        ({**PRICE, "unit_amount": "4.5"}, "parameter_invalid_integer", "unit_amount"),
        ({**PRICE, "currency": "xxx"}, None, "currency"),
        ({**PRICE, "active": "yes"}, None, "active"),
        ({**PRICE, "colour": "red"}, "parameter_unknown", "colour"),
        ({**PRICE, "metadata": "x"}, None, "metadata"),
        ({**PRICE, "nickname": ""}, "parameter_invalid_empty", "nickname"),
        ({**PRICE, "a[b": "x"}, None, "a[b"),
    ],
)
def test_invalid_price_parameter_is_refused(sdks: Sdks, form: dict[str, str], code: str | None, param: str) -> None:
    product = new_product(sdks).id
    filled = {name: value.format(product=product) if "{" in value else value for name, value in form.items()}

    answer = sdks.post("/stripe/v1/prices", data=filled, headers={"Authorization": "Bearer sk_sandbox"})

    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error.get("code"), error["param"]) == (
        400, "invalid_request_error", code, param,
    )  # fmt: skip
    assert error["message"]
    assert ("doc_url" in error) == (code is not None)
    assert error["request_log_url"].endswith(answer.headers["Request-Id"])


def test_metadata_beyond_its_limits_is_refused(sdks: Sdks) -> None:
    most = {f"key{number:02}" + "k" * 35: "v" * 500 for number in range(50)}
    product = new_product(sdks, metadata=most)
    assert product.metadata.to_dict() == most
    for wrong in ({**most, "one more": "x"}, {"k" * 41: "x"}, {"k": "v" * 501}):
        with pytest.raises(stripe.InvalidRequestError, match="Metadata"):
            new_product(sdks, metadata=wrong)
    with pytest.raises(stripe.InvalidRequestError, match="at most 50"):
        sdks.stripe.v1.products.update(product.id, {"metadata": {"one more": "x"}})


def test_expanding_a_plain_field_is_refused(sdks: Sdks) -> None:
    product = new_product(sdks)
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        sdks.stripe.v1.products.retrieve(product.id, {"expand": ["name"]})

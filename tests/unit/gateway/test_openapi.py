"""The OpenAPI document: it describes every route, and says what the routes check."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from cart.discounts.codes import DiscountCodes
from cart.rules.order import OrderTax, _tax_line
from chassis.settings import Settings
from contracts import errors as failures
from contracts.errors import InvalidRequest
from gateway import api, errors, fields, schemas
from gateway.openapi import document
from gateway.openapi.document import Variant, build
from gateway.openapi.introduction import TEST_CARDS, unwrapped
from gateway.openapi.json_schema import of_rules, of_shape
from gateway.openapi.objects import OBJECTS
from gateway.openapi.operations import (
    ADDRESS,
    BEARER,
    CART,
    CUSTOMER,
    DISCOUNT,
    ORDER,
    PRODUCT,
    READER,
    SKU_OF_PRODUCT,
    SMS,
    operations,
)
from gateway.routing import BOUNDS
from gateway.routing import api as hug_api
from gateway.shape import Shape
from launcher.place import ROOT
from products.rules.drafts import Change, Draft, SkuChange, SkuDraft
from sandbox.stripe.cards import card_named
from tests.products import product

if TYPE_CHECKING:
    from cart.store.unit_of_work import CartStore

SETTINGS = Settings.load(ROOT / "config.yml")
DOCUMENT = build(Variant.of(SETTINGS))
PAYMENT = schemas.payment(SETTINGS.in_use)
DESCRIBED = operations(PAYMENT)


def routes() -> Iterator[tuple[str, str, Any]]:
    assert api.ROUTES
    for urls in hug_api.http.routes.values():
        for url, verbs in urls.items():
            yield from ((verb, url, versions[None].interface.spec) for verb, versions in verbs.items())


def example_of_answer(verb: str, url: str) -> Any:
    answer = next(answer for code, answer in DOCUMENT["paths"][url][verb]["responses"].items() if code < "300")
    return answer["content"]["application/json"]["example"]


def fits(schema: dict[str, Any], value: Any) -> bool:
    """Whether a value fits a schema of the document."""
    whole = {**schema, "components": DOCUMENT["components"]}
    return Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER).is_valid(value)


def test_document_is_valid_openapi() -> None:
    validate(DOCUMENT)  # type: ignore[arg-type]
    assert DOCUMENT["openapi"] == "3.1.0"


def test_every_route_is_described_and_no_other() -> None:
    assert set(DESCRIBED) == {(verb, url) for verb, url, _ in routes()}
    assert {(verb.upper(), path) for path, verbs in DOCUMENT["paths"].items() for verb in verbs} == {
        (verb, document.public(url)) for verb, url in DESCRIBED
    }


@pytest.mark.parametrize(
    ("verb", "url", "function"), [*routes()], ids=lambda value: value if isinstance(value, str) else value.__name__
)
def test_route_checks_what_its_description_says(verb: str, url: str, function: Any) -> None:
    operation, names = DESCRIBED[verb, url], function.__code__.co_names
    checked = {name for name in names if isinstance(getattr(schemas, name, None), Shape)}
    said = [shape for shape in (operation.body, operation.query) if isinstance(shape, Shape) and shape is not PAYMENT]
    if url != "/api/shipments" or verb != "POST":  # it finds the order first
        assert {id(getattr(schemas, name)) for name in checked} == {id(shape) for shape in said}
    assert operation.keyed == ("effect" in names and verb == "POST")
    assert (operation.of == CART) == ("cart_id" in names)
    assert (operation.of == ORDER) == ("cart_id_or_admin" in names)
    assert (operation.of == READER) == bool({"reader", "_own"} & {*names})
    assert (operation.of == BEARER) == ("token" in names)
    assert operation.needs_body == ("optional_body" not in names or url.endswith("refund"))


def test_every_operation_has_a_summary_and_an_id_of_its_own() -> None:
    found = [operation for verbs in DOCUMENT["paths"].values() for operation in verbs.values()]
    assert all(len(operation["summary"]) > 10 for operation in found)
    assert len({operation["operationId"] for operation in found}) == len(found) > 25


def test_every_failure_of_the_gateway_has_a_response() -> None:
    statuses = {int(status) for status in DOCUMENT["components"]["responses"]}
    assert statuses == {400, 401, 402, 403, 404, 408, 409, 413, 414, 415, 422, 429, 431, 500, 502, 503, 504}
    for status, response in DOCUMENT["components"]["responses"].items():
        media = response["content"]["application/problem+json"]
        titles = response["description"].removesuffix(".").split("; ")
        assert len({*titles}) == len(titles), status
        for name, example in media["examples"].items():
            assert fits(media["schema"], example["value"]), name
        assert {f"urn:shop:problem:{name}" for name in media["examples"]} == {
            *media["schema"]["properties"]["type"]["enum"]
        }, status


def test_example_of_a_problem_shows_the_members_that_programs_need() -> None:
    shown = {
        name: example["value"].keys()
        for response in DOCUMENT["components"]["responses"].values()
        for name, example in response["content"]["application/problem+json"]["examples"].items()
    }
    for kind in (failures.InvalidRequest, failures.PaymentDeclined, failures.PaymentActionRequired, failures.KeyReused):
        assert shown[errors.KINDS[kind].name] >= {*errors.KINDS[kind].facts}, kind


def test_admin_routes_need_a_key_only_where_keys_are_set() -> None:
    guarded = build(Variant.of(replace(SETTINGS, admin_api_keys=("k" * 24,))))
    for url, verbs in BOUNDS.items():
        for verb, bounds in verbs.items():
            open_one = DOCUMENT["paths"][document.public(url)][verb.lower()]
            keyed = guarded["paths"][document.public(url)][verb.lower()]
            assert "security" not in open_one
            assert "401" not in open_one["responses"]
            assert (keyed.get("security") == [{"adminKey": []}]) == bounds.admin == ("401" in keyed["responses"])


def test_every_body_has_an_example_that_its_route_accepts() -> None:
    for (verb, url), operation in DESCRIBED.items():
        if isinstance(operation.body, Shape):
            assert operation.body.check(operation.example) == operation.example, (verb, url)
        if operation.body:
            assert operation.body_schema is not None
            assert fits(operation.body_schema, operation.example), (verb, url)


def test_every_answer_has_an_example_that_fits() -> None:
    examples = document._examples()
    objects = {operation.shows or operation.gives: operation.gives for operation in DESCRIBED.values()}
    assert {name for name in objects if "/" not in name} - {"Document"} == set(examples)
    for name, example in examples.items():
        schema = {**OBJECTS[objects[name]], "components": DOCUMENT["components"]}
        assert [error.message for error in Draft202012Validator(schema).iter_errors(example)] == [], name


@pytest.mark.parametrize(
    ("verb", "url", "status", "has_label"),
    [
        ("post", "/api/cart/checkout/", "created", False),
        ("put", "/api/cart/shipping/", "created", False),
        ("post", "/api/cart/paid/", "paid", True),
        ("get", "/api/orders/{order_id}/", "paid", True),
        ("post", "/api/orders/{order_id}/cancel/", "canceled", False),
        ("post", "/api/orders/{order_id}/refund/", "returned", False),
    ],
)
def test_example_of_an_order_is_as_its_route_answers(verb: str, url: str, status: str, has_label: bool) -> None:
    order = example_of_answer(verb, url)
    assert (order["status"], "label_url" in order, "notifications" in order) == (status, has_label, has_label)


def test_example_of_orders_in_a_list_has_no_deliveries() -> None:
    deliveries = {"label_url", "labels", "notifications"}
    assert [deliveries & {*order} for order in example_of_answer("get", "/api/orders/")["data"]] == [set()]


@pytest.mark.parametrize("name", ["label_url", "labels", "notifications"])
def test_order_says_which_answers_show_its_deliveries(name: str) -> None:
    said = OBJECTS["Order"]["description"]
    assert name not in OBJECTS["Order"]["required"]
    assert {f"`{name}`", "`POST /api/cart/paid/`", "`GET /api/orders/{order_id}/`"} <= {*re.findall("`[^`]+`", said)}


def test_examples_of_removals_show_what_is_left() -> None:
    assert example_of_answer("delete", "/api/cart/") == example_of_answer("delete", "/api/cart/{product_id}/") == []
    summary = example_of_answer("delete", "/api/cart/discount/")
    assert (summary["discount_code"], summary["discount"], summary["total"]) == (None, 0, summary["subtotal"])


@pytest.mark.parametrize("included", [None, False, True])
def test_description_of_a_line_has_each_text_of_a_tax_line(included: bool | None) -> None:
    line = _tax_line(None if included is None else OrderTax("taxcalc_1", 16, included, 0, {}), "usd")
    assert f"`{line.description}`" in OBJECTS["OrderItem"]["properties"]["description"]["description"]


def test_operations_for_admins_say_so_while_no_key_is_set() -> None:
    for url, verbs in BOUNDS.items():
        for verb, bounds in verbs.items():
            said = DOCUMENT["paths"][document.public(url)][verb.lower()].get("description", "")
            assert said.endswith(document.OPEN_TO_ALL) == bounds.admin, (verb, url)
    guarded = build(Variant.of(replace(SETTINGS, admin_api_keys=("k" * 24,))))
    assert document.OPEN_TO_ALL not in str(guarded)


def test_every_query_parameter_has_a_description() -> None:
    found = [
        each for verbs in DOCUMENT["paths"].values() for operation in verbs.values() for each in operation["parameters"]
    ]
    assert [each["name"] for each in found if each.get("in") == "query" and not each.get("description")] == []


def test_fields_that_a_shopper_sends_are_described() -> None:
    named = {"name", "email", "address", "line1", "line2", "city", "order_id"}
    for operation in DESCRIBED.values():
        if operation.of == CART and operation.body_schema is not None:
            fields_of = operation.body_schema["properties"]
            whole = {**fields_of, **fields_of.get("address", {}).get("properties", {})}
            assert {name for name, schema in whole.items() if "description" not in schema} <= named


def test_paragraphs_of_descriptions_are_on_one_line() -> None:
    assert (
        unwrapped("""One
        sentence.

        ## A title
        1. First
           thing
        - another
        """)
        == "One sentence.\n\n## A title\n1. First thing\n- another"
    )


@pytest.mark.parametrize(("card", "outcome"), TEST_CARDS.items())
def test_test_card_does_at_the_sandbox_what_the_document_says(card: str, outcome: str) -> None:
    played = card_named(card)
    assert played is not None
    asked = "the bank requires a confirmation" if played.authentication else "paid"
    assert outcome == ("declined" if played.decline else asked)


def test_only_the_sandboxs_payments_show_test_cards() -> None:
    live = build(Variant.of(replace(SETTINGS, stripe=replace(SETTINGS.stripe, live=True))))
    other = build(Variant.of(replace(SETTINGS, in_use={**SETTINGS.in_use, "PAYMENT_PROVIDER": ("own.module:Own",)})))
    assert "pm_card_authenticationRequired" in DOCUMENT["info"]["description"]
    for document_of_another in (live, other):
        assert "pm_card_authenticationRequired" not in document_of_another["info"]["description"]


def test_the_introduction_names_only_routes_that_exist() -> None:
    for verb, path in re.findall(r"`(GET|POST|PUT|DELETE) (/\S+)`", DOCUMENT["info"]["description"]):
        assert verb.lower() in DOCUMENT["paths"][path]


def test_version_is_the_packages() -> None:
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert DOCUMENT["info"]["version"] == packaged


def test_rule_without_json_schema_is_refused() -> None:
    with pytest.raises(ValueError, match="contains"):
        of_rules({"type": "list", "contains": ["a"]})


FINITE = {"type": "finite", "quantity": 1}
DIMENSIONS = {"height": 5, "length": 5, "width": 5, "weight": 5}
UNPRICED_UNSENT = {
    "name": "Squeaky whale",
    "metadata": {"category": "toys"},
    "shippable": False,
    "attributes": ["material"],
}
UNPRICED = {**UNPRICED_UNSENT, "shippable": True, "package_dimensions": DIMENSIONS}
UNSENT = {"name": "Song", "metadata": {"category": "music"}, "shippable": False, "price": 50}
WHOLE = {
    id(schemas.PRODUCT): PRODUCT,
    id(schemas.SKU): SKU_OF_PRODUCT,
    id(schemas.DISCOUNT): DISCOUNT,
    id(schemas.CHECKOUT): CUSTOMER,
    id(schemas.SMS_MESSAGE): SMS,
}
SOLD = product(1, attributes={"material": "rubber"})
# What services check of the bodies that the gateway passes on (`gateway.shape.said`).
SERVICES = {
    id(schemas.PRODUCT): lambda sent: Draft.parse(sent, "usd"),
    id(schemas.PRODUCT_CHANGES): lambda sent: Change.parse(sent, SOLD),
    id(schemas.SKU): lambda sent: SkuDraft.parse(sent, SOLD),
    id(schemas.SKU_CHANGES): lambda sent: SkuChange.parse(sent, SOLD, SOLD.skus[0]),
    id(schemas.DISCOUNT): lambda sent: DiscountCodes(cast("CartStore", None), None, lambda: 0.0)._terms(sent),
}


@pytest.mark.parametrize(
    ("shape", "changes"),
    [
        (schemas.PRODUCT, {}),
        (schemas.PRODUCT, {"name": " "}),
        (schemas.PRODUCT, {"name": "two\nlines"}),
        (schemas.PRODUCT, {"name": "hidden\u200bspace"}),
        (schemas.PRODUCT, {"name": "a\u200db"}),
        (schemas.PRODUCT, {"name": "\U000e0041"}),
        (schemas.PRODUCT, {"name": "n" * 251}),
        (schemas.PRODUCT, {"name": None}),
        (schemas.PRODUCT, {"colour": "blue"}),
        (schemas.PRODUCT, {"description": None}),
        (schemas.PRODUCT, {"description": "two\nlines"}),
        (schemas.PRODUCT, {"description": "\x00"}),
        (schemas.PRODUCT, {"price": 0}),
        (schemas.PRODUCT, {"price": True}),
        (schemas.PRODUCT, {"price": 1.5}),
        (schemas.PRODUCT, {"currency": "EUR"}),
        (schemas.PRODUCT, {"currency": "euro"}),
        (schemas.PRODUCT, {"metadata": {}}),
        (schemas.PRODUCT, {"metadata": {"category": " "}}),
        (schemas.PRODUCT, {"metadata": {"category": "toys", "a[b]": "c"}}),
        (schemas.PRODUCT, {"metadata": {"category": "toys", "": "c"}}),
        (schemas.PRODUCT, {"metadata": {"category": "toys"} | {str(place): "" for place in range(45)}}),
        (schemas.PRODUCT, {"attributes": ["size", "size"]}),
        (schemas.PRODUCT, {"images": ["https://shop.example/a.png"]}),
        (schemas.PRODUCT, {"images": ["ftp://shop.example/a.png"]}),
        (schemas.PRODUCT, {"package_dimensions": {"height": 0, "length": 1, "width": 1, "weight": 1}}),
        (schemas.PRODUCT, {"package_dimensions": {"height": 1, "length": 1, "width": 1}}),
        (schemas.PRODUCT, {"inventory": {**FINITE, "value": None}}),
        (schemas.PRODUCT, {"inventory": {**FINITE, "value": "limited"}}),
        (schemas.PRODUCT, {"inventory": {"type": "finite"}}),
        (schemas.PRODUCT, {"inventory": {"type": "bucket", "value": "limited"}}),
        (schemas.PRODUCT, {"inventory": {"type": "bucket", "quantity": 1, "value": "limited"}}),
        (schemas.PRODUCT, {"inventory": {"type": "infinite"}}),
        (schemas.PRODUCT, {"inventory": {"type": "infinite", "quantity": 1}}),
        (schemas.PRODUCT, {"inventory": {"type": "none"}}),
        (schemas.PRODUCT, {"shippable": False}),
        (schemas.PRODUCT, {"shippable": None}),
        (schemas.PRODUCT, {"attributes_sku": {}}),
        (schemas.PRODUCT, {"skus": [{"price": 60}]}),
        (schemas.PRODUCT, {"skus": []}),
        (schemas.SKU, {}),
        (schemas.SKU, {"price": None}),
        (schemas.SKU, {"image": None, "package_dimensions": None}),
        (schemas.SKU, {"image": "ftp://shop.example/a.png"}),
        (schemas.SKU, {"image": "https://shop.example/a.png"}),
        (schemas.SKU, {"package_dimensions": {"height": 1, "length": 1, "width": 1}}),
        (schemas.SKU, {"inventory": {"type": "finite"}}),
        (schemas.SKU, {"inventory": {"type": "bucket", "quantity": 1, "value": "limited"}}),
        (schemas.SKU, {"currency": "usd"}),
        (schemas.DISCOUNT, {}),
        (schemas.DISCOUNT, {"code": "20 %"}),
        (schemas.DISCOUNT, {"percent_off": 0}),
        (schemas.DISCOUNT, {"percent_off": 12.25}),
        (schemas.DISCOUNT, {"percent_off": 100.5}),
        (schemas.DISCOUNT, {"percent_off": None}),
        (schemas.DISCOUNT, {"percent_off": None, "amount_off": 100, "currency": "usd"}),
        (schemas.DISCOUNT, {"percent_off": None, "amount_off": 100}),
        (schemas.DISCOUNT, {"percent_off": None, "amount_off": 100, "currency": None}),
        (schemas.DISCOUNT, {"amount_off": 100, "currency": "usd"}),
        (schemas.DISCOUNT, {"amount_off": None, "currency": None, "minimum_amount": None}),
        (schemas.DISCOUNT, {"currency": "usd"}),
        (schemas.DISCOUNT, {"currency": "usd", "minimum_amount": 100}),
        (schemas.DISCOUNT, {"minimum_amount": 100}),
        (schemas.DISCOUNT, {"max_redemptions": 0}),
        (schemas.DISCOUNT, {"expires_at": 1_800_000_000_000}),
        (schemas.CHECKOUT, {}),
        (schemas.CHECKOUT, {"email": "no address"}),
        (schemas.CHECKOUT, {"email": "chloe@münchen.de"}),
        (schemas.CHECKOUT, {"phone": "4155550123"}),
        (schemas.CHECKOUT, {"address": {**ADDRESS, "country": "us", "state": None}}),
        (schemas.CHECKOUT, {"address": {**ADDRESS, "country": "IE", "state": None, "postal_code": None}}),
        (schemas.CHECKOUT, {"address": {**ADDRESS, "country": "de", "postal_code": " "}}),
        (schemas.CHECKOUT, {"address": {**ADDRESS, "country": "Germany"}}),
        (schemas.SMS_MESSAGE, {}),
        (schemas.SMS_MESSAGE, {"number": 14155550123}),
        (schemas.SMS_MESSAGE, {"number": 1.5}),
    ],
    ids=lambda value: "" if isinstance(value, Shape) else ascii(value)[:50],
)
def test_json_schema_says_what_the_shape_checks(shape: Shape, changes: dict[str, Any]) -> None:
    sent = {**WHOLE[id(shape)], **changes}
    assert fits(of_shape(shape), sent) == accepts(shape, sent)


@pytest.mark.parametrize(
    ("shape", "sent"),
    [
        (schemas.PRODUCT, {**UNPRICED, "price": 50}),
        (schemas.PRODUCT, UNPRICED),
        (schemas.PRODUCT, {**UNPRICED, "skus": [{"price": 60}]}),
        (schemas.PRODUCT, {**UNPRICED, "skus": [{"attributes": {"material": "cotton"}}]}),
        (schemas.PRODUCT, {**UNPRICED, "skus": [{"price": 60, "inventory": {"type": "finite"}}]}),
        (schemas.PRODUCT, {**UNPRICED, "skus": [{"price": 60}], "inventory": {"type": "infinite"}}),
        (schemas.PRODUCT, {**UNPRICED, "skus": [{"price": 60}], "attributes_sku": {"material": "cotton"}}),
        (schemas.PRODUCT, UNSENT),
        (schemas.PRODUCT, {**UNSENT, "shippable": True}),
        (schemas.PRODUCT, {**UNPRICED_UNSENT, "skus": [{"price": 60, "package_dimensions": None}]}),
        (schemas.PRODUCT, {**UNPRICED_UNSENT, "skus": [{"price": 60, "package_dimensions": DIMENSIONS}]}),
        (schemas.PRODUCT, {**UNSENT, "attributes_sku": {}}),
        (schemas.PRODUCT, {**UNSENT, "attributes_sku": {"material": "cotton"}}),
        (schemas.PRODUCT_CHANGES, {}),
        (schemas.PRODUCT_CHANGES, {"shippable": False}),
        (schemas.PRODUCT_CHANGES, {"shippable": False, "package_dimensions": DIMENSIONS}),
        (schemas.PRODUCT_CHANGES, {"inventory": {"type": "bucket"}}),
        (schemas.PRODUCT_CHANGES, {"metadata": {"category": " "}}),
        (schemas.PRODUCT_CHANGES, {"skus": []}),
        (schemas.SKU_CHANGES, {}),
        (schemas.SKU_CHANGES, {"inventory": {"type": "infinite", "value": "limited"}}),
        (schemas.ITEM, {"quality": 1, "sku": "sku_1"}),
        (schemas.ITEM, {"quality": 1, "attributes": {"size": "m"}}),
        (schemas.ITEM, {"quality": 1, "attributes": {"size": ""}}),
        (schemas.ITEM, {"quality": 1, "sku": None}),
        (schemas.ITEM, {"sku": "sku_1"}),
        (schemas.ITEM_CHOICE, {}),
        (schemas.ITEM_CHOICE, {"sku": "a/b"}),
        (schemas.DISCOUNT_CODE, {"code": "summer-20"}),
        (schemas.DISCOUNT_CODE, {"code": ""}),
        (schemas.DISCOUNT_CODE, {}),
        (schemas.ITEM_QUANTITY, {}),
        (schemas.ITEM_QUANTITY, {"quality": 1}),
        (schemas.ITEM_QUANTITY, {"quantity": 10_001}),
        (schemas.NOTHING, {}),
        (schemas.NOTHING, {"a": 1}),
        (schemas.REFUND, {}),
        (schemas.REFUND, {"all": False}),
        (schemas.REFUND, {"all": True}),
        (schemas.REFUND, {"all": True, "amount": 1}),
        (schemas.SMS_MESSAGE, {"content": "without a number"}),
        (PAYMENT, {"order_id": "or_1"}),
        (PAYMENT, {"order_id": "or_1", "cart": "tok_visa"}),
        (PAYMENT, {"order_id": "or/1", "cart": "tok_visa"}),
        (PAYMENT, {"order_id": "or_1", "card": "4242424242424242"}),
        (schemas.ORDERS_QUERY, {"status": "paid", "limit": 100}),
        (schemas.ORDERS_QUERY, {"status": "lost"}),
        (schemas.ORDERS_QUERY, {"limit": 101}),
        (schemas.PRODUCTS_QUERY, {"order_by": "-price"}),
        (schemas.PRODUCTS_QUERY, {"order_by": "--price"}),
        (schemas.PRODUCTS_QUERY, {"starting_after": "c1.abc"}),
        (schemas.PRODUCTS_QUERY, {"starting_after": "a.b"}),
        (
            schemas.ORDER,
            {
                "items": [{"type": "sku", "parent": "sku_1", "quantity": 1}],
                "shipping": {"name": "C", "address": ADDRESS},
            },
        ),
        (schemas.ORDER, {"items": [{"type": "sku", "parent": "sku_1"}], "shipping": {"name": "C", "address": ADDRESS}}),
        (schemas.ORDER, {"items": [{"type": "tax"}], "shipping": {"name": "C", "address": ADDRESS}}),
        (schemas.ORDER, {"items": [], "shipping": {"name": "C", "address": ADDRESS}}),
    ],
    ids=lambda value: "" if isinstance(value, Shape) else ascii(value)[:50],
)
def test_json_schema_of_a_whole_body_says_the_same(shape: Shape, sent: dict[str, Any]) -> None:
    assert fits(of_shape(shape), sent) == accepts(shape, sent)


def accepts(shape: Shape, sent: dict[str, Any]) -> bool:
    try:
        shape.check(sent)
        SERVICES.get(id(shape), lambda _: None)(sent)
    except InvalidRequest:
        return False
    return True


def test_positive_number_is_more_than_zero_in_json_schema() -> None:
    assert of_rules(fields.PACKAGE_DIMENSIONS)["properties"]["height"]["exclusiveMinimum"] == 0

"""The OpenAPI document: it describes every route, and says what the routes check."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from chassis.settings import Settings
from contracts.errors import InvalidRequest
from gateway import api, fields, schemas
from gateway.openapi import document
from gateway.openapi.document import Variant, build
from gateway.openapi.json_schema import of_rules, of_shape
from gateway.openapi.objects import OBJECTS
from gateway.openapi.operations import ADDRESS, CART, CUSTOMER, ORDER, PRODUCT, SMS, operations
from gateway.routing import BOUNDS
from gateway.routing import api as hug_api
from gateway.shape import Shape
from launcher.place import ROOT

SETTINGS = Settings.load(ROOT / "config.yml")
DOCUMENT = build(Variant.of(SETTINGS))
PAYMENT = schemas.payment(SETTINGS.in_use)
DESCRIBED = operations(PAYMENT)


def routes() -> Iterator[tuple[str, str, Any]]:
    assert api.ROUTES
    for urls in hug_api.http.routes.values():
        for url, verbs in urls.items():
            yield from ((verb, url, versions[None].interface.spec) for verb, versions in verbs.items())


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


@pytest.mark.parametrize(("verb", "url", "function"), [*routes()], ids=lambda value: str(value)[:60])
def test_route_checks_what_its_description_says(verb: str, url: str, function: Any) -> None:
    operation, names = DESCRIBED[verb, url], function.__code__.co_names
    checked = {name for name in names if isinstance(getattr(schemas, name, None), Shape)}
    said = [shape for shape in (operation.body, operation.query) if isinstance(shape, Shape) and shape is not PAYMENT]
    if url != "/api/shipments" or verb != "POST":  # it finds the order first
        assert {id(getattr(schemas, name)) for name in checked} == {id(shape) for shape in said}
    assert operation.keyed == ("effect" in names and verb == "POST")
    assert (operation.of == CART) == ("cart_id" in names)
    assert (operation.of == ORDER) == bool({"cart_id_or_admin", "_own"} & {*names})
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
        assert fits(media["schema"], media["example"]), status


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
    assert {operation.gives for operation in DESCRIBED.values() if "/" not in operation.gives} - {"Document"} == set(
        examples
    )
    for name, example in examples.items():
        schema = {**OBJECTS[name], "components": DOCUMENT["components"]}
        assert [error.message for error in Draft202012Validator(schema).iter_errors(example)] == [], name


def test_version_is_the_packages() -> None:
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert DOCUMENT["info"]["version"] == packaged


def test_copied_viewer_has_the_hashes_that_its_page_names() -> None:
    folder = ROOT / "gateway" / "openapi" / "swagger-ui"
    rows = re.findall(r"^\| `(.+)` \| (\d+) \| `([0-9a-f]{64})` \|$", (folder / "README.md").read_text(), re.MULTILINE)
    assert {name for name, _, _ in rows} == {path.name for path in folder.iterdir() if path.suffix in (".js", ".css")}
    for name, size, digest in rows:
        content = (folder / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (int(size), digest)


def test_rule_without_json_schema_is_refused() -> None:
    with pytest.raises(ValueError, match="contains"):
        of_rules({"type": "list", "contains": ["a"]})


FINITE = {"type": "finite", "quantity": 1}


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
    whole = {id(schemas.PRODUCT): PRODUCT, id(schemas.CHECKOUT): CUSTOMER, id(schemas.SMS_MESSAGE): SMS}[id(shape)]
    assert fits(of_shape(shape), {**whole, **changes}) == accepts(shape, {**whole, **changes})


@pytest.mark.parametrize(
    ("shape", "sent"),
    [
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
    except InvalidRequest:
        return False
    return True


def test_positive_number_is_more_than_zero_in_json_schema() -> None:
    assert of_rules(fields.PACKAGE_DIMENSIONS)["properties"]["height"]["exclusiveMinimum"] == 0

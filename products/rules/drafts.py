"""Parse the public API's request to create or change a product; errors are reported by field."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from contracts import product_limits
from contracts.currencies import CURRENCIES, charge_step
from contracts.errors import InvalidRequest
from products.rules.stock import INFINITE, Inventory

DIMENSIONS = ("height", "length", "weight", "width")

# Metadata names with this prefix belong to the shop and are never shown.
RESERVED = "shop:"

ENDLESS = Inventory(INFINITE)

Errors = dict[str, Any]
Check = Callable[[Any], Any]  # returns the value of a field, or raises _Wrong


@dataclass(frozen=True)
class Draft:
    """A validated product to be created. Fields as in the public API."""

    name: str
    price: int
    currency: str
    package_dimensions: dict[str, float]
    metadata: dict[str, str]
    description: str | None = None
    attributes: tuple[str, ...] = ()
    attributes_sku: Mapping[str, str] = field(default_factory=dict)
    images: Sequence[str] = ()
    active: bool = True
    inventory: Inventory = ENDLESS

    @classmethod
    def parse(cls, spec: Any, currency: str) -> Draft:
        """Read the body of `POST /api/products/`.

        Args:
            spec: the fields of the seed's request.
            currency: used if the request has none.

        Raises InvalidRequest; ``facts["errors"]`` names every invalid field, nested as in the request.
        """
        form = _Form(spec, {**_FIELDS, "currency": _currency})
        form.require("name", "price", "package_dimensions", "metadata")
        values = {"currency": currency, **form.values}
        if "metadata" in values:
            values["metadata"] = {name: value for name, value in values["metadata"].items() if value}
            if "category" not in values["metadata"]:
                form.errors["metadata"] = {"category": ["required"]}
        values["attributes"] = tuple(values.get("attributes", ()))
        values["description"] = values.get("description") or None
        form.check_names(values["attributes"], values.get("attributes_sku", {}))
        form.check_price(values["currency"])
        form.finish()
        return cls(**values)


@dataclass(frozen=True)
class Change:
    """A change to a product; None leaves a field unchanged. Fields as in the public API.

    `metadata` is merged, and "" removes a name; `description` "" removes it; every other value replaces the old one.
    """

    name: str | None = None
    description: str | None = None
    metadata: dict[str, str] | None = None
    active: bool | None = None
    images: list[str] | None = None
    package_dimensions: dict[str, float] | None = None
    attributes: list[str] | None = None
    attributes_sku: dict[str, str] | None = None
    price: int | None = None
    inventory: Inventory | None = None

    @classmethod
    def parse(
        cls, given: Any, attributes: list[str], attributes_sku: dict[str, str], metadata: dict[str, str], currency: str
    ) -> Change:
        """Read the body of `PUT /api/products/{id}`.

        Args:
            given: the fields to change.
            attributes: the product's current attribute names.
            attributes_sku: its SKU's current attributes.
            metadata: its current metadata.
            currency: the currency of its price.

        Raises InvalidRequest as `Draft.parse` does.
        """
        form = _Form(given, _FIELDS)
        names = form.values.get("attributes", attributes)
        if "attributes_sku" in form.values:
            form.check_names(names, form.values["attributes_sku"])
        elif "attributes" in form.values:
            left = sorted(set(attributes_sku) - set(names))
            if left:
                form.errors["attributes"] = [f"attributes_sku still has {', '.join(left)}"]
        merged = {**metadata, **form.values.get("metadata", {})}
        if sum(1 for value in merged.values() if value) > product_limits.METADATA_ENTRIES and "metadata" in form.values:
            form.errors["metadata"] = [f"at most {product_limits.METADATA_ENTRIES} entries"]
        form.check_price(currency)
        form.finish()
        return cls(**form.values)


class _Form:
    """Validates the caller's fields one by one and collects the errors."""

    def __init__(self, given: Any, fields: Mapping[str, Check]) -> None:
        if not isinstance(given, Mapping):
            raise InvalidRequest("A product is an object.", {"errors": {"product": ["must be an object"]}})

        def check(name: Any, value: Any) -> Any:
            if name not in fields:
                raise _Wrong(["unknown field"])
            return fields[name](value)

        self.given = given
        self.values, self.errors = _checked(given, check)

    def require(self, *names: str) -> None:
        for name in names:
            if name not in self.given:
                self.errors[name] = ["required"]

    def check_names(self, attributes: Sequence[str], attributes_sku: Mapping[str, str]) -> None:
        unknown = {name: ["is not one of attributes"] for name in attributes_sku if name not in attributes}
        if unknown and "attributes" not in self.errors:
            self.errors.setdefault("attributes_sku", unknown)

    def check_price(self, currency: str) -> None:
        step = charge_step(currency)
        if self.values.get("price", 0) % step:
            self.errors["price"] = [f"must be a multiple of {step} in {currency}"]

    def finish(self) -> None:
        if self.errors:
            raise InvalidRequest(f"Not a valid product: {', '.join(sorted(self.errors))}.", {"errors": self.errors})


class _Wrong(Exception):
    def __init__(self, messages: list[str] | Errors) -> None:
        self.messages = messages


def _checked(given: Mapping[Any, Any], check: Callable[[Any, Any], Any]) -> tuple[dict[str, Any], Errors]:
    """Apply `check` to each name and value; return the checked values, and the messages of the names that fail."""
    values: dict[str, Any] = {}
    errors: Errors = {}
    for name, value in given.items():
        try:
            values[name] = check(name, value)
        except _Wrong as wrong:
            errors[str(name)] = wrong.messages
    return values, errors


def _entries(given: Mapping[Any, Any], check: Callable[[Any, Any], Any]) -> dict[str, Any]:
    values, errors = _checked(given, check)
    if errors:
        raise _Wrong(errors)
    return values


def _text(value: Any, least: int, most: int) -> str:
    """Return `value` if it is a text of a permitted length that every store accepts."""
    if not isinstance(value, str):
        raise _Wrong(["must be a string"])
    if len(value.strip()) < least:
        raise _Wrong(["must not be empty"])
    if len(value) > most:
        raise _Wrong([f"at most {most} characters"])
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise _Wrong(["has a character that is none"])
    return value


def _description(value: Any) -> str:
    return "" if value is None else _text(value, 0, product_limits.DESCRIPTION_LENGTH)


def _active(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong(["must be true or false"])
    return value


def _price(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Wrong(["must be a whole number of the currency's smallest unit"])
    if not 1 <= value <= product_limits.MAX_PRICE:
        raise _Wrong([f"must be between 1 and {product_limits.MAX_PRICE}"])
    return value


def _currency(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("[A-Za-z]{3}", value):
        raise _Wrong(["must be three letters"])
    if value.lower() not in CURRENCIES:
        raise _Wrong(["is not a currency that Stripe takes"])
    return value.lower()


def _package_dimensions(value: Any) -> dict[str, float]:
    return _entries({**dict.fromkeys(DIMENSIONS), **_object(value)}, _dimension)


def _dimension(name: Any, number: Any) -> float:
    if name not in DIMENSIONS:
        raise _Wrong(["unknown field"])
    if number is None:
        raise _Wrong(["required"])
    if not isinstance(number, int | float) or isinstance(number, bool):
        raise _Wrong(["must be a number"])
    if not 0 < number <= product_limits.MAX_DIMENSION:  # also rejects NaN and infinity
        raise _Wrong([f"must be more than 0 and at most {product_limits.MAX_DIMENSION}"])
    return float(number)


def _metadata(value: Any) -> dict[str, str]:
    found = _entries(_object(value), _metadata_entry)
    if len(found) > product_limits.METADATA_ENTRIES:
        raise _Wrong([f"at most {product_limits.METADATA_ENTRIES} entries"])
    return found


def _metadata_entry(name: Any, value: Any) -> str:
    _text(name, 1, product_limits.METADATA_NAME_LENGTH)
    if name.startswith(RESERVED):
        raise _Wrong([f"names that begin with {RESERVED} are the shop's own"])
    if "[" in name or "]" in name:
        raise _Wrong(["a name has no square brackets"])
    return _text(value, 0, product_limits.METADATA_VALUE_LENGTH)


def _attributes(value: Any) -> list[str]:
    found = _list(value, product_limits.ATTRIBUTES, partial(_text, least=1, most=product_limits.ATTRIBUTE_LENGTH))
    if len(set(found)) < len(found):
        raise _Wrong(["names one twice"])
    return found


def _attributes_sku(value: Any) -> dict[str, str]:
    return _entries(_object(value), _attribute)


def _attribute(name: Any, value: Any) -> str:
    _text(name, 1, product_limits.ATTRIBUTE_LENGTH)
    return _text(value, 1, product_limits.METADATA_VALUE_LENGTH)


def _images(value: Any) -> list[str]:
    return _list(value, product_limits.IMAGES, _url)


def _url(value: Any) -> str:
    if not re.match(r"https?://[^\s/]", _text(value, 1, product_limits.URL_LENGTH)):
        raise _Wrong(["each must be a URL"])
    return str(value)


def _inventory(value: Any) -> Inventory:
    try:
        return Inventory.parse(value)
    except InvalidRequest as error:
        errors = error.facts["errors"]
        raise _Wrong(errors.get("inventory", errors)) from error


def _object(value: Any) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise _Wrong(["must be an object"])
    return value


def _list(value: Any, most: int, check: Check) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise _Wrong(["must be a list"])
    if len(value) > most:
        raise _Wrong([f"at most {most}"])
    return [check(each) for each in value]


_FIELDS: dict[str, Check] = {
    "name": partial(_text, least=1, most=product_limits.NAME_LENGTH),
    "description": _description,
    "price": _price,
    "package_dimensions": _package_dimensions,
    "metadata": _metadata,
    "attributes": _attributes,
    "attributes_sku": _attributes_sku,
    "images": _images,
    "active": _active,
    "inventory": _inventory,
}

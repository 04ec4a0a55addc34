"""Parse the public API's request to create or change a product; errors are reported by field."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from contracts.currencies import CURRENCIES, charge_step
from contracts.errors import InvalidRequest
from products.rules.stock import INFINITE, Inventory

MAX_CENTS = 99_999_999
MAX_DIMENSION = 100_000  # inches or ounces: beyond any carrier
DIMENSIONS = ("height", "length", "weight", "width")

# The catalogue's limits, checked here so that a caller learns which field is too large before anything is created.
NAME_LENGTH = 250
DESCRIPTION_LENGTH = 5000
METADATA_NAME_LENGTH = 40
METADATA_VALUE_LENGTH = 500
METADATA_ENTRIES = 45  # Stripe allows 50; the rest is for the shop's private metadata
IMAGES = 8
URL_LENGTH = 2048
ATTRIBUTES = 20
ATTRIBUTE_LENGTH = 100

# Metadata names with this prefix belong to the shop and are never shown.
RESERVED = "shop:"

ENDLESS = Inventory(INFINITE)

Errors = dict[str, Any]


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
    attributes_sku: tuple[tuple[str, str], ...] = ()
    images: tuple[str, ...] = ()
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
        metadata = form.values.get("metadata", {})
        if "metadata" in form.values:
            metadata = {name: value for name, value in metadata.items() if value}
            if "category" not in metadata:
                form.errors["metadata"] = {"category": ["required"]}
        attributes = form.values.get("attributes", [])
        form.check_names(attributes, form.values.get("attributes_sku", {}))
        form.check_price(form.values.get("currency", currency))
        form.finish()
        values = form.values
        return cls(
            name=values["name"],
            price=values["price"],
            currency=values.get("currency", currency),
            package_dimensions=values["package_dimensions"],
            metadata=metadata,
            description=values.get("description") or None,
            attributes=tuple(attributes),
            attributes_sku=tuple(values.get("attributes_sku", {}).items()),
            images=tuple(values.get("images", [])),
            active=values.get("active", True),
            inventory=values.get("inventory", ENDLESS),
        )


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
        if sum(1 for value in merged.values() if value) > METADATA_ENTRIES and "metadata" in form.values:
            form.errors["metadata"] = [f"at most {METADATA_ENTRIES} entries"]
        form.check_price(currency)
        form.finish()
        return cls(**form.values)


class _Form:
    """Validates the caller's fields one by one and collects the errors."""

    def __init__(self, given: Any, fields: Mapping[str, Callable[[Any], Any]]) -> None:
        if not isinstance(given, Mapping):
            raise InvalidRequest("A product is an object.", {"errors": {"product": ["must be an object"]}})
        self.given = given
        self.values: dict[str, Any] = {}
        self.errors: Errors = {}
        for name, value in given.items():
            if name not in fields:
                self.errors[str(name)] = ["unknown field"]
                continue
            try:
                self.values[name] = fields[name](value)
            except _Wrong as wrong:
                self.errors[name] = wrong.messages

    def require(self, *names: str) -> None:
        for name in names:
            if name not in self.given:
                self.errors[name] = ["required"]

    def check_names(self, attributes: list[str], attributes_sku: dict[str, str]) -> None:
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


def text(value: Any, least: int, most: int) -> str:
    """Return `value` if it is a text of a permitted length that every store accepts; else raise _Wrong."""
    if not isinstance(value, str):
        raise _Wrong(["must be a string"])
    if len(value.strip()) < least:
        raise _Wrong(["must not be empty"])
    if len(value) > most:
        raise _Wrong([f"at most {most} characters"])
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise _Wrong(["has a character that is none"])
    return value


def _name(value: Any) -> str:
    return text(value, 1, NAME_LENGTH)


def _description(value: Any) -> str:
    return "" if value is None else text(value, 0, DESCRIPTION_LENGTH)


def _active(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong(["must be true or false"])
    return value


def _price(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Wrong(["must be a whole number of the currency's smallest unit"])
    if not 1 <= value <= MAX_CENTS:
        raise _Wrong([f"must be between 1 and {MAX_CENTS}"])
    return value


def _currency(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("[A-Za-z]{3}", value):
        raise _Wrong(["must be three letters"])
    if value.lower() not in CURRENCIES:
        raise _Wrong(["is not a currency that Stripe takes"])
    return value.lower()


def _package_dimensions(value: Any) -> dict[str, float]:
    found = _object(value)
    errors: Errors = {str(name): ["unknown field"] for name in found if name not in DIMENSIONS}
    for name in DIMENSIONS:
        number = found.get(name)
        if name not in found:
            errors[name] = ["required"]
        elif not isinstance(number, int | float) or isinstance(number, bool):
            errors[name] = ["must be a number"]
        elif not 0 < number <= MAX_DIMENSION:  # also rejects NaN and infinity
            errors[name] = [f"must be more than 0 and at most {MAX_DIMENSION}"]
    if errors:
        raise _Wrong(errors)
    return {name: float(found[name]) for name in DIMENSIONS}


def _metadata(value: Any) -> dict[str, str]:
    found = _object(value)
    errors: Errors = {}
    for name, entry in found.items():
        try:
            _metadata_name(name)
            text(entry, 0, METADATA_VALUE_LENGTH)
        except _Wrong as wrong:
            errors[str(name)] = wrong.messages
    if errors:
        raise _Wrong(errors)
    if len(found) > METADATA_ENTRIES:
        raise _Wrong([f"at most {METADATA_ENTRIES} entries"])
    return dict(found)


def _metadata_name(name: Any) -> None:
    text(name, 1, METADATA_NAME_LENGTH)
    if name.startswith(RESERVED):
        raise _Wrong([f"names that begin with {RESERVED} are the shop's own"])
    if "[" in name or "]" in name:
        raise _Wrong(["a name has no square brackets"])


def _attributes(value: Any) -> list[str]:
    found = _list(value, ATTRIBUTES)
    for name in found:
        text(name, 1, ATTRIBUTE_LENGTH)
    if len(set(found)) < len(found):
        raise _Wrong(["names one twice"])
    return found


def _attributes_sku(value: Any) -> dict[str, str]:
    found = _object(value)
    errors: Errors = {}
    for name, entry in found.items():
        try:
            text(name, 1, ATTRIBUTE_LENGTH)
            text(entry, 1, METADATA_VALUE_LENGTH)
        except _Wrong as wrong:
            errors[str(name)] = wrong.messages
    if errors:
        raise _Wrong(errors)
    return dict(found)


def _images(value: Any) -> list[str]:
    found = _list(value, IMAGES)
    for url in found:
        text(url, 1, URL_LENGTH)
        if not re.match(r"https?://[^\s/]", url):
            raise _Wrong(["each must be a URL"])
    return found


def _inventory(value: Any) -> Inventory:
    try:
        return Inventory.parse(value)
    except InvalidRequest as error:
        errors = error.facts["errors"]
        raise _Wrong(errors.get("inventory", errors)) from error


def _object(value: Any) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise _Wrong(["must be an object"])
    return dict(value)


def _list(value: Any, most: int) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise _Wrong(["must be a list"])
    if len(value) > most:
        raise _Wrong([f"at most {most}"])
    return list(value)


_FIELDS: dict[str, Callable[[Any], Any]] = {
    "name": _name,
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

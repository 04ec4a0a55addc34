"""What must be true of a product that is created or changed; errors are reported by field.

The gateway has checked the shape of a request: its types, lengths and required fields. These rules are about what the
shop can sell, and hold for an operator's call as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from contracts import product_limits
from contracts.currencies import CURRENCIES, charge_step
from contracts.errors import InvalidRequest
from products.rules.stock import ENDLESS, Inventory

DIMENSIONS = ("height", "length", "weight", "width")

# Metadata names with this prefix belong to the shop and are never shown.
RESERVED = "shop:"

# The fields of a product with one SKU that belong to the SKU; with several, each SKU has its own.
OF_ONLY_SKU = ("price", "attributes_sku", "inventory")

Errors = dict[str, Any]
Check = Callable[[Any], Any]  # returns the value of a field, or raises _Wrong


@dataclass(frozen=True)
class SkuDraft:
    """A SKU to be created.

    Attributes:
        price: in the currency's smallest unit.
        attributes: name to value.
        image: a URL, or None.
        package_dimensions: its own; None when it is packed as its product.
    """

    price: int
    attributes: Mapping[str, str] = field(default_factory=dict)
    inventory: Inventory = ENDLESS
    image: str | None = None
    package_dimensions: Mapping[str, float] | None = None

    @classmethod
    def parse(cls, given: Any, product: Current) -> SkuDraft:
        """Read the body of `POST /api/products/{id}/skus/`. Raises InvalidRequest as `Draft.parse` does."""
        form = _Form(given)
        values = _sku(form, product.attributes, product.skus[0].currency, product.shippable)
        form.require("price")
        _check_new(form, values.get("attributes", {}), [sku.attributes for sku in product.skus])
        form.finish()
        return cls(**{name: value for name, value in values.items() if value or name == "inventory"})


@dataclass(frozen=True)
class SkuChange:
    """A change to a SKU; None leaves a field unchanged, `image` "" and `package_dimensions` {} remove it."""

    price: int | None = None
    attributes: Mapping[str, str] | None = None
    inventory: Inventory | None = None
    image: str | None = None
    package_dimensions: Mapping[str, float] | None = None

    @classmethod
    def parse(cls, given: Any, product: Current, sku: CurrentSku) -> SkuChange:
        """Read the body of `PUT /api/products/{id}/skus/{sku}/`. Raises InvalidRequest as `Draft.parse` does."""
        form = _Form(given)
        values = _sku(form, product.attributes, sku.currency, product.shippable)
        if "attributes" in values:
            _check_new(form, values["attributes"], [each.attributes for each in product.skus if each is not sku])
        form.finish()
        return cls(**values)


@dataclass(frozen=True)
class Draft:
    """A product to be created, with its SKUs. Fields as in the public API."""

    name: str
    currency: str
    metadata: Mapping[str, str]
    skus: tuple[SkuDraft, ...]
    package_dimensions: Mapping[str, float] | None = None
    description: str | None = None
    attributes: tuple[str, ...] = ()
    images: Sequence[str] = ()
    active: bool = True
    shippable: bool = True
    tax_code: str | None = None

    @classmethod
    def parse(cls, spec: Any, currency: str) -> Draft:
        """Read the body of `POST /api/products/`.

        Args:
            spec: the fields of the seed's request; or `skus` instead of the fields of its only SKU.
            currency: used if the request has none.

        Raises InvalidRequest; ``facts["errors"]`` names every invalid field, nested as in the request.
        """
        form = _Form(spec)
        values: dict[str, Any] = _product(form)
        currency = form.read("currency", _currency) or currency
        names, shippable = values.get("attributes", ()), values.get("shippable", True)
        if "skus" in form.given:
            for name in OF_ONLY_SKU:
                form.refuse(name, "each of skus has its own")
            skus = form.read("skus", partial(_skus, names=names, currency=currency, shippable=shippable)) or ()
        else:
            only = _sku(form, names, currency, shippable, attributes="attributes_sku")
            form.require("price")
            skus = () if form.errors else (SkuDraft(**only),)
        form.require("name", *(["package_dimensions"] if shippable else []))
        if not shippable:
            form.refuse("package_dimensions", _UNSENT)
        form.finish()
        metadata = {name: value for name, value in values.pop("metadata", {}).items() if value}
        for name in ("description", "tax_code"):
            values[name] = values.get(name) or None
        return cls(currency=currency, metadata=metadata, skus=skus, **values)


@dataclass(frozen=True)
class Change:
    """A change to a product; None leaves a field unchanged. Fields as in the public API.

    `metadata` is merged, and "" removes a name; `description` "", `tax_code` "" and `package_dimensions` {} remove it;
    every other value replaces the old one.

    Attributes:
        sku: the change to its only SKU.
    """

    name: str | None = None
    description: str | None = None
    metadata: Mapping[str, str] | None = None
    active: bool | None = None
    shippable: bool | None = None
    images: Sequence[str] | None = None
    package_dimensions: Mapping[str, float] | None = None
    attributes: Sequence[str] | None = None
    tax_code: str | None = None
    sku: SkuChange | None = None

    @classmethod
    def parse(cls, given: Any, product: Current) -> Change:
        """Read the body of `PUT /api/products/{id}`.

        Args:
            given: the fields to change.
            product: as it is now.

        Raises InvalidRequest as `Draft.parse` does.
        """
        form = _Form(given)
        values = _product(form)
        names, shippable = values.get("attributes", product.attributes), values.get("shippable", product.shippable)
        if len(product.skus) > 1:
            for name in OF_ONLY_SKU:
                form.refuse(name, f"the product has {len(product.skus)} SKUs: change each of them")
            only: dict[str, Any] = {}
        else:
            only = _sku(form, names, product.skus[0].currency, shippable, attributes="attributes_sku")
        if "attributes" in values and "attributes_sku" not in form.given:
            left = sorted({name for sku in product.skus for name in sku.attributes} - set(names))
            if left:
                form.errors["attributes"] = [f"a SKU still has {', '.join(left)}"]
        merged = {**product.metadata, **values.get("metadata", {})}
        if sum(1 for value in merged.values() if value) > product_limits.METADATA_ENTRIES and "metadata" in values:
            form.errors["metadata"] = [f"at most {product_limits.METADATA_ENTRIES} entries"]
        if not shippable:
            form.refuse("package_dimensions", _UNSENT)
            if product.shippable:
                values["package_dimensions"] = {}
        elif not (product.shippable or "package_dimensions" in form.given):
            form.errors["package_dimensions"] = ["required"]
        form.finish()
        return cls(sku=SkuChange(**only) if only else None, **values)


class CurrentSku(Protocol):
    """A SKU as it is now."""

    @property
    def attributes(self) -> Mapping[str, str]: ...
    @property
    def currency(self) -> str: ...


class Current(Protocol):
    """A product as it is now."""

    @property
    def attributes(self) -> Sequence[str]: ...
    @property
    def metadata(self) -> Mapping[str, str]: ...
    @property
    def shippable(self) -> bool: ...
    @property
    def skus(self) -> Sequence[CurrentSku]: ...


_UNSENT = "only for a product that is shipped"


class _Wrong(Exception):
    def __init__(self, messages: list[str] | Errors) -> None:
        self.messages = messages


class _Form:
    """The caller's fields, of which each is read once, and what is wrong with them."""

    def __init__(self, given: Any) -> None:
        if not isinstance(given, Mapping):
            raise InvalidRequest("A product is an object.", {"errors": {"product": ["must be an object"]}})
        self.given = given
        self.errors: Errors = {}
        self._read: set[str] = set()

    def read(self, name: str, check: Check) -> Any:
        """The checked value of a field; None when it is missing or wrong."""
        self._read.add(name)
        if name not in self.given:
            return None
        try:
            return check(self.given[name])
        except _Wrong as wrong:
            self.errors[name] = wrong.messages
        except InvalidRequest as error:
            self.errors[name] = error.facts["errors"].get(name, error.facts["errors"])
        except (TypeError, ValueError, AttributeError):
            self.errors[name] = ["has a value of the wrong kind"]
        return None

    def values(self, checks: Mapping[str, Check]) -> dict[str, Any]:
        """The checked values of the given fields, without wrong ones."""
        read = {name: self.read(name, check) for name, check in checks.items()}
        return {name: read[name] for name in read if name in self.given and name not in self.errors}

    def require(self, *names: str) -> None:
        for name in names:
            if name not in self.given:
                self.errors[name] = ["required"]

    def refuse(self, name: str, message: str) -> None:
        self._read.add(name)
        if name in self.given:
            self.errors[name] = [message]

    def close(self) -> None:
        """Refuse the fields that nobody has read."""
        for name in self.given.keys() - self._read:
            self.errors[str(name)] = ["unknown field"]

    def finish(self) -> None:
        self.close()
        if self.errors:
            raise InvalidRequest(f"Not a valid product: {', '.join(sorted(self.errors))}.", {"errors": self.errors})


def _product(form: _Form) -> dict[str, Any]:
    """The given fields of a product, without those of its SKUs."""
    return form.values(
        {
            "name": _name,
            "description": _removable,
            "metadata": _metadata,
            "active": _as_given,
            "shippable": _as_given,
            "images": list,
            "package_dimensions": _package_dimensions,
            "attributes": _names,
            "tax_code": _tax_code,
        }
    )


def _sku(
    form: _Form, names: Collection[str], currency: str, shippable: bool, attributes: str = "attributes"
) -> dict[str, Any]:
    """The given fields of a SKU.

    Args:
        attributes: the field with its attributes; with another name than this, the form is that of a whole product.
    """
    checks: dict[str, Check] = {
        "price": partial(_price, currency=currency),
        attributes: partial(_attributes, names=names),
        "inventory": Inventory.parse,
    }
    if attributes == "attributes":
        checks["image"] = _removable
        checks["package_dimensions"] = lambda value: {} if value is None else _package_dimensions(value)
    values = form.values(checks)
    if attributes != "attributes" and attributes in values:
        values["attributes"] = values.pop(attributes)
    elif not shippable and values.get("package_dimensions"):
        form.refuse("package_dimensions", _UNSENT)
    return values


def _skus(given: Any, names: Collection[str], currency: str, shippable: bool) -> tuple[SkuDraft, ...]:
    if not 1 <= len(given) <= product_limits.SKUS:
        raise _Wrong([f"must be 1 to {product_limits.SKUS}"])
    made: list[SkuDraft] = []
    errors: Errors = {}
    for number, each in enumerate(given):
        form = _Form(each)
        values = _sku(form, names, currency, shippable)
        form.require("price")
        form.close()
        _check_new(form, values.get("attributes", {}), [sku.attributes for sku in made])
        if form.errors:
            errors[str(number)] = form.errors
        else:
            made.append(SkuDraft(**{name: value for name, value in values.items() if value or name == "inventory"}))
    if errors:
        raise _Wrong(errors)
    return tuple(made)


def _check_new(form: _Form, attributes: Mapping[str, str], others: Sequence[Mapping[str, str]]) -> None:
    if "attributes" not in form.errors and dict(attributes) in [dict(each) for each in others]:
        form.errors["attributes"] = ["another SKU of the product has the same"]


def _as_given(value: Any) -> Any:
    return value


def _removable(value: Any) -> str:
    return value or ""


def _tax_code(value: Any) -> str:
    if value and not product_limits.TAX_CODE.fullmatch(value):
        raise _Wrong([product_limits.TAX_CODE_MESSAGE])
    return value or ""


def _name(value: Any) -> str:
    if not value.strip():
        raise _Wrong(["must not be empty"])
    return str(value)


def _price(value: Any, currency: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= product_limits.MAX_PRICE:
        raise _Wrong([f"must be a whole number from 1 to {product_limits.MAX_PRICE}, in the smallest unit"])
    step = charge_step(currency)
    if value % step:
        raise _Wrong([f"must be a multiple of {step} in {currency}"])
    return value


def _currency(value: Any) -> str:
    if value.lower() not in CURRENCIES:
        raise _Wrong(["is not a currency that Stripe takes"])
    return str(value.lower())


def _package_dimensions(value: Any) -> dict[str, float]:
    errors = {name: ["unknown field"] for name in value if name not in DIMENSIONS}
    for name in DIMENSIONS:
        number = value.get(name)
        if number is None:
            errors[name] = ["required"]
        elif isinstance(number, bool) or not 0 < number <= product_limits.MAX_DIMENSION:  # also NaN and infinity
            errors[name] = [f"must be more than 0 and at most {product_limits.MAX_DIMENSION}"]
    if errors:
        raise _Wrong(errors)
    return {name: float(value[name]) for name in value}


def _metadata(value: Any) -> dict[str, str]:
    reserved = [name for name in value if name.startswith(RESERVED)]
    if reserved:
        raise _Wrong({name: [f"names that begin with {RESERVED} are the shop's own"] for name in reserved})
    return dict(value)


def _names(value: Any) -> tuple[str, ...]:
    _check_length(value)
    return tuple(value)


def _attributes(value: Any, names: Collection[str]) -> dict[str, str]:
    unknown = [name for name in value if name not in names]
    if unknown:
        raise _Wrong({name: ["is not one of attributes"] for name in unknown})
    _check_length(value)
    return dict(value)


def _check_length(value: Any) -> None:
    """Check that the attributes' names, or values, fit into the one metadata value in which Stripe keeps them."""
    length, most = (
        len(json.dumps(value, ensure_ascii=False, separators=(",", ":"))),
        product_limits.METADATA_VALUE_LENGTH,
    )
    if length > most:
        raise _Wrong([f"too long: {length} characters in all, at most {most}"])

"""Map products between Stripe's fields and the shop's."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar, cast

from chassis.providers.stripe_sdk import stripe
from chassis.records import Unreadable
from contracts import product_limits
from contracts.currencies import UnknownCurrency, charge_step
from contracts.errors import InvalidRequest, wrong_field
from products.rules.catalog import Product, Sku
from products.rules.drafts import DIMENSIONS, RESERVED, Change, Draft
from products.rules.stock import FINITE, Inventory

if TYPE_CHECKING:
    from stripe.params import (
        PriceCreateParams,
        ProductCreateParams,
        ProductCreateParamsPackageDimensions,
        ProductUpdateParams,
    )

# Data that Stripe has no field for, kept in metadata. Product: its SKU, its attributes' names and whether it was
# removed. Price: its SKU, its attributes' values and its initial inventory.
SKU = f"{RESERVED}sku"
ATTRIBUTES = f"{RESERVED}attributes"
INVENTORY = f"{RESERVED}inventory"
REMOVED = f"{RESERVED}removed"

MAX_SECONDS = 10**12  # beyond any realistic time, and small enough for every column

Kind = TypeVar("Kind")


def new_product(draft: Draft, product_id: str, sku: str) -> ProductCreateParams:
    """Return the parameters of a new product."""
    params: ProductCreateParams = {
        "id": product_id,
        "name": draft.name,
        "active": draft.active,
        "shippable": True,
        "package_dimensions": cast("ProductCreateParamsPackageDimensions", draft.package_dimensions),
        "metadata": {
            **draft.metadata,
            SKU: sku,
            ATTRIBUTES: _packed(list(draft.attributes), "attributes"),
        },
    }
    if draft.description:
        params["description"] = draft.description
    if draft.images:
        params["images"] = list(draft.images)
    return params


def new_price(draft: Draft, product_id: str, sku: str) -> PriceCreateParams:
    """Return the parameters of its price."""
    return {
        "product": product_id,
        "currency": draft.currency,
        "unit_amount": draft.price,
        "lookup_key": sku,
        "metadata": {
            SKU: sku,
            ATTRIBUTES: _packed(draft.attributes_sku, "attributes_sku"),
            INVENTORY: _packed(draft.inventory.public(), "inventory"),
        },
    }


def changed_product(change: Change) -> ProductUpdateParams:
    """Return the parameters for the changed fields of Stripe's Product; "" removes a field."""
    params: dict[str, Any] = {}
    for field in ("name", "description", "active", "package_dimensions"):
        value = getattr(change, field)
        if value is not None:
            params[field] = value
    if change.images is not None:
        params["images"] = change.images or ""
    metadata = dict(change.metadata or {})
    if change.attributes is not None:
        metadata[ATTRIBUTES] = _packed(change.attributes, "attributes")
    if metadata:
        params["metadata"] = metadata
    return cast("ProductUpdateParams", params)


def changed_entries(change: Change) -> dict[str, str]:
    """Return the changes to the Price's metadata."""
    entries = {}
    if change.attributes_sku is not None:
        entries[ATTRIBUTES] = _packed(change.attributes_sku, "attributes_sku")
    if change.inventory is not None:
        entries[INVENTORY] = _packed(change.inventory.public(), "inventory")
    return entries


def _packed(value: Any, field: str) -> str:
    """Return `value` as one metadata value. Raises InvalidRequest naming `field` when it is too long."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(text) > product_limits.METADATA_VALUE_LENGTH:
        raise wrong_field(
            field, f"too long: {len(text)} characters in all, at most {product_limits.METADATA_VALUE_LENGTH}"
        )
    return text


def _unpacked(text: str | None, kind: type[Kind]) -> Kind:
    """Read a value that `_packed` wrote; an empty `kind` if it was overwritten in Stripe's dashboard."""
    try:
        value = json.loads(text or "")
    except ValueError:
        return kind()
    return value if isinstance(value, kind) else kind()


def to_product(product: stripe.Product, price: stripe.Price) -> Product:
    """Return the shop's product. Raises Unreadable, or the SDK's error for a missing field."""
    document = json.loads(json.dumps(product.to_dict(), default=str))  # the SDK converts some numbers to decimals
    packed = metadata(product)
    amount = _amount(product, price)
    _check_dimensions(document.get("package_dimensions"))
    if not isinstance(document.get("name"), str) or not document["name"].strip():
        raise Unreadable("it has no name")
    document["metadata"] = {name: value for name, value in packed.items() if not name.startswith(RESERVED)}
    # For the shop, a new price is a change of the product.
    document["updated"] = max(product.updated, price.created)
    entries = metadata(price)
    found = Product(
        document=document,
        attributes=[str(name) for name in _unpacked(packed.get(ATTRIBUTES), list)],
        sku=Sku(
            id=packed[SKU],
            price=amount,
            currency=price.currency.lower(),
            attributes={name: str(value) for name, value in _unpacked(entries.get(ATTRIBUTES), dict).items()},
            offer=price.id,
            active=price.active,
        ),
        inventory=_inventory(entries.get(INVENTORY)),
    )
    try:
        json.dumps([found.document, found.attributes, asdict(found.sku)], ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Unreadable("it has a character that no database keeps") from None
    if not all(0 <= moment < MAX_SECONDS for moment in (found.created, found.updated)):
        raise Unreadable("its times are out of range")
    return found


def _amount(product: stripe.Product, price: stripe.Price) -> int:
    """Return the price of one piece. Raises Unreadable unless the price is a single one-time amount per piece."""
    if price.product != product.id:
        raise Unreadable(f"its price {price.id} belongs to {price.product}")
    if price.type != "one_time" or price.recurring is not None:
        raise Unreadable(f"its price {price.id} is recurring")
    if price.billing_scheme != "per_unit" or price.transform_quantity is not None:
        raise Unreadable(f"its price {price.id} is not per piece")
    amount = price.unit_amount
    if amount is None:
        raise Unreadable(f"its price {price.id} has no whole unit_amount (unit_amount_decimal {_decimal(price)})")
    try:
        step = charge_step(price.currency)
    except UnknownCurrency as error:
        raise Unreadable(f"its price {price.id}: {error}") from None
    if (
        isinstance(amount, bool)
        or not isinstance(amount, int)
        or not 0 <= amount <= product_limits.MAX_PRICE
        or amount % step
    ):
        raise Unreadable(f"its price {price.id} is {amount} {price.currency}, which cannot be charged")
    return amount


def _decimal(price: stripe.Price) -> str:
    return str(getattr(price, "unit_amount_decimal", None) or "none")


def _check_dimensions(found: Any) -> None:
    if not isinstance(found, dict):
        raise Unreadable("it has no package_dimensions")
    for name in DIMENSIONS:
        number = found.get(name)
        if (
            isinstance(number, bool)
            or not isinstance(number, int | float)
            or not 0 < number <= product_limits.MAX_DIMENSION
        ):
            raise Unreadable(f"its package_dimensions have no usable {name}")


def _inventory(text: str | None) -> Inventory:
    try:
        return Inventory.parse(_unpacked(text, dict))
    except InvalidRequest:
        return Inventory(FINITE, 0)  # the count is unknown: selling none is better than overselling


def metadata(thing: stripe.Product | stripe.Price) -> dict[str, str]:
    """Return all of its metadata, including the shop's private part."""
    found = getattr(thing, "metadata", None)
    return {} if found is None else dict(found.to_dict())


def is_removed(product: stripe.Product) -> bool:
    """Whether the shop deleted it; Stripe can only archive a product."""
    return REMOVED in metadata(product)

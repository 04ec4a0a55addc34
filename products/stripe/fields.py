"""Map products between Stripe's fields and the shop's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar, cast

from chassis.providers.stripe_sdk import stripe
from chassis.records import Unreadable
from contracts import product_limits
from contracts.currencies import UnknownCurrency, charge_step
from contracts.errors import InvalidRequest
from products.rules.catalog import Product, Sku
from products.rules.drafts import DIMENSIONS, RESERVED, Change, Draft, SkuChange, SkuDraft
from products.rules.stock import FINITE, Inventory

if TYPE_CHECKING:
    from stripe.params import (
        PriceCreateParams,
        ProductCreateParams,
        ProductCreateParamsPackageDimensions,
        ProductUpdateParams,
    )

# Data that Stripe has no field for, kept in metadata. Product: its first SKU, its attributes' names and whether it was
# removed. Price: its SKU, its attributes' values, its initial inventory, its place among the product's SKUs unless that
# is the first, its image and package, and whether the SKU was removed.
SKU = f"{RESERVED}sku"
ATTRIBUTES = f"{RESERVED}attributes"
INVENTORY = f"{RESERVED}inventory"
PLACE = f"{RESERVED}place"
IMAGE = f"{RESERVED}image"
PACKAGE = f"{RESERVED}package"
REMOVED = f"{RESERVED}removed"

MAX_SECONDS = 10**12  # beyond any realistic time, and small enough for every column

Kind = TypeVar("Kind")


def new_product(draft: Draft, product_id: str, sku: str) -> ProductCreateParams:
    """Return the parameters of a new product.

    Args:
        sku: the id of its first SKU.
    """
    params: ProductCreateParams = {
        "id": product_id,
        "name": draft.name,
        "active": draft.active,
        "shippable": draft.shippable,
        "metadata": {
            **draft.metadata,
            SKU: sku,
            ATTRIBUTES: _packed(list(draft.attributes)),
        },
    }
    if draft.package_dimensions:
        params["package_dimensions"] = cast("ProductCreateParamsPackageDimensions", draft.package_dimensions)
    if draft.description:
        params["description"] = draft.description
    if draft.images:
        params["images"] = list(draft.images)
    if draft.tax_code:
        params["tax_code"] = draft.tax_code
    return params


def new_price(draft: SkuDraft, currency: str, product_id: str, sku: str, place: int = 0) -> PriceCreateParams:
    """Return the parameters of the price of a new SKU.

    Args:
        place: the SKU's among those of its product.
    """
    entries = {
        SKU: sku,
        ATTRIBUTES: _packed(dict(draft.attributes)),
        INVENTORY: _packed(draft.inventory.public()),
    }
    if place:
        entries[PLACE] = str(place)
    if draft.image:
        entries[IMAGE] = draft.image
    if draft.package_dimensions:
        entries[PACKAGE] = _packed(dict(draft.package_dimensions))
    return {
        "product": product_id,
        "currency": currency,
        "unit_amount": draft.price,
        "lookup_key": sku,
        "metadata": entries,
    }


def changed_product(change: Change) -> ProductUpdateParams:
    """Return the parameters for the changed fields of Stripe's Product; "" removes a field."""
    params: dict[str, Any] = {}
    for field in ("name", "description", "active", "shippable", "tax_code"):
        value = getattr(change, field)
        if value is not None:
            params[field] = value
    for field in ("images", "package_dimensions"):
        value = getattr(change, field)
        if value is not None:
            params[field] = value or ""
    metadata = dict(change.metadata or {})
    if change.attributes is not None:
        metadata[ATTRIBUTES] = _packed(list(change.attributes))
    if metadata:
        params["metadata"] = metadata
    return cast("ProductUpdateParams", params)


def changed_entries(change: SkuChange) -> dict[str, str]:
    """Return the changes to the Price's metadata; "" removes an entry."""
    entries = {}
    if change.attributes is not None:
        entries[ATTRIBUTES] = _packed(dict(change.attributes))
    if change.inventory is not None:
        entries[INVENTORY] = _packed(change.inventory.public())
    if change.image is not None:
        entries[IMAGE] = change.image
    if change.package_dimensions is not None:
        sides = dict(change.package_dimensions)
        entries[PACKAGE] = _packed(sides) if sides else ""
    return entries


def _packed(value: Any) -> str:
    """Return `value` as one metadata value; `rules.drafts` has checked that it fits."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _unpacked(text: str | None, kind: type[Kind]) -> Kind:
    """Read a value that `_packed` wrote; an empty `kind` if it was overwritten in Stripe's dashboard."""
    try:
        value = json.loads(text or "")
    except ValueError:
        return kind()
    return value if isinstance(value, kind) else kind()


def to_product(product: stripe.Product, prices: Sequence[stripe.Price]) -> Product:
    """Return the shop's product. Raises Unreadable, or the SDK's error for a missing field.

    Args:
        prices: of its SKUs, the first SKU's first.
    """
    document = json.loads(json.dumps(product.to_dict(), default=str))  # the SDK converts some numbers to decimals
    packed = metadata(product)
    skus = [_sku(product, price, sku_of(price) if number else packed[SKU]) for number, price in enumerate(prices)]
    if document.get("shippable") is not False:
        _check_dimensions(document.get("package_dimensions"), "it")
    if not isinstance(document.get("name"), str) or not document["name"].strip():
        raise Unreadable("it has no name")
    document["metadata"] = {name: value for name, value in packed.items() if not name.startswith(RESERVED)}
    # For the shop, a new price is a change of the product.
    document["updated"] = max(product.updated, *(price.created for price in prices))
    found = Product(
        document=document,
        attributes=[str(name) for name in _unpacked(packed.get(ATTRIBUTES), list)],
        skus=tuple(sorted(skus, key=lambda sku: (sku.place, sku.id))),
    )
    try:
        each = [asdict(sku) for sku in found.skus]
        json.dumps([found.document, found.attributes, each], ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Unreadable("it has a character that no database keeps") from None
    if not all(0 <= moment < MAX_SECONDS for moment in (found.created, found.updated)):
        raise Unreadable("its times are out of range")
    return found


def _sku(product: stripe.Product, price: stripe.Price, sku: str) -> Sku:
    entries = metadata(price)
    package = _unpacked(entries.get(PACKAGE), dict) or None
    if package is not None:
        _check_dimensions(package, f"its SKU {sku}")
    return Sku(
        id=sku,
        price=_amount(product, price),
        currency=price.currency.lower(),
        attributes={name: str(value) for name, value in _unpacked(entries.get(ATTRIBUTES), dict).items()},
        offer=price.id,
        active=price.active,
        inventory=_inventory(entries.get(INVENTORY)),
        image=entries.get(IMAGE) or None,
        package_dimensions=package,
        place=int(entries.get(PLACE, "0") or 0),
    )


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


def _check_dimensions(found: Any, what: str) -> None:
    if not isinstance(found, dict):
        raise Unreadable(f"{what} has no package_dimensions")
    for name in DIMENSIONS:
        number = found.get(name)
        if (
            isinstance(number, bool)
            or not isinstance(number, int | float)
            or not 0 < number <= product_limits.MAX_DIMENSION
        ):
            raise Unreadable(f"the package_dimensions of {what} have no usable {name}")


def _inventory(text: str | None) -> Inventory:
    try:
        return Inventory.parse(_unpacked(text, dict))
    except InvalidRequest:
        return Inventory(FINITE, 0)  # the count is unknown: selling none is better than overselling


def metadata(thing: stripe.Product | stripe.Price) -> dict[str, str]:
    """Return all of its metadata, including the shop's private part."""
    found = getattr(thing, "metadata", None)
    return {} if found is None else dict(found.to_dict())


def sku_of(price: stripe.Price) -> str:
    """Return the SKU that the price is the current one of; "" when it is of none."""
    key = getattr(price, "lookup_key", None)
    entries = metadata(price)
    return key if isinstance(key, str) and entries.get(SKU) == key and REMOVED not in entries else ""


def is_removed(thing: stripe.Product | stripe.Price) -> bool:
    """Whether the shop deleted it; Stripe can only archive a product or a price."""
    return REMOVED in metadata(thing)

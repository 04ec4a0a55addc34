"""Inventories, and the reservations (holds) that orders make on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeGuard

from contracts.errors import Conflict, wrong_field
from contracts.product_limits import MAX_STOCK

FINITE = "finite"
INFINITE = "infinite"
BUCKET = "bucket"

IN_STOCK = "in_stock"
LIMITED = "limited"
OUT_OF_STOCK = "out_of_stock"

# The states of a hold. A released one is kept as a tombstone: a reserve that was in progress when its order was
# abandoned may arrive after the release, and must then take nothing.
HELD = "held"
RELEASED = "released"

# The most problems of a cart that one answer lists.
MAX_LISTED = 50


@dataclass(frozen=True)
class Inventory:
    """The stock of one SKU, in the form of Stripe's former SKU object.

    Attributes:
        type: "finite" (counted), "infinite" (never runs out) or "bucket" (known only roughly).
        quantity: pieces, if finite; else None.
        value: "in_stock", "limited" or "out_of_stock", if a bucket; else None.
    """

    type: str
    quantity: int | None = None
    value: str | None = None

    def covers(self, quantity: int) -> bool:
        """Whether `quantity` pieces can be sold."""
        if self.type == FINITE:
            return (self.quantity or 0) >= quantity
        return self.type == INFINITE or self.value != OUT_OF_STOCK

    def public(self) -> dict[str, Any]:
        """Return the inventory in the SKU's public shape."""
        return {"type": self.type, "quantity": self.quantity, "value": self.value}

    @classmethod
    def parse(cls, given: Any) -> Inventory:
        """Parse a caller's inventory. Raises InvalidRequest with errors named as the fields of an inventory."""
        if not isinstance(given, Mapping):
            raise wrong_field("inventory", "must be an object with a type")
        unknown = [name for name in given if name not in ("type", "quantity", "value")]
        if unknown:
            raise wrong_field(str(unknown[0]), "unknown field")
        kind, quantity, value = given.get("type"), given.get("quantity"), given.get("value")
        if kind not in (FINITE, INFINITE, BUCKET):
            raise wrong_field("type", f"must be {FINITE}, {INFINITE} or {BUCKET}")
        if kind == FINITE:
            if not _whole(quantity) or not 0 <= quantity <= MAX_STOCK:
                raise wrong_field("quantity", f"must be a whole number between 0 and {MAX_STOCK}")
        elif quantity is not None:
            raise wrong_field("quantity", f"is only for a {FINITE} inventory")
        if kind == BUCKET:
            if value not in (IN_STOCK, LIMITED, OUT_OF_STOCK):
                raise wrong_field("value", f"must be {IN_STOCK}, {LIMITED} or {OUT_OF_STOCK}")
        elif value is not None:
            raise wrong_field("value", f"is only for a {BUCKET} inventory")
        return cls(kind, quantity, value)


# The stock of a SKU whose request names none.
ENDLESS = Inventory(INFINITE)


@dataclass(frozen=True)
class Filling:
    """The stock that a change sets.

    Attributes:
        sku: ``sku_…``.
        inventory: the new stock.
        key: the change's; the same key is applied once.
        began_at: the product's revision when the change began.
    """

    sku: str
    inventory: Inventory
    key: str
    began_at: int


@dataclass(frozen=True)
class Line:
    """A number of pieces of one SKU."""

    parent: str
    quantity: int


def lines(items: Any) -> list[Line]:
    """Parse what a caller wants to reserve: one line per SKU, sorted by SKU.

    The order is the same for all callers, so that two orders for the same SKUs wait for each other and never deadlock.

    Args:
        items: ``[{"parent": "sku_…", "quantity": 2}, …]``; other fields are ignored, repeated SKUs are added up.

    Raises InvalidRequest.
    """
    wanted: dict[str, int] = {}
    for line in wishes(items):
        wanted[line.parent] = wanted.get(line.parent, 0) + line.quantity
    for sku, quantity in wanted.items():
        if quantity > MAX_STOCK:
            raise wrong_field("items", f"{quantity} pieces of {sku} are more than any shelf holds")
    return [Line(sku, wanted[sku]) for sku in sorted(wanted)]


def wishes(items: Any) -> list[Line]:
    """Parse the lines in the caller's order; a repeated SKU stays as two lines. Raises InvalidRequest."""
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        raise wrong_field("items", "must be a list of items")
    found = []
    for item in items:
        parent = item.get("parent") if isinstance(item, Mapping) else None
        quantity = item.get("quantity") if isinstance(item, Mapping) else None
        if not isinstance(parent, str) or not parent:
            raise wrong_field("items", "each item names its SKU as parent")
        if not _whole(quantity) or not 1 <= quantity <= MAX_STOCK:
            raise wrong_field("items", f"the quantity of {parent} must be a whole number of at least 1")
        found.append(Line(parent, quantity))
    if not found:
        raise wrong_field("items", "must name at least one item")
    return found


@dataclass(frozen=True)
class Problem:
    """Why a SKU cannot be sold now.

    Attributes:
        parent: ``sku_…``.
        detail: a sentence that names the product.
        left: how many pieces are left.
        known: False for a SKU that has never existed in this shop.
    """

    parent: str
    detail: str
    left: int = 0
    known: bool = True


def short(sku: str, name: str, wanted: int, left: Inventory) -> Problem:
    """Fewer pieces are in stock than requested."""
    rest = "none is left" if not left.quantity else f"only {left.quantity} left"
    return Problem(sku, f"Not enough of {name} ({sku}) for {wanted}: {rest}.", left.quantity or 0)


def gone(sku: str, name: str | None) -> Problem:
    """The SKU is not on sale, or no longer on sale; `name` is None if it never existed in this shop."""
    return Problem(sku, f"{name or sku} is not on sale.", known=name is not None)


def unsized(sku: str, name: str) -> Problem:
    """The shipping cost of the product is unknown."""
    return Problem(sku, f"{name} cannot be shipped: its package dimensions are missing.")


def unsold(problems: Sequence[Problem]) -> Conflict:
    """The error that names every product concerned; ``facts`` has ``parent`` and ``left`` of the first, and all
    problems."""
    first, listed = problems[0], problems[:MAX_LISTED]
    more = f" And {len(problems) - MAX_LISTED} more." if len(problems) > MAX_LISTED else ""
    facts = {"parent": first.parent, "left": first.left, "problems": [asdict(problem) for problem in listed]}
    return Conflict(" ".join(problem.detail for problem in listed) + more, facts)


def _whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)

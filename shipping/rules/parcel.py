"""Packs items into parcels: one stack per parcel, split at the carriers' limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal, InvalidOperation
from typing import Any

from contracts.errors import InvalidRequest, Refused

# USPS, Domestic Mail Manual 201: 70 lb for any parcel; length plus girth at most 108 in for most services, and at most
# 130 in for the one (Ground) that takes oversized pieces.
MAX_OUNCES = Decimal(70 * 16)
MAX_INCHES = Decimal(108)
MAX_INCHES_OVERSIZED = Decimal(130)
# Each has a record and a label of its own, which is bought while the shopper waits; more is freight.
MAX_PARCELS = 100

SIDES = ("height", "length", "width")
SMALLEST = Decimal("0.0001")  # Shippo accepts four decimal places


@dataclass(frozen=True)
class Parcel:
    """One box, or one stack of units: dimensions in inches, weight in ounces."""

    height: Decimal
    length: Decimal
    width: Decimal
    weight: Decimal

    @property
    def length_and_girth(self) -> Decimal:
        """The longest side plus the girth (the perimeter of the other two sides), in inches; carriers limit this."""
        sides = (self.height, self.length, self.width)
        return 2 * sum(sides, Decimal(0)) - max(sides)

    def public(self) -> dict[str, str]:
        """Return the parcel in the carrier's terms: four numbers as strings, and their units."""
        return {
            "height": _text(self.height),
            "length": _text(self.length),
            "width": _text(self.width),
            "distance_unit": "in",
            "weight": _text(self.weight),
            "mass_unit": "oz",
        }

    def with_more(self, unit: Parcel, count: int) -> Parcel:
        """Return this stack with `count` more units on top."""
        return Parcel(
            height=self.height + count * unit.height,
            length=max(self.length, unit.length),
            width=max(self.width, unit.width),
            weight=self.weight + count * unit.weight,
        )

    def room_for(self, unit: Parcel) -> int:
        """Return how many such units still fit on top of this stack."""
        length, width = max(self.length, unit.length), max(self.width, unit.width)
        by_weight = (MAX_OUNCES - self.weight) // unit.weight
        # Length plus girth grows with the height: by two inches per inch up to the longer of the other sides, by one
        # beyond.
        longer, around = max(length, width), 2 * (length + width)
        highest = MAX_INCHES - around if around + longer <= MAX_INCHES else (MAX_INCHES - around + longer) / 2
        by_height = (highest - self.height) // unit.height
        return max(0, int(min(by_weight, by_height)))


def pack(items: Iterable[Mapping[str, Any]]) -> list[Parcel]:
    """Return the parcels of `packed` without their contents."""
    return [parcel for parcel, _ in packed(items)]


def packed(items: Iterable[Mapping[str, Any]]) -> list[tuple[Parcel, list[dict[str, Any]]]]:
    """Pack items into few stacks, first fit, without searching for the optimum.

    Each unit lies on its largest face, so that a stack grows by the unit's shortest side. The stack is as long and as
    wide as its longest and widest unit. Units go into the first stack that has room.

    Args:
        items: mappings with ``quantity`` (a whole number of units) and ``package_dimensions`` of one unit (``height``,
            ``length``, ``width`` in inches, ``weight`` in ounces); ``description`` or ``parent`` name it.

    Returns:
        Each parcel, and its contents: the items, with the quantity that is in this parcel.

    Raises:
        InvalidRequest: no items, or one without a positive quantity and four positive numbers.
        Refused: one unit is too heavy or too large for any carrier, or the items need too many parcels.
    """
    stacks: list[Parcel] = []
    inside: list[list[dict[str, Any]]] = []
    for position, item in enumerate(items):
        name = str(item.get("description") or item.get("parent") or f"item {position + 1}")
        left, unit = _quantity(item, name), _unit(item, name)
        for index, stack in enumerate(stacks):
            taken = min(left, stack.room_for(unit))
            if taken:
                stacks[index], left = stack.with_more(unit, taken), left - taken
                inside[index].append({**item, "quantity": taken})
        while left:
            # An oversized unit does not fit the ordinary limit even alone, and gets its own parcel.
            more = min(left - 1, unit.room_for(unit))
            stacks.append(unit.with_more(unit, more))
            inside.append([{**item, "quantity": 1 + more}])
            left -= 1 + more
            if len(stacks) > MAX_PARCELS:
                raise _refused(f"These items fill more than {MAX_PARCELS} parcels, too many for one shipment.")
    if not stacks:
        raise InvalidRequest("There is nothing to ship.", {"errors": {"items": ["at least one item is required"]}})
    return list(zip(stacks, inside, strict=True))


def _quantity(item: Mapping[str, Any], name: str) -> int:
    quantity = item.get("quantity")
    if isinstance(quantity, bool) or not isinstance(quantity, int) or quantity < 1:
        raise _invalid(f"{name}: the quantity is not a whole number of at least 1")
    return quantity


def _unit(item: Mapping[str, Any], name: str) -> Parcel:
    """Return one unit lying on its largest face, or why it cannot be shipped."""
    given = item.get("package_dimensions")
    if not isinstance(given, Mapping):
        raise _invalid(f"{name}: package_dimensions are missing")
    shortest, middle, longest = sorted(_number(given, side, name) for side in SIDES)
    unit = Parcel(height=shortest, length=longest, width=middle, weight=_number(given, "weight", name))
    if unit.weight > MAX_OUNCES:
        raise _refused(f"{name} weighs {_text(unit.weight)} oz; no carrier takes a parcel of more than 70 lb.")
    if unit.length_and_girth > MAX_INCHES_OVERSIZED:
        raise _refused(f"{name} is too large: length and girth together are limited to {MAX_INCHES_OVERSIZED} in.")
    return unit


def _number(given: Mapping[str, Any], side: str, name: str) -> Decimal:
    value = given.get(side)
    try:
        number = Decimal(str(value)) if not isinstance(value, bool) else Decimal(0)
    except InvalidOperation:
        number = Decimal(0)
    if not number.is_finite() or number <= 0:
        raise _invalid(f"{name}: package_dimensions.{side} is not a number above 0")
    # Rounded up, so that a parcel is never declared smaller or lighter than it is.
    return number.quantize(SMALLEST, rounding=ROUND_UP) if number < MAX_OUNCES * 1000 else MAX_OUNCES * 1000


def _text(number: Decimal) -> str:
    return format(number.normalize(), "f")


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest("The items cannot be packed.", {"errors": {"items": [message]}})


def _refused(message: str) -> Refused:
    return Refused(message, {"errors": {"items": [message]}})

"""A shipment: its address, its shipping methods, and the choice of the cheapest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from contracts.contacts import ascii_mail_address
from contracts.currencies import charge_step, decimal_text, parse_amount
from contracts.errors import Conflict, InvalidRequest, NotFound, Refused
from shipping.rules.carriers import carrier_of

# The sort fields of the list of shipments; a leading "-" reverses.
ORDERS = ("created", "object_id", "name", "city", "state", "country")
PAGE = range(1, 101)


@dataclass(frozen=True)
class Address:
    """The destination of a parcel, as the shop's order gives it (in Stripe's terms)."""

    name: str
    line1: str
    city: str
    country: str
    line2: str | None = None
    state: str | None = None
    postal_code: str | None = None
    email: str | None = None
    phone: str | None = None

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Address:
        """Parse a caller's address.

        Args:
            given: ``name``, ``line1``, ``city``, ``country``; optionally ``line2``, ``state``, ``postal_code``,
                ``email``, ``phone``. Other keys are ignored.

        Raises:
            InvalidRequest: a required part is missing, or one is not text.
        """
        errors: dict[str, list[str]] = {}
        parts: dict[str, str | None] = {}
        for part in cls.__dataclass_fields__:
            value = given.get(part)
            if value is not None and not isinstance(value, str):
                errors[part] = ["must be of string type"]
            elif not (value or "").strip() and part in ("name", "line1", "city", "country"):
                errors[part] = ["required field"]
            else:
                parts[part] = value.strip() or None if value else None
        if errors:
            raise InvalidRequest("The address is not complete.", {"errors": errors})
        return cls(**parts)  # type: ignore[arg-type]  # what is required is there

    def for_carrier(self) -> dict[str, str | None]:
        """Return the address in the carrier's terms, second line included."""
        return {
            "name": self.name,
            "street1": self.line1,
            "street2": self.line2,
            "city": self.city,
            "state": self.state,
            "zip": self.postal_code,
            "country": self.country,
            "phone": self.phone,
            "email": self.email and ascii_mail_address(self.email),
        }


@dataclass(frozen=True)
class Shipment:
    """A request for quotes, and the carriers' quotes.

    Attributes:
        object_id: the carrier's id, which is also the public id.
        key: the caller's idempotency key.
        order_id: the shop's order id, "" for none.
        created: Unix seconds.
        address: in the carrier's terms, as `Address.for_carrier` gives it.
        parcels: as `Parcel.public` gives them.
        contents: as `shipping.rules.customs.contents` declares them.
        rates: the carrier's rates, in the public shape; for this parcel alone. None are stored for a twin.
        methods: the shipping methods that an order offers, as `methods` returns them; for all parcels.
        part_of, part: for the second and any further parcel: the shipment of the first one, and its number.
        twin_of: the shipment of an equal parcel, whose rates these are; it needs a quote of its own to be sent.
    """

    object_id: str
    key: str
    order_id: str
    created: float
    address: dict[str, Any]
    parcels: list[dict[str, str]]
    contents: list[dict[str, Any]]
    rates: list[dict[str, Any]]
    methods: list[dict[str, Any]]
    part_of: str | None = None
    part: int | None = None
    twin_of: str | None = None

    @property
    def kind(self) -> str:
        """What equal parcels of a shipment have in common: the shipment of the first of them."""
        return self.twin_of or self.object_id

    def offer(self) -> dict[str, Any]:
        """Return the checkout's view: the shipping methods, and the one that is selected by default."""
        return {"object_id": self.object_id, "methods": self.methods, "selected": cheapest(self.methods)}

    def at_carriers(self) -> list[str]:
        """Return the shipment's ids at the carriers that quoted, each once: its own, and those of any further ones."""
        return list(dict.fromkeys((self.object_id, *(rate.get("shipment") or self.object_id for rate in self.rates))))

    def rate(self, rate_id: str) -> dict[str, Any]:
        """Return the rate with that id.

        Raises:
            NotFound: it belongs to another shipment, or to none.
        """
        for rate in self.rates:
            if rate["object_id"] == rate_id:
                return rate
        raise NotFound(f"Shipment {self.object_id} has no rate {rate_id}.")

    def rate_like(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """Return the rate for the service of a rate of the first parcel's.

        Raises:
            NotFound: there is none.
        """
        found = same_service(self.rates, chosen)
        if found is None:
            raise NotFound(f"Shipment {self.object_id} has no rate like {chosen['object_id']}.")
        return found


def same_service(rates: Iterable[dict[str, Any]], wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the rate for the service of another rate: the same carrier and service level; None if there is none.

    Of several accounts at the carrier it is the same one, or else the cheapest.
    """
    found = [rate for rate in rates if service_of(rate) == service_of(wanted)]
    same = [rate for rate in found if rate.get("carrier_account") == wanted.get("carrier_account")]
    return min(same or found, key=lambda rate: Decimal(str(rate["amount"])), default=None)


def service_of(rate: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what identifies a carrier's service: where the rate comes from, the carrier, and the service's token."""
    level = rate["servicelevel"]
    return carrier_of(str(rate["object_id"])), str(rate["provider"]), str(level.get("token") or level.get("name"))


def price_of(rate: Mapping[str, Any]) -> tuple[int, str]:
    """Return what a rate costs the shop, in the smallest unit of the carrier's currency, and that currency.

    Raises ValueError as `smallest_units` does.
    """
    currency = str(rate["currency"]).upper()
    return smallest_units(str(rate["amount"]), currency), currency


def price_text(units: int, currency: str) -> str:
    """Return a price for a person: "7.10 USD"."""
    return f"{decimal_text(units, currency)} {currency}"


def summed(kinds: Sequence[tuple[int, Sequence[Mapping[str, Any]]]]) -> list[dict[str, Any]]:
    """Return the rates for several parcels together: those of the services that take every parcel.

    Args:
        kinds: how many parcels there are of each kind, and the rates of one of them. Ids are those of the first kind.
    """
    if [count for count, _ in kinds] in ([], [1]):
        return [dict(rate) for _, rates in kinds for rate in rates]
    found = []
    for first in kinds[0][1]:
        each = [(count, same_service([dict(rate) for rate in rates], first)) for count, rates in kinds]
        every = [(count, rate) for count, rate in each if rate is not None]
        if len(every) < len(kinds) or len({(rate["currency"], rate.get("currency_local")) for _, rate in every}) > 1:
            continue
        days = [int(rate["estimated_days"]) for _, rate in every if rate.get("estimated_days") is not None]
        together = {
            **first,
            "amount": _total((count, rate["amount"]) for count, rate in every),
            "estimated_days": max(days) if len(days) == len(every) else None,
            "attributes": [
                mark for mark in first["attributes"] if all(mark in rate["attributes"] for _, rate in every)
            ],
        }
        if all(rate.get("amount_local") is not None for _, rate in every):
            together["amount_local"] = _total((count, rate["amount_local"]) for count, rate in every)
        found.append(together)
    return found


def _total(amounts: Iterable[tuple[int, str]]) -> str:
    return str(sum((count * Decimal(amount) for count, amount in amounts), Decimal(0)))


# The carrier's names of the parts of an address -> the order's.
PARTS = {"street1": "line1", "street2": "line2", "city": "city", "state": "state", "zip": "postal_code"}


def check_correction(address: Mapping[str, Any], corrected: Mapping[str, str]) -> None:
    """Refuse an address that the carrier has corrected, with its suggestion.

    Args:
        address: what was asked for, in the carrier's terms.
        corrected: the parts that the carrier has changed, in its terms.

    Raises:
        Refused: with the facts ``errors`` (nested under ``address``) and ``suggestion`` (the whole address in the
            order's terms).
    """
    if not corrected:
        return
    errors = {PARTS[part]: [f'is "{text}" in the carrier\'s records'] for part, text in corrected.items()}
    whole = {name: corrected.get(part, address.get(part)) or None for part, name in PARTS.items()}
    suggestion = {**whole, "country": address["country"]}
    said = "The carrier knows this address in another spelling."
    raise Refused(said, {"errors": {"address": errors}, "suggestion": suggestion})


def public_address(address: Mapping[str, Any]) -> dict[str, Any]:
    """Return the carrier's address as the list of shipments shows it: the seed's eight fields, nulls included."""
    return {key: address.get(key) for key in ("name", "street1", "city", "state", "zip", "country", "phone", "email")}


def smallest_units(amount: str, currency: str) -> int:
    """Convert a carrier's amount ("3.46") to Stripe's (346), rounded half up to a chargeable amount.

    Raises ValueError for text that is not an amount, a negative amount, or a currency unknown to Stripe.
    """
    units = parse_amount(amount, currency, rounding=ROUND_HALF_UP, multiple_of=charge_step(currency))
    if units < 0:
        raise ValueError(f"{amount!r} is negative")
    return units


def methods(rates: Iterable[Mapping[str, Any]], currency: str, today: date) -> list[dict[str, Any]]:
    """Return the shipping methods that an order offers, in the carrier's sequence.

    Args:
        rates: the carrier's rates, in the public shape.
        currency: the order's, three letters. A rate that has a price in this currency neither as its own nor as its
            local currency is omitted, because its amount could not be added to the order's.
        today: the day (UTC) that the delivery estimates count from.

    Returns:
        ``[{"id", "amount", "currency", "description", "delivery_estimate": {"date", "type"} or None}]``
    """
    found = []
    for rate in rates:
        amount = _amount_in(rate, currency)
        if amount is None:
            continue
        days = rate.get("estimated_days")
        found.append(
            {
                "id": rate["object_id"],
                "amount": smallest_units(amount, currency),
                "currency": currency.lower(),
                "description": rate["servicelevel"].get("name") or rate.get("provider") or "",
                "delivery_estimate": None
                if days is None
                else {"date": (today + timedelta(days=days)).isoformat(), "type": "exact"},
            }
        )
    return found


def currency_of(items: Iterable[Mapping[str, Any]], default: str) -> str:
    """Return the currency of the items in lower case; `default` if none of them has one.

    Raises:
        Conflict: they have more than one.
    """
    named = sorted({str(item["currency"]).lower() for item in items if item.get("currency")})
    if len(named) > 1:
        raise Conflict(f"One shipment has one currency; these items have {', '.join(named)}.")
    return named[0] if named else default.lower()


def cheapest(ways: list[dict[str, Any]]) -> str:
    """Return the id of the cheapest method; ties go to the faster one, then to the first."""

    def price(way: dict[str, Any]) -> tuple[int, str]:
        return way["amount"], (way["delivery_estimate"] or {}).get("date") or "9999"

    return str(min(ways, key=price)["id"])


def currency_code(currency: Any) -> str:
    """Return a currency in the carrier's form: three upper-case letters.

    Raises:
        InvalidRequest: it is not three letters.
    """
    if not isinstance(currency, str) or not re.fullmatch(r"[A-Za-z]{3}", currency):
        message = "must be three letters, such as usd"
        raise InvalidRequest("That is not a currency.", {"errors": {"currency": [message]}})
    return currency.upper()


def page_order(order_by: Any, limit: Any) -> tuple[str, bool, int]:
    """Parse the sort order of the list: return the field, whether it is reversed, and the page size.

    Raises:
        InvalidRequest: an unknown field, or a limit that is not 1...100.
    """
    wanted = "-created" if order_by is None else order_by
    field = wanted.removeprefix("-") if isinstance(wanted, str) else None
    if field not in ORDERS:
        message = f"unknown: shipments are ordered by {', '.join(ORDERS)}, or one of them with a leading -"
        raise InvalidRequest("Shipments cannot be ordered like that.", {"errors": {"order_by": [message]}})
    if isinstance(limit, bool) or not isinstance(limit, int) or limit not in PAGE:
        raise InvalidRequest("That is not a page size.", {"errors": {"limit": ["must be a whole number, 1 to 100"]}})
    return field, wanted.startswith("-"), limit


def amounts_in(rate: Mapping[str, Any], currency: str) -> list[str]:
    """Return which fields of a carrier's rate have its price in `currency`: ``amount``, ``amount_local``, both, or
    none."""
    fields = (("amount", "currency"), ("amount_local", "currency_local"))
    return [
        amount
        for amount, named in fields
        if str(rate.get(named, "")).upper() == currency.upper() and rate.get(amount) is not None
    ]


def _amount_in(rate: Mapping[str, Any], currency: str) -> str | None:
    return next((str(rate[amount]) for amount in amounts_in(rate, currency)), None)

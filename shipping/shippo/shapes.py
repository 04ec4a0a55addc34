"""Shippo's objects in the shapes that the shop promises: the SDK drops nulls that the seed's samples show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP
from typing import Any

from shippo.models import components

from chassis.records import Unreadable, read_each
from contracts.currencies import parse_amount

LONGEST_DAYS = 1000

RATE_FIELDS = (
    *("object_id", "arrives_by", "zone", "object_owner", "provider_image_200", "currency_local", "attributes"),
    *("currency", "amount", "duration_terms", "servicelevel", "provider_image_75", "object_created", "shipment"),
    *("estimated_days", "test", "amount_local", "messages", "provider", "carrier_account"),
)


def public_rate(rate: components.Rate) -> dict[str, Any]:
    """Return a rate with exactly the fields of the seed's sample, nulls included. Raises Unreadable."""
    for amount in (rate.amount, rate.amount_local):
        if amount is not None and parse_amount(str(amount), "usd", rounding=ROUND_HALF_UP) < 0:
            raise Unreadable(f"{amount} is no price")
    if not rate.object_id or rate.amount is None or not rate.currency:
        raise Unreadable("it has no id, or no price")
    days = rate.estimated_days
    if days is not None and (not isinstance(days, int) or not 0 <= days <= LONGEST_DAYS):
        raise Unreadable(f"{days} days is no estimate")
    public = {field: getattr(rate, field) for field in RATE_FIELDS}
    level = rate.servicelevel
    public["servicelevel"] = {"name": level.name, "token": level.token, "terms": level.terms}
    public["attributes"] = [attribute.value for attribute in rate.attributes or []]
    public["object_created"] = _moment(rate.object_created)
    public["messages"] = [
        {"source": message.source, "code": message.code, "text": message.text} for message in rate.messages or []
    ]
    return public


def public_track(track: components.Track) -> dict[str, Any]:
    """Return where a parcel is, and its history, the earliest first."""
    return {
        "tracking_status": _tracking_status(track.tracking_status) if track.tracking_status else None,
        "tracking_history": read_each("step of a parcel at Shippo", track.tracking_history, _tracking_status)[0],
    }


def corrections(given: Mapping[str, Any], cleaned: components.Address) -> dict[str, str]:
    """Return the parts of an address that Shippo's validation has corrected, not those that it only spells in its way.

    Messages of the type `address_correction` say that it did:
    https://docs.goshippo.com/docs/addresses/addressvalidation/
    """
    results = cleaned.validation_results
    if results is None or not results.is_valid:
        return {}
    if not any(message.type == "address_correction" for message in results.messages or []):
        return {}
    parts = {part: getattr(cleaned, part) or "" for part in ("street1", "street2", "city", "state", "zip")}
    return {part: text for part, text in parts.items() if _plain(part, text) != _plain(part, given.get(part) or "")}


def _plain(part: str, text: str) -> str:
    words = " ".join(text.replace(".", " ").replace(",", " ").split()).casefold()
    return words[:5] if part == "zip" else words  # the last four digits of a ZIP code are an addition


def rate_id_of(transaction: components.Transaction) -> str | None:
    """Return the id of the rate that a transaction bought; Shippo gives the id or a short form of the rate."""
    rate = transaction.rate
    return rate if isinstance(rate, str) or rate is None else rate.object_id


def messages(given: Iterable[components.ResponseMessage] | None) -> list[str]:
    """Return the carriers' remarks, each as "source: text"."""
    texts = []
    for message in given or []:
        text = (message.text or message.code or "").strip()
        if text:
            texts.append(f"{message.source}: {text}" if message.source else text)
    return texts


def _tracking_status(status: components.TrackingStatus) -> dict[str, Any]:
    location, substatus = status.location, status.substatus
    return {
        "object_id": status.object_id,
        "object_created": _moment(status.object_created),
        "object_updated": _moment(status.object_updated),
        "status": status.status.value,
        "status_details": status.status_details,
        "status_date": _moment(status.status_date),
        "substatus": substatus
        and {"code": substatus.code, "text": substatus.text, "action_required": substatus.action_required},
        "location": location
        and {"city": location.city, "state": location.state, "zip": location.zip, "country": location.country},
    }


def _moment(moment: datetime | None) -> str | None:
    """Format as Shippo does: UTC, milliseconds, Z."""
    if moment is None:
        return None
    utc = moment.astimezone(UTC) if moment.tzinfo else moment
    return utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}Z"

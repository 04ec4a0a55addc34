"""The evidence of a dispute in Stripe's fields: https://docs.stripe.com/api/disputes/update.

Files have to be uploaded first (https://docs.stripe.com/file-upload): they are left to an operator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from cart.rules.evidence import Facts
from cart.rules.order import FULFILLED, PAID, Order
from cart.rules.price import SKU
from contracts.currencies import amount_for_people
from contracts.texts import one_line

# Stripe's limits, in characters: of one field, and of all together.
LONGEST_FIELD = 20_000
LONGEST_TOGETHER = 150_000
# How many steps of the parcel it names.
MAX_STEPS = 50
# The parcel's states in which the carrier has it.
MOVING = ("TRANSIT", "DELIVERED")
# What only a person can add: the fields take the id of an uploaded file.
FILES = {
    "receipt": "the order's page, printed to PDF",
    "customer_communication": "what the customer wrote, and your answers",
    "shipping_documentation": "the carrier's proof of delivery, with the address or a signature",
    "refund_policy": "your terms, as the customer saw them",
    "uncategorized_file": "anything else, such as a photo",
}


def evidence_of(facts: Facts) -> dict[str, str]:
    """Return Stripe's fields that take text, those without anything to say left out."""
    order, tracking = facts.order, facts.tracking or {}
    fields = {
        "customer_name": order.customer.name,
        "customer_email_address": order.customer.email,
        "product_description": "\n".join(_goods(order)),
        "uncategorized_text": "\n".join(_account(facts)),
    }
    if order.shipment is None:
        fields["service_date"] = _day(order.times.get(FULFILLED))
    else:
        fields |= {
            "shipping_address": ", ".join(_address(order)),
            "shipping_carrier": str(tracking.get("carrier") or order.carrier or ""),
            "shipping_date": _shipped(order, tracking),
            "shipping_tracking_number": str(tracking.get("tracking_number") or order.tracking_number or ""),
        }
    return bounded(fields)


def bounded(fields: Mapping[str, str]) -> dict[str, str]:
    """Cut fields to Stripe's limits, and leave out the empty ones."""
    found, left = {}, LONGEST_TOGETHER
    for name, text in fields.items():
        kept = text[: min(LONGEST_FIELD, left)]
        left -= len(kept)
        if kept:
            found[name] = kept
    return found


def _goods(order: Order) -> Iterator[str]:
    for line in order.lines:
        if line.kind == SKU:
            amount = amount_for_people(line.amount, line.currency)
            yield f"{line.quantity} x {one_line(line.description or line.parent or '')}: {amount}"


def _account(facts: Facts) -> Iterator[str]:
    """What happened with the order, in its sequence."""
    order = facts.order
    amount = amount_for_people(order.amount, order.currency)
    yield f"Order {order.id} of {amount} was placed on {_moment(order.created)}."
    yield f"It was paid on {_moment(order.times.get(PAID))} by charge {order.charge}."
    for line in order.all_lines:
        yield f"- {one_line(line.description or line.kind)}: {amount_for_people(line.amount, line.currency)}"
    if facts.mail is not None:
        sent = f"A mail with the receipt was sent to {facts.mail.get('to')}"
        yield f"{sent} (message {facts.mail.get('message_id')})."
    if facts.text is not None and facts.text.get("sid"):
        yield f"A text message was sent to {facts.text.get('to')} (message {facts.text['sid']})."
    for each in reversed(order.returns):
        refunded = amount_for_people(each.amount, order.currency)
        yield f"{refunded} was refunded on {_moment(each.created)} ({each.refund})."
    if order.shipment is not None:
        yield from _sent(facts)
    history = (facts.tracking or {}).get("tracking_history") or []
    for step in history[-MAX_STEPS:]:
        place = step.get("location") or {}
        where = ", ".join(str(place[name]) for name in ("city", "state", "zip", "country") if place.get(name))
        said = one_line(f"{step.get('status_date')} {step.get('status')} {where} {step.get('status_details') or ''}")
        yield f"- {said.strip()}"


def _sent(facts: Facts) -> Iterator[str]:
    """How far the parcel has got. The bank reads evidence once, so nothing is claimed that the carrier has not said."""
    order, tracking = facts.order, facts.tracking or {}
    where = ", ".join(_address(order))
    steps = tracking.get("tracking_history") or ()
    parcels = tracking.get("parcels") or ()
    moving = sum(each.get("status") in MOVING for each in parcels)
    if FULFILLED not in order.times and 0 < moving < len(parcels):
        yield f"The carrier has {moving} of {len(parcels)} parcels to {where}."
    elif FULFILLED in order.times or any(step.get("status") in MOVING for step in steps):
        yield f"It was sent to {where}."
    elif tracking.get("tracking_number") or order.tracking_number:
        yield "A label was bought; the carrier does not have the parcel yet."
    elif order.over:
        yield "It was not sent."
    else:
        yield f"It is to be sent to {where}."


def _address(order: Order) -> list[str]:
    given = order.customer.address
    city = " ".join(filter(None, (given.city, given.state, given.postal_code)))
    parts = (order.customer.name, given.line1, given.line2, city, given.country)
    return [one_line(part) for part in parts if part]


def _shipped(order: Order, tracking: Mapping[str, Any]) -> str:
    """The day on which the carrier took the parcel."""
    for step in tracking.get("tracking_history") or ():
        if step.get("status") in MOVING and step.get("status_date"):
            return str(step["status_date"])[:10]
    return _day(order.times.get(FULFILLED))


def _day(moment: float | None) -> str:
    return "" if moment is None else f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d}"


def _moment(moment: float | None) -> str:
    return "an unknown day" if moment is None else f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"

"""What the page of an order shows: the order's JSON and its tracking, in words for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

from contracts.currencies import amount_for_people
from contracts.texts import one_line

# Of a parcel's states (Shippo's words), those that change the headline.
_PARCEL = {
    "DELIVERED": ("Your parcel was delivered", "We hope you enjoy it."),
    "RETURNED": ("Your parcel is coming back to us", "The carrier could not deliver it. Please write to us."),
    "FAILURE": ("Your parcel could not be delivered", "Please write to us, and we will find a way."),
    "TRANSIT": ("Your parcel is on its way", "The carrier has it. Its latest steps are below."),
}
# The same for an order of several parcels, see `_together`.
_PARCELS = {
    "DELIVERED": ("Your parcels were delivered", "We hope you enjoy them."),
    "RETURNED": ("One of your parcels is coming back to us", "The carrier could not deliver it. Please write to us."),
    "FAILURE": ("One of your parcels could not be delivered", "Please write to us, and we will find a way."),
    "TRANSIT": ("Your parcels are on their way", "The carrier has them, or some of them. Their states are below."),
}
# The states of a dispute (Stripe's words) in which the bank has decided.
_DECIDED = ("won", "lost", "warning_closed", "prevented")
_STEPS = {
    "UNKNOWN": "Label created",
    "PRE_TRANSIT": "Label created",
    "TRANSIT": "On its way",
    "DELIVERED": "Delivered",
    "RETURNED": "Returned to the sender",
    "FAILURE": "Delivery failed",
}
# The messages of an order, as the page names them.
_MESSAGES = {"email": "mail", "sms": "text message"}


def order_view(order: Mapping[str, Any], tracking: Mapping[str, Any] | None) -> dict[str, Any]:
    """The variables of the template `order.html`.

    Args:
        order: the public order object.
        tracking: the answer of `shipping.tracking`; None while there is no parcel, or no answer.
    """
    currency, returned = order["currency"], order["amount_returned"] or 0
    lost = returned - sum(each["amount"] for each in order["returns"]["data"])
    parcel, several = _together(tracking or {}), "parcels" in (tracking or {})
    shipping = order.get("shipping") or {}
    title, text = _headline(order, parcel.get("status"), _PARCELS if several else _PARCEL)
    items = order["items"]
    return {
        "id": order["id"],
        "title": title,
        "text": text,
        "notes": _notes(order),
        "status": order["status"],
        "ordered": _moment(order["created"]),
        "steps": _steps(order, parcel),
        "lines": [_line(item, currency) for item in items if item["type"] == "sku"],
        "extras": [_extra(item, currency) for item in items if item["type"] != "sku"],
        "total": _amount(order["amount"], currency),
        "currency": currency.upper(),
        "paid": _moment(order["status_transitions"]["paid"]),
        "charge": order["charge"],
        "refunds": [
            {
                "date": _moment(each["created"]),
                "amount": _amount(-each["amount"], currency),
                "name": "Refund on its way" if _is_pending(each) else "Refunded",
            }
            for each in order["returns"]["data"]
        ],
        "lost": _amount(-lost, currency) if lost > 0 else None,
        "kept": _amount(order["amount"] - returned, currency) if returned else None,
        "name": one_line(shipping.get("name") or ""),
        "address": _address(shipping.get("address") or {}),
        "parcel": _parcel(order, shipping, tracking),
    }


def _together(tracking: Mapping[str, Any]) -> Mapping[str, Any]:
    """The latest step of the parcel. Of several: the state of one that does not arrive, or else of all together."""
    first: Mapping[str, Any] = tracking.get("tracking_status") or {}
    states = {first.get("status"), *(each["status"] for each in tracking.get("parcels", ())[1:])}
    for state in ("FAILURE", "RETURNED"):
        if state in states:
            return {"status": state}
    if len(states) > 1 and states & {"TRANSIT", "DELIVERED"}:
        return {"status": "TRANSIT"}
    return first


def _headline(
    order: Mapping[str, Any], parcel: str | None, headlines: Mapping[str, tuple[str, str]]
) -> tuple[str, str]:
    payment = order.get("payment") or {}  # a cart service of the previous release shows none
    match order["status"]:
        case "created" if payment.get("status") == "processing":
            return (
                "Your bank is processing your payment",
                "This takes up to 14 business days. We write as soon as it is paid.",
            )
        case "created" if payment.get("status") == "taken":
            why = "We cannot fill your order, for example because a product has sold out."
            return "We have your payment", f"{why} We will write to you."
        case "created" if payment.get("failure") is not None:
            reason = one_line(payment["failure"]["detail"] or "")
            return "Your payment was not made", f"{reason} You can pay again.".strip()
        case "created":
            return "Your order is waiting for its payment", "We have not received a payment for it yet."
        case "canceled":
            return "Your order was canceled", "Nothing was charged."
        case "returned" if (order.get("dispute") or {}).get("status") == "lost":
            return "Your bank has returned your payment", "Your bank has decided the dispute about this order."
        case "returned":
            refunded = _amount(order["amount_returned"] or 0, order["currency"])
            if any(_is_pending(each) for each in order["returns"]["data"]):
                return "Your order is being refunded", f"{refunded} are on their way to you."
            return "Your order was refunded", f"We sent {refunded} back to you."
    dispute = order.get("dispute")
    if dispute is not None and dispute["status"] not in _DECIDED:
        return "Your payment is disputed", "Your bank has asked us about this payment, and will decide about it."
    if parcel is not None and parcel in headlines:
        return headlines[parcel]
    if order.get("upstream_id") is None:
        return "Thank you for your order", "It is paid."
    if order["status"] == "fulfilled":
        return headlines["TRANSIT"]
    return "Thank you for your order", "It is paid, and we are getting your parcel ready."


def _notes(order: Mapping[str, Any]) -> list[str]:
    """The messages that did not reach the shopper. Their recipient is not named: the page's reader may be another."""
    known = order.get("notifications") or {}
    return [
        f"Our {name} about this order could not be delivered."
        for kind, name in _MESSAGES.items()
        if known.get(kind, {}).get("status") in ("failed", "bounced")
        or known.get(kind, {}).get("status code") == "failed"
    ]


def _steps(order: Mapping[str, Any], parcel: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The order's way so far and what comes next: the last step that is done is the current one."""
    times = order["status_transitions"]
    done = [("Ordered", _moment(order["created"]))]
    if times["paid"] is not None:
        done.append(("Paid", _moment(times["paid"])))
    if times["fulfiled"] is not None and order.get("upstream_id") is not None:
        done.append(("Shipped", _moment(times["fulfiled"])))
    if parcel.get("status") == "DELIVERED":
        done.append(("Delivered", _moment(parcel.get("status_date"))))
    ends = {"canceled": "Canceled", "returned": "Refunded"}
    following: list[str] = []
    if order["status"] in ends:
        done.append((ends[order["status"]], _moment(times[order["status"]])))
    else:
        way = ["Ordered", "Paid"] if order.get("upstream_id") is None else ["Ordered", "Paid", "Shipped", "Delivered"]
        following = way[len(done) :]
    steps = [{"name": name, "when": when, "state": "done"} for name, when in done]
    steps[-1]["state"] = "current"
    return [*steps, *({"name": name, "when": None, "state": "next"} for name in following)]


def _is_pending(refund: Mapping[str, Any]) -> bool:
    return refund.get("status") == "pending"  # a cart of the previous release names no status


def _amount(amount: int, currency: str) -> str:
    return amount_for_people(amount, currency).replace("-", "\N{MINUS SIGN}")


def _line(item: Mapping[str, Any], currency: str) -> dict[str, Any]:
    quantity, amount = item["quantity"] or 1, item["amount"]
    return {
        "description": one_line(item["description"] or ""),
        "quantity": quantity,
        # The order has the line's amount; the price of one is shown only when it divides evenly.
        "each": _amount(amount // quantity, currency) if quantity > 1 and amount % quantity == 0 else None,
        "amount": _amount(amount, currency),
    }


def _extra(item: Mapping[str, Any], currency: str) -> dict[str, Any]:
    return {
        "kind": {"shipping": "Shipping", "discount": "Discount"}.get(item["type"]),
        "description": one_line(item["description"] or ""),
        "amount": _amount(item["amount"], currency),
    }


def _address(address: Mapping[str, Any]) -> list[str]:
    region = " ".join(filter(None, (address.get("state"), address.get("postal_code"))))
    city = ", ".join(filter(None, (address.get("city"), region)))
    return [
        one_line(part) for part in (address.get("line1"), address.get("line2"), city, address.get("country")) if part
    ]


def _parcel(
    order: Mapping[str, Any], shipping: Mapping[str, Any], tracking: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """How the goods travel, the parcels' numbers and states, and each step of the first parcel, the newest first; None
    when nothing is sent."""
    if order.get("upstream_id") is None or order["status"] == "canceled":
        return None
    if order["status"] == "returned" and order.get("labels") == []:
        return None  # its labels were given back, or never bought
    chosen = next((each for each in order["shipping_methods"] if each["id"] == order["selected_shipping_method"]), None)
    estimate = (chosen or {}).get("delivery_estimate") or {}
    history = [_event(each) for each in (tracking or {}).get("tracking_history") or ()]
    parcels = (tracking or {}).get("parcels", ())
    states = {each["tracking_number"]: each["status"] for each in parcels}
    if parcels:  # the answer about the first is the more recent one
        states[parcels[0]["tracking_number"]] = ((tracking or {}).get("tracking_status") or {}).get("status")
    # A cart of the previous release shows no labels; of labels that were given back, the first number stays.
    numbers = [each["tracking_number"] for each in order.get("labels") or ()] or [shipping.get("tracking_number")]
    arrived = _together(tracking or {}).get("status") == "DELIVERED"
    return {
        "method": one_line(chosen["description"]) if chosen else None,
        "expected": None if arrived or order["status"] == "returned" else _day(estimate.get("date")),
        "carrier": shipping.get("carrier"),
        "numbers": [{"number": each, "state": _STEPS.get(states.get(each) or "")} for each in numbers if each],
        "known": tracking is not None,
        "history": sorted(history, key=lambda each: each["at"]["iso"] if each["at"] else "", reverse=True),
    }


def _event(step: Mapping[str, Any]) -> dict[str, Any]:
    location = step.get("location") or {}
    where: Iterable[Any] = (location.get("city"), location.get("state"), location.get("country"))
    return {
        "status": step.get("status"),
        "name": _STEPS.get(step.get("status") or "", "Update"),
        "details": one_line(step.get("status_details") or ""),
        "at": _moment(step.get("status_date")),
        "where": one_line(", ".join(str(part) for part in where if part)),
    }


def _moment(value: Any) -> dict[str, str] | None:
    """A time, Unix seconds or ISO 8601, for `<time>`: ``{"iso", "day", "minute"}``, in UTC; None for none."""
    moment = None
    with suppress(ValueError, OverflowError, OSError):
        if isinstance(value, (int, float)):
            moment = datetime.fromtimestamp(value, UTC)
        elif isinstance(value, str):
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if moment is None:
        return None
    day = _written(moment.date())
    return {"iso": f"{moment:%Y-%m-%dT%H:%M:%SZ}", "day": day, "minute": f"{day}, {moment:%H:%M} UTC"}


def _day(value: Any) -> dict[str, str] | None:
    with suppress(ValueError, TypeError):
        day = date.fromisoformat(value)
        return {"iso": day.isoformat(), "day": _written(day)}
    return None


def _written(day: date) -> str:
    return f"{day.day} {day:%B %Y}"

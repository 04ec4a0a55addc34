"""Stripe's coupons: a percentage or an amount off. Terms never change; a coupon can be renamed and deleted."""

from __future__ import annotations

import re
from decimal import Decimal

from sandbox.ids import alphanumeric
from sandbox.state import without_private
from sandbox.stripe.currencies import Currency
from sandbox.stripe.endpoint import Desk, Endpoint, Parameters
from sandbox.stripe.errors import StripeFailure, invalid, missing_object
from sandbox.stripe.lists import page
from sandbox.stripe.params import EXPAND, PAGE, CreatedRange, Int, ListOf, Metadata, Number, Obj, Str, Type, merged

CREATE: dict[str, Type] = {
    "applies_to": Obj({"products": ListOf(Str())}),
    "amount_off": Int(least=1),
    "currency": Currency(),
    "duration": Str(choices=("forever", "once", "repeating")),
    "duration_in_months": Int(least=1),
    "expand": EXPAND,
    "id": Str(limit=500),
    "max_redemptions": Int(least=1),
    "metadata": Metadata(unsettable=True),
    "name": Str(limit=40),
    "percent_off": Number(),
    "redeem_by": Int(),
}
MODIFY: dict[str, Type] = {"expand": EXPAND, "metadata": Metadata(unsettable=True), "name": Str(limit=40)}
LIST: dict[str, Type] = {**PAGE, "created": CreatedRange()}

FIVE_YEARS_S = 5 * 365 * 86400
_ID = re.compile(r"[A-Za-z0-9_-]+")


def check_future(desk: Desk, moment: int, name: str) -> None:
    """Raise StripeFailure (400) for a time that has passed, or is more than five years ahead."""
    if moment <= desk.now():
        raise invalid(
            f"The parameter `{name}` expects a unix timestamp representing a date and time in the future. You "
            f"specified the value `{moment}` which is in the past.",
            name,
        )
    if moment > desk.now() + FIVE_YEARS_S:
        raise invalid("Invalid timestamp: can be no more than five years in the future.", name)


def known_coupon(desk: Desk, coupon_id: str, param: str) -> Parameters:
    """Return a coupon that a parameter names; StripeFailure (400) when it does not exist."""
    coupon = desk.state.get("coupon", coupon_id)
    if coupon is None:
        raise missing_object("coupon", coupon_id, param=param, in_path=False)
    return coupon


def is_valid(desk: Desk, coupon: Parameters) -> bool:
    """Whether a coupon can still be redeemed."""
    return coupon["redeem_by"] is None or coupon["redeem_by"] > desk.now()


def _create(desk: Desk, asked: Parameters) -> Parameters:
    coupon_id = asked.get("id") or alphanumeric("", 8)
    if not _ID.fullmatch(coupon_id):
        raise invalid("Invalid id: it may hold letters, digits, '-' and '_' only", "id")
    if desk.state.raw("coupon", coupon_id) is not None:
        raise StripeFailure("Coupon already exists.", code="resource_already_exists", param="id")
    _check_terms(desk, asked)
    coupon = {
        "id": coupon_id,
        "object": "coupon",
        "amount_off": asked.get("amount_off"),
        "created": desk.now(),
        "currency": asked.get("currency") if "amount_off" in asked else None,
        "duration": asked.get("duration", "once"),
        "duration_in_months": asked.get("duration_in_months"),
        "livemode": False,
        "max_redemptions": asked.get("max_redemptions"),
        "metadata": merged({}, asked.get("metadata")),
        "name": asked.get("name"),
        "percent_off": asked.get("percent_off"),
        "redeem_by": asked.get("redeem_by"),
        "times_redeemed": 0,
        "valid": True,
        **_applies_to(desk, asked),
    }
    desk.state.put("coupon", coupon_id, coupon)
    return without_private(coupon)


def _applies_to(desk: Desk, asked: Parameters) -> Parameters:
    """Return what a coupon keeps of `applies_to`, which answers contain only when it is expanded."""
    products = asked.get("applies_to", {}).get("products")
    for place, product in enumerate(products or ()):
        if desk.state.raw("product", product) is None:
            raise missing_object("product", product, param=f"applies_to[products][{place}]", in_path=False)
    return {"_applies_to": {"products": products}} if products else {}


def _check_terms(desk: Desk, asked: Parameters) -> None:
    if ("percent_off" in asked) == ("amount_off" in asked):
        if "percent_off" in asked:
            message = "You may only specify one of these parameters: amount_off, percent_off."
            raise invalid(message, "amount_off", "parameters_exclusive")
        raise invalid("You must pass either `percent_off` or `amount_off`.", "percent_off", "parameter_missing")
    percent = asked.get("percent_off")
    if percent is not None and not 0 < percent <= 100:
        raise invalid("Invalid percent_off: must be larger than 0, and smaller or equal to 100", "percent_off")
    if percent is not None and Decimal(str(percent)) % Decimal("0.01"):
        raise invalid("Invalid decimal: percent_off has at most two decimal places", "percent_off")
    if "amount_off" in asked and "currency" not in asked:
        raise invalid("You must pass currency when passing amount_off", "currency", "parameter_missing")
    if (asked.get("duration") == "repeating") != ("duration_in_months" in asked):
        raise invalid("duration_in_months is required when duration is repeating, and only then", "duration_in_months")
    if "redeem_by" in asked:
        check_future(desk, asked["redeem_by"], "redeem_by")


def _retrieve(desk: Desk, asked: Parameters, coupon: str) -> Parameters:
    body = desk.state.get("coupon", coupon)
    if body is None:
        raise missing_object("coupon", coupon, param="coupon")
    return without_private({**body, "valid": is_valid(desk, body)})


def _modify(desk: Desk, asked: Parameters, coupon: str) -> Parameters:
    body = {**(desk.state.get("coupon", coupon) or {}), **_retrieve(desk, asked, coupon)}
    body["metadata"] = merged(body["metadata"], asked.get("metadata"))
    body["name"] = asked.get("name", body["name"])
    desk.state.put("coupon", coupon, body)
    return without_private(body)


def _delete(desk: Desk, asked: Parameters, coupon: str) -> Parameters:
    if desk.state.raw("coupon", coupon) is None:
        raise missing_object("coupon", coupon, param="coupon")
    # A promotion code is active only while its coupon is valid.
    for code in desk.state.find("promotion_code", {"coupon": coupon, "active": "true"}):
        desk.state.put("promotion_code", code["id"], {**code, "active": False})
    desk.state.delete("coupon", coupon)
    return {"id": coupon, "object": "coupon", "deleted": True}


def _list(desk: Desk, asked: Parameters) -> Parameters:
    found = page(desk.state, "coupon", "/v1/coupons", asked)
    return {**found, "data": [without_private({**each, "valid": is_valid(desk, each)}) for each in found["data"]]}


ENDPOINTS = (
    Endpoint("POST", "/v1/coupons", CREATE, _create),
    Endpoint("GET", "/v1/coupons", LIST, _list),
    Endpoint("GET", "/v1/coupons/{coupon}", {"expand": EXPAND}, _retrieve),
    Endpoint("POST", "/v1/coupons/{coupon}", MODIFY, _modify),
    Endpoint("DELETE", "/v1/coupons/{coupon}", {}, _delete),
)

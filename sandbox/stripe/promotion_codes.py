"""Stripe's promotion codes: what a customer types to redeem a coupon. Among active ones, a code is unique in any case.

A PaymentIntent redeems none, so `times_redeemed` stays 0.
"""

from __future__ import annotations

import re
import secrets
import string

from sandbox.ids import alphanumeric
from sandbox.stripe.coupons import check_future, is_valid, known_coupon
from sandbox.stripe.currencies import Currency
from sandbox.stripe.endpoint import Desk, Endpoint, Parameters
from sandbox.stripe.errors import StripeFailure, invalid, missing_object
from sandbox.stripe.lists import page
from sandbox.stripe.params import EXPAND, PAGE, Bool, CreatedRange, Int, Metadata, Missing, Obj, Str, Type, merged

CREATE: dict[str, Type] = {
    "promotion": Obj({"coupon": Str(), "type": Str(choices=("coupon",), required=True)}, required=True),
    "active": Bool(),
    "code": Str(limit=500),
    "customer": Missing("customer"),
    "customer_account": Missing("account"),
    "expand": EXPAND,
    "expires_at": Int(),
    "max_redemptions": Int(least=1),
    "metadata": Metadata(unsettable=True),
    "restrictions": Obj(
        {
            "first_time_transaction": Bool(),
            "minimum_amount": Int(least=1),
            "minimum_amount_currency": Currency(),
        }
    ),
}
MODIFY: dict[str, Type] = {"active": Bool(), "expand": EXPAND, "metadata": Metadata(unsettable=True)}
LIST: dict[str, Type] = {
    **PAGE,
    "active": Bool(),
    "code": Str(),
    "coupon": Str(),
    "created": CreatedRange(),
    "customer": Missing("customer"),
    "customer_account": Missing("account"),
}

_CODE = re.compile(r"[a-zA-Z0-9\-_]+")
_CODE_ALPHABET = string.ascii_uppercase + string.digits


def _create(desk: Desk, asked: Parameters) -> Parameters:
    coupon_id = asked["promotion"].get("coupon")
    if coupon_id is None:
        raise invalid("You must pass promotion.coupon when passing promotion", "promotion.coupon")
    coupon = known_coupon(desk, coupon_id, "promotion[coupon]")
    if not is_valid(desk, coupon):
        raise invalid(f"The coupon {coupon_id} is expired.", "promotion[coupon]", "coupon_expired")
    code = asked.get("code") or "".join(secrets.choice(_CODE_ALPHABET) for _ in range(8))
    if not _CODE.fullmatch(code):
        raise invalid(
            f"This value must match the regex pattern. (/\\A[a-zA-Z0-9\\-_]+\\z/ does not match for the value {code}).",
            "code",
        )
    _expire(desk)
    active = asked.get("active", True)
    if active:
        _check_free(desk, code)
    if "expires_at" in asked:
        check_future(desk, asked["expires_at"], "expires_at")
    _check_within_coupon(asked, coupon)
    promotion_code = {
        "id": alphanumeric("promo_", 24),
        "object": "promotion_code",
        "active": active,
        "code": code,
        "created": desk.now(),
        "customer": None,
        "customer_account": None,
        "expires_at": asked.get("expires_at"),
        "livemode": False,
        "max_redemptions": asked.get("max_redemptions"),
        "metadata": merged({}, asked.get("metadata")),
        "promotion": {"coupon": coupon_id, "type": "coupon"},
        "restrictions": _restrictions(asked.get("restrictions", {})),
        "times_redeemed": 0,
    }
    desk.state.put("promotion_code", promotion_code["id"], promotion_code)
    return promotion_code


def _check_within_coupon(asked: Parameters, coupon: Parameters) -> None:
    for name, of_coupon in (("expires_at", "redeem_by"), ("max_redemptions", "max_redemptions")):
        most = coupon[of_coupon]
        if name in asked and most is not None and asked[name] > most:
            raise invalid(f"`{name}` cannot be greater than the coupon's `{of_coupon}` ({most}).", name)


def _restrictions(asked: Parameters) -> Parameters:
    for given, other in (
        ("minimum_amount", "minimum_amount_currency"),
        ("minimum_amount_currency", "minimum_amount"),
    ):
        if given in asked and other not in asked:
            message = f"You must pass restrictions.{other} when passing restrictions.{given}"
            raise invalid(message, f"restrictions.{other}")
    return {
        "first_time_transaction": asked.get("first_time_transaction", False),
        "minimum_amount": asked.get("minimum_amount"),
        "minimum_amount_currency": asked.get("minimum_amount_currency"),
    }


def _check_free(desk: Desk, code: str) -> None:
    if desk.state.find("promotion_code", {"code": code.lower(), "active": "true"}, limit=1):
        # Stripe names neither a code nor a parameter here.
        raise StripeFailure(f"An active promotion code with `code: {code}` already exists.", keep=False)


def _expire(desk: Desk) -> None:
    """Deactivate the codes whose time, or whose coupon's time, is over."""
    for each in desk.state.find("promotion_code", {"active": "true"}):
        coupon = desk.state.get("coupon", each["promotion"]["coupon"])
        over = each["expires_at"] is not None and each["expires_at"] <= desk.now()
        if over or coupon is None or not is_valid(desk, coupon):
            desk.state.put("promotion_code", each["id"], {**each, "active": False})


def _expire_alone(desk: Desk) -> None:
    """As `_expire`, for a request that only reads: the sandbox opens no transaction for it."""
    with desk.state.transaction():
        _expire(desk)


def _stored(desk: Desk, code_id: str) -> Parameters:
    body = desk.state.get("promotion_code", code_id)
    if body is None:
        raise missing_object("promotion code", code_id, param="promotion_code")
    return body


def _retrieve(desk: Desk, asked: Parameters, promotion_code: str) -> Parameters:
    _expire_alone(desk)
    return _stored(desk, promotion_code)


def _modify(desk: Desk, asked: Parameters, promotion_code: str) -> Parameters:
    _expire(desk)
    body = _stored(desk, promotion_code)
    if asked.get("active") and not body["active"]:
        coupon = desk.state.get("coupon", body["promotion"]["coupon"])
        over = body["expires_at"] is not None and body["expires_at"] <= desk.now()
        if over or coupon is None or not is_valid(desk, coupon):
            raise invalid("This promotion code cannot be reactivated.", "active")
        _check_free(desk, body["code"])
    body["active"] = asked.get("active", body["active"])
    body["metadata"] = merged(body["metadata"], asked.get("metadata"))
    desk.state.put("promotion_code", promotion_code, body)
    return body


def _list(desk: Desk, asked: Parameters) -> Parameters:
    _expire_alone(desk)
    where: dict[str, str] = {}
    if "coupon" in asked:
        where["coupon"] = known_coupon(desk, asked["coupon"], "coupon")["id"]
    if "code" in asked:
        where["code"] = asked["code"].lower()
    if "active" in asked:
        where["active"] = str(asked["active"]).lower()
    return page(desk.state, "promotion_code", "/v1/promotion_codes", asked, where)


ENDPOINTS = (
    Endpoint("POST", "/v1/promotion_codes", CREATE, _create),
    Endpoint("GET", "/v1/promotion_codes", LIST, _list),
    Endpoint("GET", "/v1/promotion_codes/{promotion_code}", {"expand": EXPAND}, _retrieve),
    Endpoint("POST", "/v1/promotion_codes/{promotion_code}", MODIFY, _modify),
)

"""The port for discount codes over Stripe's promotion codes, each with a coupon of its own that has the terms."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from cart.rules.discount import Discount, Terms, hundredths
from cart.stripe.payments import StripePayments
from chassis.logs import log
from chassis.records import SetAside, Unreadable, id_of, read_one
from contracts.currencies import currency_code
from contracts.errors import Conflict, OutcomeUnknown, ProviderFailure, Refused, ShopError

PAGE = 100
LONGEST_COUPON_NAME = 40
# The terms are the coupon's, of which Stripe returns only the id, and without the products, unless they are expanded.
_WITH_COUPON = ["promotion.coupon", "promotion.coupon.applies_to"]
_KIND = "promotion code at Stripe"


class StripeDiscounts:
    """The `Discounts` port over Stripe.

    Args:
        payments: the adapter whose connections and error translation are used here, too.
    """

    def __init__(self, payments: StripePayments) -> None:
        self._payments = payments

    def create(self, terms: Terms, key: str) -> Discount:
        coupon: Any = {"name": terms.code[:LONGEST_COUPON_NAME], "duration": "once"}
        if terms.hundredths is None:
            coupon |= {"amount_off": terms.amount_off, "currency": terms.currency}
        else:
            coupon["percent_off"] = terms.hundredths / 100
        # A second coupon does nothing: it has no code.
        made = self._payments.asked_once(
            lambda client, options: client.v1.coupons.create(coupon, options), f"{key}:coupon"
        )
        code: Any = {"promotion": {"type": "coupon", "coupon": made.id}, "code": terms.code, "expand": _WITH_COUPON}
        code |= {
            name: value
            for name, value in {"max_redemptions": terms.max_redemptions, "expires_at": terms.expires_at}.items()
            if value is not None
        }
        if terms.minimum_amount is not None:
            minimum = {"minimum_amount": terms.minimum_amount, "minimum_amount_currency": terms.currency}
            code["restrictions"] = minimum
        try:
            found = self._payments.asked_once(
                lambda client, options: client.v1.promotion_codes.create(code, options),
                f"{key}:code",
                lambda: self._code_of(made.id),
            )
        except Refused as refused:
            with suppress(ShopError):  # a coupon without a code does nothing
                self._payments.asked(lambda client: client.v1.coupons.delete(made.id))
            if self._is_taken(terms.code):
                raise Conflict(f"There is a discount code {terms.code} already.") from refused
            raise
        try:
            return _read(found)
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            raise OutcomeUnknown("Stripe's answer cannot be read.") from error

    def withdraw(self, discount_id: str) -> None:
        try:
            self._payments.asked_once(
                lambda client, _: client.v1.promotion_codes.update(discount_id, {"active": False}), None
            )
        except Refused as refused:
            if not _is_missing(refused):
                raise

    def find(self, discount_id: str) -> Discount | None:
        asked: Any = {"expand": _WITH_COUPON}
        try:
            found = self._payments.asked(lambda client: client.v1.promotion_codes.retrieve(discount_id, asked))
        except Refused as refused:
            if _is_missing(refused):
                return None
            raise
        read = read_one(_KIND, found, _read)
        if isinstance(read, SetAside):
            raise ProviderFailure(f"Stripe's promotion code {discount_id} cannot be read.")
        return read

    def page(self, after: str | None) -> tuple[list[Discount | SetAside], str | None]:
        asked: Any = {"limit": PAGE, "expand": [f"data.{name}" for name in _WITH_COUPON]}
        if after is not None:
            asked["starting_after"] = after
        found = self._payments.asked(lambda client: client.v1.promotion_codes.list(asked))
        try:
            page = [read_one(_KIND, each, _read) for each in found.data]
            last = id_of(found.data[-1]) if found.has_more else None
        except (KeyError, AttributeError, TypeError, IndexError) as error:
            raise ProviderFailure("Stripe's list cannot be read.") from error
        if last is not None and last in ("?", after):
            raise ProviderFailure("Stripe's list cannot be read on: its records have no ids.")
        return page, last

    def _code_of(self, coupon_id: str) -> Any:
        """The code of a coupon that `create` made; None when it has none."""
        asked: Any = {"coupon": coupon_id, "limit": 1, "expand": [f"data.{name}" for name in _WITH_COUPON]}
        return next(iter(self._payments.asked(lambda client: client.v1.promotion_codes.list(asked)).data), None)

    def _is_taken(self, code: str) -> bool:
        asked: Any = {"code": code, "active": True, "limit": 1}
        return bool(self._payments.asked(lambda client: client.v1.promotion_codes.list(asked)).data)


def _is_missing(refused: Refused) -> bool:
    return refused.facts.get("code") == "resource_missing"


def _read(promotion_code: Any) -> Discount:
    body = promotion_code.to_dict()
    coupon, restrictions = body["promotion"]["coupon"], body["restrictions"]
    coupon_id = coupon["id"] if isinstance(coupon, dict) else coupon
    if not isinstance(coupon, dict) or coupon.get("deleted"):  # the code can never be redeemed again
        coupon = {"valid": False, "percent_off": 0}
    percent = coupon.get("percent_off")
    currencies = {coupon.get("currency"), restrictions.get("minimum_amount_currency")} - {None}
    expiries = [moment for moment in (body.get("expires_at"), coupon.get("redeem_by")) if moment is not None]
    terms = Terms(
        code=str(body["code"]),
        hundredths=None if percent is None else hundredths(percent),
        amount_off=_whole(coupon.get("amount_off")),
        currency=currency_code(min(currencies)) if currencies else None,
        minimum_amount=_whole(restrictions.get("minimum_amount")),
        max_redemptions=_whole(body.get("max_redemptions")),
        expires_at=_whole(min(expiries)) if expiries else None,
    )
    reason = _not_kept(body, coupon, currencies)
    if reason is not None and body["active"]:
        log.warning("discount code not offered", code=terms.code, reason=reason)
    active = bool(body["active"]) and coupon.get("valid") is not False and reason is None
    return Discount(body["id"], terms, active, int(body["created"]), terms_id=coupon_id)


def _not_kept(body: dict[str, Any], coupon: dict[str, Any], currencies: set[Any]) -> str | None:
    """Why the shop cannot keep the terms of a code that was made in the dashboard, or None."""
    if body.get("customer") or body["restrictions"].get("first_time_transaction"):
        return "it is for certain customers"
    if coupon.get("max_redemptions") is not None:
        return "its coupon has a number of redemptions for all of its codes"
    if coupon.get("applies_to"):
        return "its coupon is for certain products"
    return "it has two currencies" if len(currencies) > 1 else None


def _whole(amount: Any) -> int | None:
    if amount is not None and (isinstance(amount, bool) or not isinstance(amount, int)):
        raise Unreadable(f"{str(amount)[:20]!r} is no whole number")
    return amount

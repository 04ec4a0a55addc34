"""Stripe's tax calculations: the tax on each line and on the shipping cost. A calculation can be used for 90 days."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from sandbox.ids import alphanumeric
from sandbox.shippo.us_zips import STATES
from sandbox.stripe.currencies import Currency
from sandbox.stripe.endpoint import Desk, Endpoint, Parameters
from sandbox.stripe.errors import invalid, missing_object
from sandbox.stripe.lists import page_of
from sandbox.stripe.params import EXPAND, PAGE, Int, ListOf, Metadata, Missing, Obj, Str, Type, merged
from sandbox.stripe.tax_codes import DEFAULT_CODE, known_tax_code
from sandbox.stripe.tax_location import ADDRESS, CUSTOMER_DETAILS, customer_details, place_of, shown_address
from sandbox.stripe.tax_rates import SHIPPING, Place, Tax, no_tax, tax_on

_BEHAVIOR: Final = Str(choices=("exclusive", "inclusive"))
CREATE: Final[dict[str, Type]] = {
    "currency": Currency(required=True),
    "customer": Str(),
    "customer_details": Obj(CUSTOMER_DETAILS),
    "expand": EXPAND,
    "line_items": ListOf(
        Obj(
            {
                "amount": Int(required=True, least=0),
                "metadata": Metadata(),
                "performance_location": Missing("tax location"),
                "product": Str(),
                "quantity": Int(least=1),
                "reference": Str(limit=500),
                "tax_behavior": _BEHAVIOR,
                "tax_code": Str(),
            }
        ),
        required=True,
    ),
    "ship_from_details": Obj({"address": Obj(ADDRESS, required=True)}),
    "shipping_cost": Obj(
        {
            "amount": Int(least=0),
            "shipping_rate": Missing("shipping rate"),
            "tax_behavior": _BEHAVIOR,
            "tax_code": Str(),
        }
    ),
    "tax_date": Int(),
}
LIST: Final[dict[str, Type]] = PAGE

VALID_S: Final = 90 * 86400
_TAX_DATE_RANGE_S: Final = 31 * 86400
# What an answer contains only when it is expanded.
_BREAKDOWN = "tax_breakdown"
_SUBLIST_LIMIT: Final = 10


def shown(body: Parameters, url: str, asked: Parameters) -> Parameters:
    """Return a calculation or a transaction as an answer shows it, and take `expand` out of what was asked.

    Its line items, and the breakdown of each and of the shipping cost, are included only when they are expanded.
    """
    lines, paths = f"{url}/line_items", asked.pop("expand", [])
    _check_paths(paths, ("line_items", f"line_items.data.{_BREAKDOWN}", f"shipping_cost.{_BREAKDOWN}"))
    answer = {name: value for name, value in body.items() if not name.startswith("_")}
    if answer["shipping_cost"] and f"shipping_cost.{_BREAKDOWN}" not in paths:
        answer["shipping_cost"] = _bare(answer["shipping_cost"])
    with_breakdown = f"line_items.data.{_BREAKDOWN}" in paths
    if with_breakdown or "line_items" in paths:
        shown_lines = body["_lines"] if with_breakdown else [_bare(line) for line in body["_lines"]]
        answer["line_items"] = page_of(shown_lines, lines, {"limit": _SUBLIST_LIMIT})
    return answer


def lines_page(body: Parameters, url: str, asked: Parameters) -> Parameters:
    """Return a page of the line items of a calculation or a transaction."""
    paths = asked.pop("expand", [])
    _check_paths(paths, (f"data.{_BREAKDOWN}",))
    return page_of([line if paths else _bare(line) for line in body["_lines"]], f"{url}/line_items", asked)


def reading(url: Callable[[str], str], stored: Callable[[Desk, str], Parameters]) -> tuple[Endpoint, Endpoint]:
    """The endpoints that read a calculation or a transaction, and its line items.

    Args:
        url: the path of one, by its id.
        stored: reads it by its id; StripeFailure (404) when there is none.
    """

    def retrieve(desk: Desk, asked: Parameters, item: str) -> Parameters:
        return shown(stored(desk, item), url(item), asked)

    def list_lines(desk: Desk, asked: Parameters, item: str) -> Parameters:
        return lines_page(stored(desk, item), url(item), asked)

    path = url("{item}")
    return (
        Endpoint("GET", path, {"expand": EXPAND}, retrieve),
        Endpoint("GET", f"{path}/line_items", LIST, list_lines),
    )


def _check_paths(paths: Iterable[str], known: tuple[str, ...]) -> None:
    for path in paths:
        if path not in known:
            raise invalid(f"This property cannot be expanded ({path}).", "expand")


def _bare(item: Parameters) -> Parameters:
    return {name: value for name, value in item.items() if name != _BREAKDOWN}


def usable_calculation(desk: Desk, calculation: str) -> Parameters | None:
    """Return a calculation that has not expired, or None."""
    body = desk.state.get("tax_calculation", calculation)
    return None if body is None or body["expires_at"] <= desk.now() else body


def _create(desk: Desk, asked: Parameters) -> Parameters:
    calculation_id, now = alphanumeric("taxcalc_", 24), desk.now()
    details = customer_details(asked)
    tax_date = asked.get("tax_date", now)
    if abs(tax_date - now) > _TAX_DATE_RANGE_S:
        raise invalid("Invalid tax_date: must be at most 31 days in the past or in the future.", "tax_date")
    ship_from = asked.get("ship_from_details")
    rule = _Rule(place_of(details["address"]), details)
    lines = [_line(desk, item, number, rule) for number, item in enumerate(asked["line_items"])]
    check_unique(lines)
    shipping_cost = _shipping_cost(asked["shipping_cost"], rule) if "shipping_cost" in asked else None
    taxed = [*lines, *([shipping_cost] if shipping_cost else [])]
    exclusive = sum(each["amount_tax"] for each in taxed if each["tax_behavior"] == "exclusive")
    body = {
        "id": calculation_id,
        "object": "tax.calculation",
        "amount_total": sum(each["amount"] for each in taxed) + exclusive,
        "currency": asked["currency"],
        "customer": None,
        "customer_details": details,
        "expires_at": now + VALID_S,
        "livemode": False,
        "ship_from_details": ship_from
        and {"address": shown_address(ship_from["address"], "ship_from_details[address]")},
        "shipping_cost": shipping_cost,
        "tax_amount_exclusive": exclusive,
        "tax_amount_inclusive": sum(each["amount_tax"] for each in taxed) - exclusive,
        "tax_breakdown": _totals(taxed, rule.place),
        "tax_date": tax_date,
        "_lines": lines,
    }
    desk.state.put("tax_calculation", calculation_id, body)
    return shown(body, _url(calculation_id), asked)


class _Rule:
    """How this customer is taxed."""

    def __init__(self, place: Place, details: Mapping[str, Any]) -> None:
        self.place = place
        self._override = details["taxability_override"]
        kind = "gb_vat" if place.country == "GB" else "eu_vat"
        business = any(tax_id["type"] == kind for tax_id in details["tax_ids"])
        # A business accounts for the VAT itself when the seller, in the US, is abroad.
        if self._override == "none" and business and place.tax_type == "vat":
            self._override = "reverse_charge"

    def apply(self, amount: int, behavior: str, code: str) -> dict[str, Any]:
        """Return `amount_tax`, rounded half up to the smallest unit, and `tax_breakdown` of one amount."""
        tax = tax_on(code, self.place)
        if tax.imposed and self._override != "none":
            tax = no_tax(self._override)
        base = Decimal(100) if behavior == "exclusive" else 100 + tax.percent
        amount_tax = int((amount * tax.percent / base).to_integral_value(rounding=ROUND_HALF_UP))
        taxable = (amount if behavior == "exclusive" else amount - amount_tax) if tax.imposed else 0
        return {"amount_tax": amount_tax, "tax_breakdown": [self._breakdown(tax, amount_tax, taxable)]}

    def _breakdown(self, tax: Tax, amount: int, taxable: int) -> dict[str, Any]:
        country, state = self.place.country, self.place.state
        rate = {
            "display_name": "VAT" if self.place.tax_type == "vat" else "Sales and Use Tax",
            "percentage_decimal": str(float(tax.percent)),
            "tax_type": self.place.tax_type,
        }
        return {
            "amount": amount,
            "jurisdiction": {
                "country": country,
                "display_name": STATES[state][0] if state else country,
                "level": "state" if state else "country",
                "state": state,
            },
            "sourcing": "destination",
            "tax_rate_details": rate if tax.imposed else None,
            "taxability_reason": tax.reason,
            "taxable_amount": taxable,
        }


def _line(desk: Desk, item: Parameters, number: int, rule: _Rule) -> Parameters:
    line_id, param = alphanumeric("tax_li_", 14), f"line_items[{number}]"
    product = None
    if "product" in item:
        product = desk.state.get("product", item["product"])
        if product is None:
            raise missing_object("product", item["product"], param=f"{param}[product]", in_path=False)
    code = item.get("tax_code") or (product and product["tax_code"]) or DEFAULT_CODE
    behavior = item.get("tax_behavior", "exclusive")
    return {
        "id": line_id,
        "object": "tax.calculation_line_item",
        "amount": item["amount"],
        "livemode": False,
        "metadata": merged({}, item.get("metadata")) or None,
        "performance_location": None,
        "product": item.get("product"),
        "quantity": item.get("quantity", 1),
        "reference": item.get("reference", line_id),
        "tax_behavior": behavior,
        "tax_code": known_tax_code(code, f"{param}[tax_code]"),
        **rule.apply(item["amount"], behavior, code),
    }


def check_unique(lines: list[Parameters]) -> None:
    """Raise StripeFailure (400) when two lines have the same reference."""
    seen = set()
    for number, line in enumerate(lines):
        if line["reference"] in seen:
            raise invalid(
                f"Line item references must be unique: '{line['reference']}' is used more than once.",
                f"line_items[{number}][reference]",
            )
        seen.add(line["reference"])


def _shipping_cost(asked: Parameters, rule: _Rule) -> Parameters:
    if "amount" not in asked:
        raise invalid("Missing required param: shipping_cost[amount].", "shipping_cost[amount]", "parameter_missing")
    code, behavior = asked.get("tax_code", SHIPPING), asked.get("tax_behavior", "exclusive")
    return {
        "amount": asked["amount"],
        "tax_behavior": behavior,
        "tax_code": known_tax_code(code, "shipping_cost[tax_code]"),
        **rule.apply(asked["amount"], behavior, code),
    }


def _totals(taxed: list[Parameters], place: Place) -> list[Parameters]:
    """Return the calculation's `tax_breakdown`: the sums of equal rates and reasons."""
    totals: dict[tuple[str, str, bool], Parameters] = {}
    for each in taxed:
        inclusive = each["tax_behavior"] == "inclusive"
        for part in each[_BREAKDOWN]:
            percent = part["tax_rate_details"]["percentage_decimal"] if part["tax_rate_details"] else "0.0"
            reason = part["taxability_reason"]
            total = totals.setdefault((percent, reason, inclusive), _total(place, percent, reason, inclusive))
            total["amount"] += part["amount"]
            total["taxable_amount"] += part["taxable_amount"]
    return list(totals.values())


def _total(place: Place, percent: str, reason: str, inclusive: bool) -> Parameters:
    return {
        "amount": 0,
        "inclusive": inclusive,
        "tax_rate_details": {
            "country": place.country,
            "flat_amount": None,
            "percentage_decimal": percent,
            "rate_type": None if reason in ("not_collecting", "not_supported") else "percentage",
            "state": place.state,
            "tax_type": place.tax_type,
        },
        "taxability_reason": reason,
        "taxable_amount": 0,
    }


def _stored(desk: Desk, calculation: str) -> Parameters:
    body = usable_calculation(desk, calculation)
    if body is None:
        raise missing_object("tax calculation", calculation, param="calculation")
    return body


def _url(calculation: str) -> str:
    return f"/v1/tax/calculations/{calculation}"


ENDPOINTS = (
    Endpoint("POST", "/v1/tax/calculations", CREATE, _create),
    *reading(_url, _stored),
)

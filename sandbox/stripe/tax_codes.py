"""Stripe's tax codes, of which the sandbox knows a few, and the account's tax settings."""

from __future__ import annotations

from typing import Any, Final

from sandbox.stripe import tax_rates
from sandbox.stripe.endpoint import Desk, Endpoint, Parameters
from sandbox.stripe.errors import missing_object
from sandbox.stripe.lists import page_of
from sandbox.stripe.params import EXPAND, PAGE

_CODES: Final = {
    tax_rates.GOODS: (
        "General - Tangible Goods",
        "Any tangible or physical good. For jurisdictions that impose a tax, the standard rate is applied.",
    ),
    tax_rates.SERVICES: (
        "General - Services",
        "Miscellaneous services. This code will only treat services as taxable if the jurisdiction taxes services "
        "generally.",
    ),
    tax_rates.DIGITAL: (
        "General - Electronically Supplied Services",
        "Any electronically supplied good or service.",
    ),
    tax_rates.NONTAXABLE: (
        "Nontaxable",
        "Any nontaxable good or service which can be used to ensure no tax is applied, even for jurisdictions that "
        "impose a tax.",
    ),
    tax_rates.SHIPPING: ("Shipping", "Shipping and handling of goods."),
    tax_rates.CLOTHING: ("Clothing and Footwear", "Clothing and footwear for general use."),
    tax_rates.FOOD: ("Food for Non-Immediate Consumption", "Food and food ingredients for consumption at home."),
}
LIST: Final = PAGE
DEFAULT_CODE: Final = tax_rates.GOODS
HEAD_OFFICE: Final = {
    "city": "San Francisco",
    "country": "US",
    "line1": "965 Mission St",
    "line2": None,
    "postal_code": "94103",
    "state": "CA",
}


def known_tax_code(code: str, param: str) -> str:
    """Return a tax code that a parameter names; StripeFailure (400) when it does not exist."""
    if code not in _CODES:
        raise missing_object("tax code", code, param=param, in_path=False)
    return code


def _shown(code: str) -> dict[str, Any]:
    name, description = _CODES[code]
    return {"id": code, "object": "tax_code", "description": description, "name": name, "requirements": None}


def _list(desk: Desk, asked: Parameters) -> Parameters:
    return page_of([_shown(code) for code in _CODES], "/v1/tax_codes", asked)


def _retrieve(desk: Desk, asked: Parameters, code: str) -> Parameters:
    if code not in _CODES:
        raise missing_object("tax code", code)
    return _shown(code)


def _settings(desk: Desk, asked: Parameters) -> Parameters:
    return {
        "object": "tax.settings",
        "defaults": {"provider": "stripe", "tax_behavior": "exclusive", "tax_code": DEFAULT_CODE},
        "head_office": {"address": HEAD_OFFICE},
        "livemode": False,
        "status": "active",
        "status_details": {"active": {}},
    }


ENDPOINTS = (
    Endpoint("GET", "/v1/tax_codes", LIST, _list),
    Endpoint("GET", "/v1/tax_codes/{code}", {"expand": EXPAND}, _retrieve),
    Endpoint("GET", "/v1/tax/settings", {"expand": EXPAND}, _settings),
)

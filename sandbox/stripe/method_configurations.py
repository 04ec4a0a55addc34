"""Stripe's payment method configuration: which kinds of payment methods the account offers.

The object: https://docs.stripe.com/api/payment_method_configurations/object. The sandbox has one, which offers what the
sandbox plays; it cannot be changed.
"""

from __future__ import annotations

from sandbox.stripe.bank_accounts import BANK_ACCOUNT
from sandbox.stripe.endpoint import Desk, Endpoint, Parameters
from sandbox.stripe.errors import missing_object
from sandbox.stripe.params import EXPAND, PAGE, Str, Type

_ID = "pmc_1SandboxDefaultConfig0000"
_OFFERED = ("card", BANK_ACCOUNT)
_OTHERS = (
    *("acss_debit", "affirm", "afterpay_clearpay", "alipay", "amazon_pay", "apple_pay", "bacs_debit", "bancontact"),
    *("blik", "cartes_bancaires", "cashapp", "customer_balance", "eps", "giropay", "google_pay", "ideal", "klarna"),
    *("link", "multibanco", "p24", "sepa_debit", "sofort", "wechat_pay", "zip"),
)
LIST: dict[str, Type] = {**PAGE, "application": Str(unsettable=True)}


def _configuration() -> Parameters:
    methods = {
        name: {
            "available": name in _OFFERED,
            "display_preference": {
                "overridable": None,
                "preference": "on" if name in _OFFERED else "off",
                "value": "on" if name in _OFFERED else "off",
            },
        }
        for name in (*_OFFERED, *_OTHERS)
    }
    return {
        "id": _ID,
        "object": "payment_method_configuration",
        "active": True,
        "application": None,
        "is_default": True,
        "livemode": False,
        "name": "Default",
        "parent": None,
        **methods,
    }


def _list(_desk: Desk, asked: Parameters) -> Parameters:
    data = [] if asked.get("starting_after") == _ID or asked.get("ending_before") == _ID else [_configuration()]
    return {"object": "list", "data": data, "has_more": False, "url": "/v1/payment_method_configurations"}


def _retrieve(_desk: Desk, _asked: Parameters, configuration: str) -> Parameters:
    if configuration != _ID:
        raise missing_object("payment_method_configuration", configuration, param="configuration")
    return _configuration()


ENDPOINTS = (
    Endpoint("GET", "/v1/payment_method_configurations", LIST, _list),
    Endpoint("GET", "/v1/payment_method_configurations/{configuration}", {"expand": EXPAND}, _retrieve),
)

"""The tax rates of the sandbox: US state sales tax, VAT of the EU and of the United Kingdom, for a few tax codes.

A model of Stripe Tax, not tax advice. It taxes by destination, leaves out what counties and cities add, and ignores
price limits, holidays and tax-free territories. Outside of these places the shop counts as not registered.
Sources: the states' revenue departments; https://europa.eu/youreurope/business/taxation/vat/vat-rules-rates/.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

GOODS: Final = "txcd_99999999"
SERVICES: Final = "txcd_20030000"
DIGITAL: Final = "txcd_10000000"
NONTAXABLE: Final = "txcd_00000000"
SHIPPING: Final = "txcd_92010001"
CLOTHING: Final = "txcd_30011000"
FOOD: Final = "txcd_40040000"

# State -> percent on general goods. Utah and Virginia include the part that every locality adds.
US_STATES: Final[dict[str, str]] = {
    "AL": "4", "AZ": "5.6", "AR": "6.5", "CA": "7.25", "CO": "2.9", "CT": "6.35", "DC": "6", "FL": "6", "GA": "4",
    "HI": "4", "ID": "6", "IL": "6.25", "IN": "7", "IA": "6", "KS": "6.5", "KY": "6", "LA": "5", "ME": "5.5", "MD": "6",
    "MA": "6.25", "MI": "6", "MN": "6.875", "MS": "7", "MO": "4.225", "NE": "5.5", "NV": "6.85", "NJ": "6.625",
    "NM": "4.875", "NY": "4", "NC": "4.75", "ND": "5", "OH": "5.75", "OK": "4.5", "PA": "6", "RI": "7", "SC": "6",
    "SD": "4.2", "TN": "7", "TX": "6.25", "UT": "6.1", "VT": "6", "VA": "5.3", "WA": "6.5", "WV": "6", "WI": "5",
    "WY": "4",
}  # fmt: skip
US_UNTAXED_STATES: Final = ("AK", "DE", "MT", "NH", "OR")
US_TAXED_SHIPPING: Final = frozenset(
    "AR CT DC GA HI IN KY MN MS NE NJ NM NY NC ND OH PA RI SC SD TN TX VT WA WV WI".split()  # noqa: SIM905
)
US_TAXED_SERVICES: Final = frozenset(("HI", "NM", "SD", "WV"))
US_UNTAXED_DIGITAL: Final = frozenset("CA FL IL KS MA MI MO ND NV NY OK SC VA".split())  # noqa: SIM905
US_UNTAXED_CLOTHING: Final = frozenset(("MA", "MN", "NJ", "NY", "PA", "RI", "VT"))
# Food is exempt in the other states.
US_FOOD: Final[dict[str, str]] = {
    "AL": "2", "HI": "4", "ID": "6", "MO": "1.225", "MS": "5", "SD": "4.2", "TN": "4", "UT": "3", "VA": "1",
}  # fmt: skip

# Country -> percent on everything but what VAT_FOOD names.
VAT: Final[dict[str, str]] = {
    "AT": "20", "BE": "21", "BG": "20", "CY": "19", "CZ": "21", "DE": "19", "DK": "25", "EE": "24", "ES": "21",
    "FI": "25.5", "FR": "20", "GR": "24", "HR": "25", "HU": "27", "IE": "23", "IT": "22", "LT": "21", "LU": "17",
    "LV": "21", "MT": "18", "NL": "21", "PL": "23", "PT": "23", "RO": "21", "SE": "25", "SI": "22", "SK": "23",
    "GB": "20",
}  # fmt: skip
VAT_FOOD: Final[dict[str, str]] = {
    "AT": "10", "BE": "6", "CZ": "12", "DE": "7", "ES": "10", "FI": "13.5", "FR": "5.5", "GB": "0", "GR": "13",
    "IE": "0", "IT": "10", "LU": "3", "MT": "0", "NL": "9", "PL": "5", "PT": "6", "RO": "11", "SE": "6", "SI": "9.5",
}  # fmt: skip
# Stripe Tax calculates here, but the shop is not registered. Elsewhere it does not calculate.
UNREGISTERED: Final = frozenset("AE AU CA CH CL IN IS JP KR MX MY NO NZ SA SG TH TR ZA".split())  # noqa: SIM905


@dataclass(frozen=True)
class Place:
    """Where the customer is: country (ISO 3166-1, two letters), and in the US the state (two letters)."""

    country: str
    state: str | None = None

    @property
    def tax_type(self) -> str | None:
        """Stripe's name of the kind of tax that is common here; None where the sandbox has no rates."""
        return "sales_tax" if self.country == "US" else "vat" if self.country in VAT else None


@dataclass(frozen=True)
class Tax:
    """The tax on one thing: percent of the net amount, and Stripe's `taxability_reason`."""

    percent: Decimal
    reason: str

    @property
    def imposed(self) -> bool:
        """Whether there is a rate, even one of 0 (`zero_rated`)."""
        return self.reason in ("standard_rated", "reduced_rated", "zero_rated")


def no_tax(reason: str) -> Tax:
    """Return that nothing is taxed, for this `taxability_reason`."""
    return Tax(Decimal(0), reason)


def tax_on(tax_code: str, place: Place) -> Tax:
    """Return the tax on what has this tax code, for a customer in this place."""
    if tax_code == NONTAXABLE:
        return no_tax("not_subject_to_tax")
    if place.country == "US":
        return _sales_tax(tax_code, place.state or "")
    if place.country in VAT:
        return _vat(tax_code, place.country)
    return no_tax("not_collecting" if place.country in UNREGISTERED else "not_supported")


def _sales_tax(tax_code: str, state: str) -> Tax:
    if state in US_UNTAXED_STATES:
        return no_tax("not_collecting")
    if state not in US_STATES:  # a territory, or a military address
        return no_tax("not_supported")
    percent = US_FOOD.get(state) if tax_code == FOOD else US_STATES[state]
    exempt = (
        (tax_code == SHIPPING and state not in US_TAXED_SHIPPING)
        or (tax_code == SERVICES and state not in US_TAXED_SERVICES)
        or (tax_code == DIGITAL and state in US_UNTAXED_DIGITAL)
        or (tax_code == CLOTHING and state in US_UNTAXED_CLOTHING)
    )
    if exempt or percent is None:
        return no_tax("product_exempt")
    return Tax(Decimal(percent), "standard_rated" if percent == US_STATES[state] else "reduced_rated")


def _vat(tax_code: str, country: str) -> Tax:
    percent = VAT_FOOD.get(country, VAT[country]) if tax_code == FOOD else VAT[country]
    reason = "zero_rated" if percent == "0" else "standard_rated" if percent == VAT[country] else "reduced_rated"
    return Tax(Decimal(percent), reason)


def printed_table() -> dict[str, object]:
    """Return all rates as JSON, for people."""
    return {
        "us_state_percent": {**US_STATES, **dict.fromkeys(US_UNTAXED_STATES, "0")},
        "us_food_percent": US_FOOD,
        "us_shipping_is_taxed_in": sorted(US_TAXED_SHIPPING),
        "us_services_are_taxed_in": sorted(US_TAXED_SERVICES),
        "us_electronic_services_are_exempt_in": sorted(US_UNTAXED_DIGITAL),
        "us_clothing_is_exempt_in": sorted(US_UNTAXED_CLOTHING),
        "vat_percent": VAT,
        "vat_food_percent": VAT_FOOD,
        "not_collecting": sorted(UNREGISTERED),
    }

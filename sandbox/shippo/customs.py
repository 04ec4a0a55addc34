"""Shippo's customs declarations: a parcel that leaves the country gets no label without one."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from sandbox.ids import hexadecimal
from sandbox.shippo.errors import OWNER, REQUIRED, check_known, invalid, moment
from sandbox.state import State

FIELDS = frozenset(
    """
    address_importer aes_itn b13a_filing_option b13a_number certificate certify certify_signer
    commercial_invoice contents_explanation contents_type disclaimer duties_payor eel_pfc
    exporter_identification exporter_reference importer_reference incoterm invoice is_vat_collected items
    license metadata non_delivery_option notes test
    """.split()  # noqa: SIM905 - a list of names reads better so
)
ITEM_FIELDS = frozenset(
    """
    description eccn_ear99 hs_code mass_unit metadata net_weight origin_country quantity sku_code tariff_number
    value_amount value_currency
    """.split()  # noqa: SIM905 - a list of names reads better so
)
_NEEDED = ("certify", "certify_signer", "contents_type", "items", "non_delivery_option")
_ITEM_NEEDED = (
    "description", "mass_unit", "net_weight", "origin_country", "quantity", "value_amount", "value_currency",
)  # fmt: skip
_AMOUNT = re.compile(r"\d{1,12}(\.\d{1,4})?")
_CONTENTS = ("DOCUMENTS", "GIFT", "SAMPLE", "MERCHANDISE", "HUMANITARIAN_DONATION", "RETURN_MERCHANDISE", "OTHER")


def read_declaration(state: State, given: Any) -> dict[str, Any]:
    """Return the declaration of a request, by id or as an object (then stored); ShippoFailure (400) when it is
    invalid."""
    if isinstance(given, str):
        stored = state.get("customs_declaration", given)
        if stored is None:
            raise invalid({"non_field_errors": [f"Customs declaration with object_id {given[:40]} not found."]})
        return stored
    given = check_known(given, FIELDS)
    wrong: dict[str, Any] = {name: [REQUIRED] for name in _NEEDED if given.get(name) in (None, "", [])}
    if "certify" not in wrong and given["certify"] is not True:
        wrong["certify"] = ["The declaration must be certified."]
    if "contents_type" not in wrong and given["contents_type"] not in _CONTENTS:
        wrong["contents_type"] = [f'"{given["contents_type"]}" is not a valid choice.']
    if "non_delivery_option" not in wrong and given["non_delivery_option"] not in ("ABANDON", "RETURN"):
        wrong["non_delivery_option"] = [f'"{given["non_delivery_option"]}" is not a valid choice.']
    if "items" not in wrong:
        problems = [_item_problems(item) for item in given["items"]]
        if any(problems):
            wrong["items"] = problems
    if wrong:
        raise invalid(wrong)
    now = state.now()
    items = [hexadecimal() for _ in given["items"]]
    declaration = {
        **{name: given.get(name) for name in FIELDS},
        "items": items,
        "object_id": hexadecimal(),
        "object_owner": OWNER,
        "object_state": "VALID",
        "object_created": moment(now),
        "object_updated": moment(now),
        "metadata": given.get("metadata") or "",
        "test": True,
    }
    state.put("customs_declaration", declaration["object_id"], {**declaration, "_items": given["items"]})
    return declaration


def declared_value(state: State, declaration: dict[str, Any]) -> Decimal:
    """Return the value of all items of a stored declaration that is in US dollars."""
    stored = state.get("customs_declaration", declaration["object_id"]) or {}
    items = [each for each in stored.get("_items", ()) if each["value_currency"] == "USD"]
    return sum((Decimal(str(each["value_amount"])) for each in items), Decimal(0))


def _item_problems(item: Any) -> dict[str, list[str]]:
    given = check_known(item, ITEM_FIELDS)
    wrong = {name: [REQUIRED] for name in _ITEM_NEEDED if given.get(name) in (None, "")}
    if "value_amount" not in wrong and not _AMOUNT.fullmatch(str(given["value_amount"])):
        wrong["value_amount"] = ["A valid number is required."]
    return wrong

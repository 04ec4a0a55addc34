"""Early fraud warnings of Stripe Radar: the card's issuer reports a charge as fraud, before any dispute.

Source: "The Early Fraud Warning object", https://docs.stripe.com/api/early_fraud_warnings/object.
"""

from __future__ import annotations

from sandbox.ids import alphanumeric
from sandbox.state import without_private
from sandbox.stripe.endpoint import Desk, Endpoint, Parameters
from sandbox.stripe.errors import missing_object
from sandbox.stripe.lists import page
from sandbox.stripe.params import EXPAND, PAGE, CreatedRange, Str, Type

LIST: dict[str, Type] = {**PAGE, "charge": Str(), "created": CreatedRange(), "payment_intent": Str()}
FRAUD_TYPES = (
    *("card_never_received", "fraudulent_card_application", "made_with_counterfeit_card", "made_with_lost_card"),
    *("made_with_stolen_card", "misc", "unauthorized_use_of_card"),
)


def warn(desk: Desk, charge_id: str, fraud_type: str = "misc") -> Parameters:
    """Report a charge as one of FRAUD_TYPES; return the warning as stored."""
    charge = desk.state.get("charge", charge_id)
    assert charge is not None
    warning: Parameters = {
        "id": alphanumeric("issfr_", 24),
        "object": "radar.early_fraud_warning",
        "actionable": _is_actionable(charge),
        "charge": charge_id,
        "created": desk.now(),
        "fraud_type": fraud_type,
        "livemode": False,
        "payment_intent": charge["payment_intent"],
        "_orders": desk.state.values("charge", charge_id, "order_id"),
    }
    desk.state.put("early_fraud_warning", warning["id"], warning)
    return warning


def update_warnings(desk: Desk, charge_id: str) -> None:
    """Update `actionable` of a charge's warnings after a refund or a dispute."""
    charge = desk.state.get("charge", charge_id)
    for warning in desk.state.find("early_fraud_warning", {"charge": charge_id}):
        if charge is not None and warning["actionable"] != _is_actionable(charge):
            desk.state.put("early_fraud_warning", warning["id"], {**warning, "actionable": _is_actionable(charge)})


def _is_actionable(charge: Parameters) -> bool:
    """A warning is actionable while the charge is neither disputed nor fully refunded."""
    return not charge["disputed"] and not charge["refunded"]


def _retrieve(desk: Desk, asked: Parameters, warning: str) -> Parameters:
    body = desk.state.get("early_fraud_warning", warning)
    if body is None:
        raise missing_object("early_fraud_warning", warning, param="early_fraud_warning")
    return without_private(body)


def _list(desk: Desk, asked: Parameters) -> Parameters:
    where: dict[str, str] = {name: asked[name] for name in ("charge", "payment_intent") if name in asked}
    found = page(desk.state, "early_fraud_warning", "/v1/radar/early_fraud_warnings", asked, where)
    return {**found, "data": [without_private(body) for body in found["data"]]}


ENDPOINTS = (
    Endpoint("GET", "/v1/radar/early_fraud_warnings", LIST, _list),
    Endpoint("GET", "/v1/radar/early_fraud_warnings/{warning}", {"expand": EXPAND}, _retrieve),
)

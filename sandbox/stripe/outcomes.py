"""The `outcome` of a charge: who accepted or declined it, and why.

A payment that Radar blocks is never sent to the network (https://docs.stripe.com/declines#blocked-payments). Its card
in test mode has "the highest risk level", says https://docs.stripe.com/testing#fraud-prevention.
"""

from __future__ import annotations

from typing import Any

from sandbox.stripe.cards import Decline


def is_blocked(decline: Decline | None) -> bool:
    """Whether Radar blocks the payment: the test card 4100000000000019, by each of its names."""
    return decline is not None and decline.decline_code == "fraudulent"


def outcome_of(decline: Decline | None, risk: str = "normal") -> dict[str, Any]:
    """Return the outcome of a charge with this decline (None: it succeeded) and Radar's level of risk."""
    if is_blocked(decline):
        return {
            "advice_code": None,
            "network_advice_code": None,
            "network_decline_code": None,
            "network_status": "not_sent_to_network",
            "reason": "highest_risk_level",
            "risk_level": "highest",
            "risk_score": 91,
            "rule": "block_if_high_risk",
            "seller_message": "Stripe blocked this payment as too risky.",
            "type": "blocked",
        }
    paid = decline is None
    return {
        "advice_code": None if paid else "try_again_later",
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "approved_by_network" if paid else "declined_by_network",
        "reason": None if decline is None else decline.decline_code or decline.code,
        "risk_level": risk,
        "risk_score": 72 if risk == "elevated" else 20,
        "seller_message": "Payment complete." if paid else "The bank declined the payment.",
        "type": "authorized" if paid else "issuer_declined",
    }

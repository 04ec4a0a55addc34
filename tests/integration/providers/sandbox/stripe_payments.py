"""What tests do with payments at the sandbox's Stripe."""

from __future__ import annotations

from typing import Any

import stripe

from tests.integration.providers.sandbox.process import Sdks


def charge_of(sdks: Sdks, paid: stripe.PaymentIntent) -> stripe.Charge:
    return sdks.stripe.v1.charges.retrieve(str(paid.latest_charge))


def settle(sdks: Sdks, kind: str, object_id: str, status: int = 200, **body: Any) -> Any:
    """Settle one of the `refunds` or `payments` now, by the control API."""
    answer = sdks.post(f"/sandbox/{kind}/{object_id}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()

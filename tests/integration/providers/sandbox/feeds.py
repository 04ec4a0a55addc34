"""What tests of the sandbox's feed cause and read."""

from __future__ import annotations

import uuid
from typing import Any

import stripe
from sendgrid.helpers.mail import Mail

from tests.integration.providers.sandbox.parcels import buy, ship
from tests.integration.providers.sandbox.process import Sdks

FROM = "+15005550006"
KINDS = {"mail", "sms", "label", "charge", "refund", "dispute", "warning", "tax", "payment", "webhook"}


def new_order() -> str:
    return f"or_{uuid.uuid4().hex}"


def pay(sdks: Sdks, order: str, card: str = "pm_card_visa", amount: int = 446) -> stripe.PaymentIntent:
    made = sdks.stripe.v1.payment_intents.create(
        {
            "amount": amount,
            "currency": "usd",
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "metadata": {"order_id": order},
        }
    )
    return sdks.stripe.v1.payment_intents.confirm(made.id, {"payment_method": card})


def send_mail(sdks: Sdks, order: str, html: str = "<b>Hello</b>") -> str:
    answer = sdks.sendgrid.send(Mail("shop@example.com", "a@example.com", f"Order {order}", "Hello\nthere", html))
    return str(answer.headers["X-Message-Id"])


def record_tax(sdks: Sdks, order: str) -> None:
    """Record a sale's tax, and its full reversal."""
    made = sdks.stripe.v1.tax.calculations.create(
        {
            "currency": "usd",
            "line_items": [{"amount": 1000}],
            "customer_details": {"address": {"country": "US", "postal_code": "98104"}, "address_source": "shipping"},
        }
    )
    sale = sdks.stripe.v1.tax.transactions.create_from_calculation(
        {"calculation": str(made.id), "reference": f"tax-{order}"}
    )
    sdks.stripe.v1.tax.transactions.create_reversal(
        {
            "mode": "full",
            "original_transaction": sale.id,
            "reference": f"{sale.id}-back",
            "metadata": {"order_id": order},
        }
    )


def one_of_each(sdks: Sdks, order: str) -> None:
    """Cause at least one entry of every kind that belongs to this order, the mail last."""
    pay(sdks, order, "pm_card_createDispute")
    pay(sdks, order, "pm_card_createIssuerFraudRecord")
    paid = pay(sdks, order)
    sdks.stripe.v1.refunds.create({"payment_intent": paid.id, "amount": 100, "metadata": {"order_id": order}})
    record_tax(sdks, order)
    pay(sdks, order, "pm_card_authenticationRequired")
    buy(sdks, ship(sdks, metadata=order))
    sdks.twilio.messages.create(to="+14155552671", from_=FROM, body=f"Your order {order} is paid")
    send_mail(sdks, order)


def feed(sdks: Sdks, **query: Any) -> dict[str, Any]:
    answer = sdks.get("/sandbox/feed", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def entries(sdks: Sdks, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = feed(sdks, **query)["entries"]
    return found

"""What a carrier's provider has charged for labels in the end."""

from __future__ import annotations

from dataclasses import dataclass

# The price of a label, and its refund. Any other kind was added after the purchase.
PAYMENT, REFUND = "LABEL_PAYMENT", "LABEL_REFUND"


@dataclass(frozen=True)
class Charge:
    """One item of the provider's invoices.

    Attributes:
        id: the provider's.
        transaction_id: the label that it is for.
        kind: as the provider names it: ``LABEL_PAYMENT``, ``LABEL_SURCHARGE``, …
        amount: in the currency's smallest unit; negative for what is given back.
        currency: three capital letters.
        created: Unix seconds.
    """

    id: str
    transaction_id: str
    kind: str
    amount: int
    currency: str
    created: float

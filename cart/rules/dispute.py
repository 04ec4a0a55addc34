"""Disputes of charges and early fraud warnings: what a payment provider knows of them, and what they mean for an order.

The words for a dispute's status and reason are Stripe's: https://docs.stripe.com/api/disputes/object. A chargeback
withdraws the money at once, an inquiry (``warning_…``) does not: https://docs.stripe.com/disputes/how-disputes-work.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from cart.rules.attention import DISPUTE, FRAUD_WARNING
from contracts.currencies import amount_for_people

WON, LOST = "won", "lost"
CLOSED = (WON, LOST, "warning_closed", "prevented")
INQUIRY = ("warning_needs_response", "warning_under_review")
# An appeal follows a lost dispute: until it is won, the money is gone.
LOST_STATUSES = (LOST, "appeal_needs_response", "appeal_under_review")
# The statuses of a fraud warning: one is over once the charge is disputed or fully refunded.
ACTIONABLE, OVER = "actionable", "over"


@dataclass(frozen=True, slots=True)
class Dispute:
    """A dispute, as the order shows it.

    Attributes:
        id, status, reason: the provider's.
        amount: what is disputed, in the currency's smallest unit.
        evidence_due_by: until when the shop can respond (Unix seconds); None when it need not.
    """

    id: str
    status: str
    reason: str
    amount: int
    evidence_due_by: int | None = None

    @property
    def blocks_refunds(self) -> bool:
        """Whether the provider refunds nothing meanwhile: the bank has withdrawn the money, and decides."""
        return self.status not in (*CLOSED, *INQUIRY)


@dataclass(frozen=True, slots=True)
class Case:
    """A dispute or a fraud warning, in either side's records.

    Attributes:
        id: the provider's.
        kind: DISPUTE or FRAUD_WARNING.
        payment: the provider's id of the payment.
        status, reason: the provider's words; a warning is ACTIONABLE or OVER.
        amount: what is disputed, in the currency's smallest unit; 0 for a warning.
        created: Unix seconds.
        evidence_due_by: as of `Dispute`.
    """

    id: str
    kind: str
    payment: str
    status: str
    reason: str
    amount: int
    created: int
    evidence_due_by: int | None = None

    def __str__(self) -> str:
        amount = f" of {self.amount}" if self.kind == DISPUTE else ""
        return f"{self.kind.replace('_', ' ')}{amount}, {self.reason}, {self.status} ({self.id})"

    @property
    def is_open(self) -> bool:
        """Whether the card's bank has not decided yet. A status that is not known counts as open."""
        return self.status not in (*CLOSED, OVER)

    @property
    def needs_response(self) -> bool:
        """Whether the shop has to do something about it."""
        return self.status == ACTIONABLE or self.status.endswith("needs_response")

    @property
    def lost(self) -> int:
        """What the bank has given back to the cardholder for good, in the currency's smallest unit."""
        return self.amount if self.status in LOST_STATUSES else 0

    def shown(self) -> Dispute:
        """The dispute as the order shows it."""
        return Dispute(self.id, self.status, self.reason, self.amount, self.evidence_due_by)

    def detail(self, currency: str, held: bool) -> str:
        """What an operator needs to know about an open one.

        Args:
            held: whether the order's label is held until it is decided.
        """
        if self.kind == FRAUD_WARNING:
            what = f"The card's bank reports the payment as fraud ({self.reason}). A full refund now avoids a dispute."
        else:
            name = "An inquiry about" if self.status in INQUIRY else "A chargeback of"
            what = f"{name} {amount_for_people(self.amount, currency)}: {self.reason}, {self.status}."
            if self.evidence_due_by is not None and self.needs_response:
                due = datetime.fromtimestamp(self.evidence_due_by, UTC)
                what += f" Respond at the payment provider by {due:%Y-%m-%d %H:%M} UTC."
        return f"{what} The label is held." if held else what

    def lost_in_part(self, currency: str) -> str:
        """What an operator needs to know about a lost dispute about part of an order that was not sent.

        Stripe refunds no disputed payment: https://support.stripe.com/questions/refund-a-customer.
        """
        amount = amount_for_people(self.amount, currency)
        decide = "Dismiss this to send the goods. Otherwise pay the rest back in another way, and leave this entry open"
        return f"The dispute is lost: {amount} went back, and the rest cannot be refunded. The label is held. {decide}."

    def won_back(self, currency: str) -> str:
        """What an operator needs to know about a dispute that was won after it was lost, when its order was returned
        and nothing was sent."""
        amount = amount_for_people(self.amount, currency)
        gone = "The goods were taken back, and nothing is sent any more"
        return f"The dispute is won after it was lost: {amount} came back. {gone}: refund it, or send them by hand."


def shown(cases: Iterable[Case]) -> Dispute | None:
    """The dispute that an order shows: the newest open one, or else the newest."""
    disputes = sorted((case for case in cases if case.kind == DISPUTE), key=lambda case: (case.is_open, case.created))
    return disputes[-1].shown() if disputes else None

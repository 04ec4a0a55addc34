"""The options of Stripe: what it does later or otherwise than usual, for all payments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from sandbox.faults import BadFault
from sandbox.options import Options


@dataclass(frozen=True)
class StripeOptions(Options):
    """The options.

    refund_fail_rate (0…1): share of refunds of any card that fail later, as those of `pm_card_refundFail` do.
    refund_pending_rate: share that is pending first, as with `pm_card_pendingRefund`. settle_after_s: seconds until
    what is pending settles, on the sandbox's clock. asynchronous_capture: a charge gets its balance transaction then,
    not at once. use_stripe_sdk: a confirmation without `return_url` leaves the bank's question to Stripe.js.
    redirect_to_url: a confirmation with `return_url` redirects to the bank's page, even if Stripe.js could ask. seed:
    the same seed gives the same sequence.
    """

    provider: ClassVar[str] = "stripe"

    refund_fail_rate: float = 0
    refund_pending_rate: float = 0
    settle_after_s: float = 60
    asynchronous_capture: bool = False
    use_stripe_sdk: bool = False
    redirect_to_url: bool = False

    @classmethod
    def from_json(cls, body: Any) -> Self:
        options = super().from_json(body)
        if options.refund_fail_rate + options.refund_pending_rate > 1:
            raise BadFault("refund_fail_rate and refund_pending_rate must be at most 1 together")
        return options

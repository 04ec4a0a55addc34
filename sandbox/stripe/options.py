"""The options of Stripe: what it does later or otherwise than usual, for all payments."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from sandbox.faults import BadFault
from sandbox.options import Options
from sandbox.state import State

_DRAWN = "stripe_options_drawn"


@dataclass(frozen=True)
class StripeOptions(Options):
    """The options.

    refund_fail_rate (0…1): share of refunds of any card that fail later, as those of `pm_card_refundFail` do.
    refund_pending_rate: share that is pending first, as with `pm_card_pendingRefund`. settle_after_s: seconds until
    what is pending settles, on the sandbox's clock. asynchronous_capture: a charge gets its balance transaction then,
    not at once. use_stripe_sdk: a confirmation without `return_url` leaves the bank's question to Stripe.js. seed: the
    same seed gives the same sequence.
    """

    provider: ClassVar[str] = "stripe"

    refund_fail_rate: float = 0
    refund_pending_rate: float = 0
    settle_after_s: float = 60
    asynchronous_capture: bool = False
    use_stripe_sdk: bool = False
    seed: int | None = None

    @classmethod
    def from_json(cls, body: Any) -> Self:
        options = super().from_json(body)
        if options.refund_fail_rate + options.refund_pending_rate > 1:
            raise BadFault("refund_fail_rate and refund_pending_rate must be at most 1 together")
        return options

    def store(self, state: State) -> None:
        super().store(state)
        state.set_setting(_DRAWN, "0")

    def draw(self, state: State) -> float:
        """Return the next random number from 0 to 1 of the options' sequence, which a restart does not interrupt."""
        drawn = state.next_number(_DRAWN)
        return (random.Random(f"{self.seed}:{drawn}") if self.seed is not None else random).random()  # noqa: S311

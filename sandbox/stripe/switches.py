"""What Stripe does later or otherwise than usual, switched on for all payments; kept in the sandbox's file."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from sandbox.faults import BadFault, is_number
from sandbox.state import State

_SETTING = "stripe_switches"
_MAX_SETTLE_S = 10**8


@dataclass(frozen=True)
class StripeSwitches:
    """The switches of Stripe's behaviour.

    refund_fail_rate (0…1): share of refunds of any card that fail later, as those of `pm_card_refundFail` do.
    refund_pending_rate: share that is pending first, as with `pm_card_pendingRefund`. settle_after_s: seconds until
    what is pending settles, on the sandbox's clock. asynchronous_capture: a charge gets its balance transaction then,
    not at once. use_stripe_sdk: a confirmation without `return_url` leaves the
    bank's question to Stripe.js. seed: the same seed gives the same sequence.
    """

    refund_fail_rate: float = 0
    refund_pending_rate: float = 0
    settle_after_s: float = 60
    asynchronous_capture: bool = False
    use_stripe_sdk: bool = False
    seed: int | None = None

    @classmethod
    def from_json(cls, body: Any) -> StripeSwitches:
        """Parse the switches of a request body, with defaults for the rest; BadFault when it is invalid."""
        if not isinstance(body, dict):
            raise BadFault("the switches are a JSON object")
        unknown = sorted(set(body) - set(cls.__dataclass_fields__))
        if unknown:
            raise BadFault(f"unknown: {', '.join(unknown)}; known: {', '.join(cls.__dataclass_fields__)}")
        for name in ("refund_fail_rate", "refund_pending_rate"):
            if not (is_number(body.get(name, 0)) and 0 <= body.get(name, 0) <= 1):
                raise BadFault(f"{name} must be a number from 0 to 1")
        if body.get("refund_fail_rate", 0) + body.get("refund_pending_rate", 0) > 1:
            raise BadFault("refund_fail_rate and refund_pending_rate must be at most 1 together")
        if not (is_number(body.get("settle_after_s", 0)) and 0 <= body.get("settle_after_s", 0) <= _MAX_SETTLE_S):
            raise BadFault(f"settle_after_s must be a number from 0 to {_MAX_SETTLE_S}")
        for name in ("asynchronous_capture", "use_stripe_sdk"):
            if not isinstance(body.get(name, False), bool):
                raise BadFault(f"{name} must be true or false")
        seed = body.get("seed")
        if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
            raise BadFault("seed must be a whole number")
        return cls(**body)


def switches_of(state: State) -> StripeSwitches:
    """Return the current switches."""
    stored = state.setting(_SETTING)
    return StripeSwitches() if stored is None else StripeSwitches(**orjson.loads(stored))


def set_switches(state: State, switches: StripeSwitches) -> dict[str, Any]:
    """Replace the switches; return them as JSON."""
    body = asdict(switches)
    state.set_setting(_SETTING, orjson.dumps(body).decode())
    state.set_setting(f"{_SETTING}_drawn", "0")
    return body


def draw(state: State, switches: StripeSwitches) -> float:
    """Return the next random number from 0 to 1 of the switches' sequence, which a restart does not interrupt."""
    drawn = state.next_number(f"{_SETTING}_drawn")
    return (random.Random(f"{switches.seed}:{drawn}") if switches.seed is not None else random).random()  # noqa: S311

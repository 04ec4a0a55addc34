"""How Shippo and its carriers behave here: options that make them as hard as the real ones, all off by default.

They are stored in the sandbox's file, so a restart keeps them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import orjson

from sandbox.faults import BadFault, is_number
from sandbox.state import State

_SETTING = "shippo_options"
MAX_SECONDS = 10**7


@dataclass(frozen=True)
class Options:
    """The options.

    purchase_seconds: how long the purchase of a label takes; 0: the answer is final if the request asks for that; None:
    until the control API ends it. purchase_error_rate (0…1): the share of purchases that fail at the carrier.
    ups: UPS quotes, too. usps_one_parcel: USPS quotes no shipment of several parcels, as the real one.
    refund_seconds: how long a label's refund takes; 0: the answer is final; None: until the control API ends it.
    refund_error_rate (0…1): the share of refunds that the carrier rejects although the label is unused.
    """

    purchase_seconds: float | None = 0
    purchase_error_rate: float = 0
    refund_seconds: float | None = 0
    refund_error_rate: float = 0
    ups: bool = False
    usps_one_parcel: bool = False

    @classmethod
    def from_json(cls, body: Any) -> Options:
        """Parse the options in a request body, with defaults for the rest; BadFault when it is invalid."""
        if not isinstance(body, dict):
            raise BadFault("Shippo's options are a JSON object")
        unknown = sorted(set(body) - set(cls.__dataclass_fields__))
        if unknown:
            raise BadFault(f"unknown: {', '.join(unknown)}; known: {', '.join(cls.__dataclass_fields__)}")
        for name, value in body.items():
            if isinstance(cls.__dataclass_fields__[name].default, bool):
                if not isinstance(value, bool):
                    raise BadFault(f"{name} must be true or false")
            elif name.endswith("_rate"):
                if not (is_number(value) and 0 <= value <= 1):
                    raise BadFault(f"{name} must be a number from 0 to 1")
            elif value is not None and not (is_number(value) and 0 <= value <= MAX_SECONDS):
                raise BadFault(f"{name} must be null or a number from 0 to {MAX_SECONDS}")
        return cls(**body)


def options_of(state: State) -> Options:
    """Return the options that are switched on."""
    stored = state.setting(_SETTING)
    # A file of another version may know other options.
    return Options(**{k: v for k, v in orjson.loads(stored or "{}").items() if k in Options.__dataclass_fields__})


def described(state: State) -> dict[str, Any]:
    """Return the options as JSON."""
    return asdict(options_of(state))


def set_options(state: State, options: Options) -> None:
    """Store the options, replacing the previous ones."""
    state.set_setting(_SETTING, orjson.dumps(asdict(options)).decode())

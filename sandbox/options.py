"""Options of a provider that make it as strict as the real one, or slower; all are off at first.

They are kept in the sandbox's file, so a restart keeps them.
"""

from __future__ import annotations

import random
from dataclasses import Field, asdict, dataclass
from typing import Any, ClassVar, Self

import orjson

from sandbox.faults import BadFault, is_number
from sandbox.state import State

MAX_SECONDS = 10**8


@dataclass(frozen=True)
class Options:
    """The base of each provider's options. Every field has a default.

    A field named `…_rate` is a number from 0 to 1, `seed` a whole number or null, one with a Boolean default true or
    false. One named `…_factor` is a number from 0.01 to 100. Any other is a number of seconds, which may be null if its
    type says so.
    """

    provider: ClassVar[str]
    seed: int | None = None

    @classmethod
    def from_json(cls, body: Any) -> Self:
        """Parse the options in a request body, with defaults for the rest; BadFault when it is invalid."""
        if not isinstance(body, dict):
            raise BadFault("the options are a JSON object")
        unknown = sorted(set(body) - set(cls.__dataclass_fields__))
        if unknown:
            raise BadFault(f"unknown: {', '.join(unknown)}; known: {', '.join(cls.__dataclass_fields__)}")
        for name, value in body.items():
            wanted = _wanted(cls.__dataclass_fields__[name], value)
            if wanted is not None:
                raise BadFault(f"{name} must be {wanted}")
        return cls(**body)

    @classmethod
    def of(cls, state: State) -> Self:
        """Return the options that are switched on."""
        stored = orjson.loads(state.setting(f"{cls.provider}_options") or "{}")
        # A file of another version may know other options.
        return cls(**{name: value for name, value in stored.items() if name in cls.__dataclass_fields__})

    def store(self, state: State) -> None:
        """Replace the options; the sequence of random numbers begins again."""
        state.set_setting(f"{self.provider}_options", orjson.dumps(asdict(self)).decode())
        state.set_setting(f"{self.provider}_options_drawn", "0")

    def draw(self, state: State) -> float:
        """Return the next random number from 0 to 1 of the options' sequence, which a restart does not interrupt."""
        drawn = state.next_number(f"{self.provider}_options_drawn")
        return (random.Random(f"{self.seed}:{drawn}") if self.seed is not None else random).random()  # noqa: S311


def _wanted(field: Field[Any], value: Any) -> str | None:
    """Return what the value of a field must be; None when it is that."""
    if isinstance(field.default, bool):
        return None if isinstance(value, bool) else "true or false"
    if field.name == "seed":
        return None if value is None or type(value) is int else "a whole number or null"
    if field.name.endswith("_rate"):
        return None if is_number(value) and 0 <= value <= 1 else "a number from 0 to 1"
    if field.name.endswith("_factor"):
        return None if is_number(value) and 0.01 <= value <= 100 else "a number from 0.01 to 100"
    if value is None and "None" in str(field.type):
        return None
    return None if is_number(value) and 0 <= value <= MAX_SECONDS else f"a number from 0 to {MAX_SECONDS}"

"""Faults that can be switched on per provider: latency, errors, saved errors, lost answers, hangs.

They are kept in memory on purpose: a restart brings back a healthy provider.
"""

from __future__ import annotations

import fnmatch
import random
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, TypeGuard

PROVIDERS = ("stripe", "shippo", "twilio", "sendgrid")


class BadFault(Exception):
    """A fault that cannot be switched on; the message says why."""


@dataclass(frozen=True)
class Fault:
    """The faults of a provider's calls.

    latency_ms: milliseconds before the work, while the idempotency key is locked. error_rate (0…1) and error_status:
    the work is not done. lose_answer_rate: the work is done, then the connection is dropped. hang_rate: no work and no
    answer until the client disconnects. saved_error_rate, saved_error_done_rate: a 500, and the work is not done, or
    done; a provider with idempotency keys saves the 500 and repeats it to the same key. path: only calls whose provider
    path has this prefix ("/v1/payment_intents"; "*" matches anything, as in "/v1/payment_intents/*/confirm"). method:
    only calls of that method. times: only this many calls. seed: the same seed produces the same faults.
    """

    latency_ms: float = 0
    error_rate: float = 0
    error_status: int = 500
    lose_answer_rate: float = 0
    hang_rate: float = 0
    saved_error_rate: float = 0
    saved_error_done_rate: float = 0
    seed: int | None = None
    path: str | None = None
    method: str | None = None
    times: int | None = None

    @classmethod
    def from_json(cls, body: Any) -> Fault:
        """Parse the fault in a request body; BadFault when it is invalid."""
        if not isinstance(body, dict):
            raise BadFault("a fault is a JSON object")
        unknown = sorted(set(body) - set(cls.__dataclass_fields__))
        if unknown:
            raise BadFault(f"unknown: {', '.join(unknown)}; known: {', '.join(cls.__dataclass_fields__)}")
        for name in (field for field in cls.__dataclass_fields__ if field.endswith("_rate")):
            if not (is_number(body.get(name, 0)) and 0 <= body.get(name, 0) <= 1):
                raise BadFault(f"{name} must be a number from 0 to 1")
        if not (is_number(body.get("latency_ms", 0)) and 0 <= body.get("latency_ms", 0) <= 600_000):
            raise BadFault("latency_ms must be a number from 0 to 600000")
        if not (isinstance(body.get("error_status", 500), int) and 400 <= body.get("error_status", 500) <= 599):
            raise BadFault("error_status must be an HTTP status from 400 to 599")
        for name in ("seed", "times"):
            value = body.get(name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
                raise BadFault(f"{name} must be a whole number, 0 or more")
        for name in ("path", "method"):
            if not isinstance(body.get(name, ""), str | None):
                raise BadFault(f"{name} must be a string")
        return cls(**body)


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a JSON value is a number; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


class Trouble(NamedTuple):
    """What happens to one call: the delay in seconds, the error status, whether it hangs or loses its answer, and
    whether a saved error is answered: None for none, else whether the work is done all the same."""

    delay: float = 0.0
    error_status: int | None = None
    hang: bool = False
    lose_answer: bool = False
    saved_error_done: bool | None = None


NO_TROUBLE = Trouble()


class Faults:
    """The faults of all providers, at most one each."""

    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}
        self._random: dict[str, random.Random] = {}
        self._saved_random: dict[str, random.Random] = {}
        self._hits: dict[str, int] = dict.fromkeys(PROVIDERS, 0)

    def set(self, provider: str, fault: Fault) -> None:
        """Switch on a provider's fault, replacing the previous one; its counter and its random generator restart."""
        self._faults[provider] = fault
        self._random[provider] = random.Random(fault.seed)  # noqa: S311 - dice, not secrets
        # Of their own, so that the series of the other faults stays the same for a seed.
        self._saved_random[provider] = random.Random(None if fault.seed is None else f"{fault.seed} saved")  # noqa: S311
        self._hits[provider] = 0

    def clear(self, provider: str) -> None:
        """Switch off a provider's fault."""
        self._faults.pop(provider, None)
        self._hits[provider] = 0

    def describe(self, provider: str) -> dict[str, Any]:
        """Return the provider's fault as JSON, with `hits`: how many calls it has affected."""
        return {**asdict(self._faults.get(provider, Fault())), "hits": self._hits[provider]}

    def draw(self, provider: str, method: str, path: str) -> Trouble:
        """Return what happens to this call."""
        fault = self._faults.get(provider)
        if fault is None or not self._concerns(fault, provider, method, path):
            return NO_TROUBLE
        if fault.times is not None and self._hits[provider] >= fault.times:
            return NO_TROUBLE
        dice = self._random[provider]
        # All three are drawn every time, so that a seed produces the same series independently of the rates.
        hang, error, lose = (
            dice.random() < rate for rate in (fault.hang_rate, fault.error_rate, fault.lose_answer_rate)
        )
        dice = self._saved_random[provider]
        undone, done = (dice.random() < rate for rate in (fault.saved_error_rate, fault.saved_error_done_rate))
        saved = (undone or done) and not hang and not error
        trouble = Trouble(
            delay=fault.latency_ms / 1000,
            hang=hang,
            error_status=fault.error_status if error and not hang else None,
            lose_answer=lose and not hang and not error and not saved,
            saved_error_done=not undone if saved else None,
        )
        if trouble != NO_TROUBLE:
            self._hits[provider] += 1
        return trouble

    @staticmethod
    def _concerns(fault: Fault, provider: str, method: str, path: str) -> bool:
        if fault.method is not None and fault.method.upper() != method:
            return False
        if fault.path is None:
            return True
        return fnmatch.fnmatchcase(path, fault.path.removeprefix(f"/{provider}") + "*")

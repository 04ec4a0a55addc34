"""The effect of a request, for a service that performs it at most once; made by `gateway.idempotency`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Effect:
    """The effect of a request, for a service that performs it at most once.

    Attributes:
        key: passed to the verb; a new one when the caller sent none.
        headers: travel with the call, and make the service store its answer; empty when the caller sent no key.
    """

    key: str
    headers: Mapping[str, str] = field(default_factory=dict)

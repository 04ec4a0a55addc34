"""What a request does, for a service that does it at most once; made by `gateway.idempotency`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Effect:
    """What a request does, for a service that does it at most once.

    Attributes:
        key: handed to the verb; a new one when the caller sent none.
        headers: travel with the call, and have its answer kept; empty when the caller sent no key.
    """

    key: str
    headers: Mapping[str, str] = field(default_factory=dict)

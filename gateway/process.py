"""The interface of the serving process for requests. `gateway.api.Gateway` is the one implementation."""

from __future__ import annotations

from typing import Protocol

from chassis.settings import Settings
from gateway.limit_storage import Limit
from gateway.readiness import Readiness
from gateway.rpc import Deadlines
from gateway.shares import SharedClient


class Counters(Protocol):
    """The counters of all rate limits; see `gateway.limits.Limits`."""

    on: bool

    def hit(self, limit: Limit, key: str) -> bool:
        """Count one request; returns whether it is within the limit."""

    def left(self, limit: Limit, key: str) -> tuple[int, int]:
        """How many requests are left, and the seconds until there is one more."""


class WrongKeys(Protocol):
    """Wrong admin keys by address; see `gateway.auth.WrongKeys`."""

    def delay(self, address: str) -> float:
        """Seconds until a key from this address is checked again; 0: now."""

    def wrong(self, address: str) -> None:
        """Record a wrong key."""

    def right(self, address: str) -> None:
        """Record a right key: the address starts over."""


class Process(Protocol):
    """One process of the gateway.

    Attributes:
        settings: permissions and time limits.
        leaving: whether it is about to stop.
        shared: the connection to the services.
    """

    settings: Settings
    leaving: bool
    shared: SharedClient
    deadlines: Deadlines
    readiness: Readiness

    @property
    def limits(self) -> Counters:
        """The counters of the rate limits."""

    @property
    def wrong_keys(self) -> WrongKeys:
        """The wrong admin keys by address."""

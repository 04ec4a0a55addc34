"""Carriers with scripted answers, and a clock that moves only during `sleep`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chassis.providers.http_session import HeldBack, look_again
from contracts.errors import NotFound, Unavailable
from shipping.rules.carriers import Label, Quote


class Clock:
    """A clock that moves only during `sleep`, which then calls `on_sleep`."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.on_sleep: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move the clock forward."""
        self.now += seconds
        self.on_sleep()


@dataclass
class StubCarriers:
    """The labels that a carrier sold, and its next answers.

    Attributes:
        sold: the labels, by rate.
        given_back: the status of each refund, by transaction; the next refund gets `refund_answer`.
        trouble: the errors of the next purchases, in turn; None for success.
        sells_anyway: whether a purchase or refund takes effect before its error is raised.
        blind: how many questions do not see a sold label yet.
        deaf: the error of every question.
    """

    sold: dict[str, Label] = field(default_factory=dict)
    purchases: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    trouble: list[Exception | None] = field(default_factory=list)
    sells_anyway: bool = False
    blind: int = 0
    deaf: Exception | None = None
    fresh_rates: list[dict[str, Any]] = field(default_factory=list)
    on_connect: Callable[[], None] = lambda: None
    on_buy: Callable[[], None] = lambda: None
    on_quote: Callable[[], None] = lambda: None
    longest_call: float = 11.0
    longest_answer: float = 8.0
    given_back: dict[str, str] = field(default_factory=dict)
    refunds: list[str] = field(default_factory=list)
    refund_answer: str = "refunded"
    refund_trouble: list[Exception | None] = field(default_factory=list)
    tracks: dict[str, dict[str, Any]] = field(default_factory=dict)
    tracked: list[str] = field(default_factory=list)
    _lock: Any = field(default_factory=threading.Lock)

    def buy(self, rate_id: str, reference: str) -> Label:
        self.on_connect()
        try:
            look_again()
        except HeldBack as error:
            raise Unavailable("held back") from error
        with self._lock:
            self.purchases.append(rate_id)
            number = len(self.purchases)
        trouble = self.trouble.pop(0) if self.trouble else None
        label = Label(f"transaction-{number}", f"https://labels/{number}.pdf", f"9400{number}")
        self.on_buy()
        if trouble is None or self.sells_anyway:
            self.sold[rate_id] = label
        if trouble is not None:
            raise trouble
        return label

    def bought(self, rate_id: str) -> Label | None:
        self.questions.append(rate_id)
        if self.deaf is not None:
            raise self.deaf
        if self.blind:
            self.blind -= 1
            return None
        return self.sold.get(rate_id)

    def quote(self, address: Any, parcels: Any, contents: Any, reference: str, currency: str) -> Quote:
        self.on_quote()
        return Quote("another-shipment", self.fresh_rates, [])

    def rates(self, shipment_id: str, currency: str) -> list[dict[str, Any]]:
        raise NotImplementedError

    def track(self, carrier: str, tracking_number: str, transaction_id: str) -> dict[str, Any]:
        self.tracked.append(tracking_number)
        if self.deaf is not None:
            raise self.deaf
        if tracking_number not in self.tracks:
            raise NotFound("no such parcel")
        return self.tracks[tracking_number]

    def refund_status(self, transaction_id: str) -> str | None:
        if self.deaf is not None:
            raise self.deaf
        return self.given_back.get(transaction_id)

    def refund(self, transaction_id: str) -> str:
        self.refunds.append(transaction_id)
        trouble = self.refund_trouble.pop(0) if self.refund_trouble else None
        if trouble is None or self.sells_anyway:
            self.given_back[transaction_id] = self.refund_answer
        if trouble is not None:
            raise trouble
        return self.refund_answer

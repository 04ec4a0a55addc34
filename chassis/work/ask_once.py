"""Asking a provider once: for requests that cost money or reach a person, and that the provider would carry out twice.

A request is recorded before it is made. If its outcome is unknown, it is not repeated before the provider was asked for
it, for as long as the first one may still be in progress. A provider that cannot be asked (SendGrid) gets the request
again, and the repetition is recorded.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from chassis.clock import now as clock_now
from chassis.clock import settled_at
from chassis.providers.http_session import last_look
from contracts.errors import OutcomeUnknown, ShopError, Unavailable

# A claim outlives the longest call to the provider by this much, and is renewed before the request (seconds). A caller
# that finds it expired may take over from a process that hangs. The claim of a crashed one is void within seconds.
CLAIM_MARGIN_S = 4.0
# A request whose outcome nobody saw may still be in progress at the provider. This lasts as long as the provider may
# take to answer, counted from its beginning, plus this long after its sender gave up (seconds). Only if the provider
# does not know its effect after that is it certain that it had none.
SETTLE_S = 2.0
# How long one call waits for that, how often it asks the provider meanwhile, and how much of the caller's time must be
# left to make the request (seconds). A caller with less time is asked to retry later.
PATIENCE_S = 4.0
ASK_INTERVAL_S = 1.0
RESERVE_S = 1.5
# How long a second caller waits for the first, and how often it looks (seconds). This is longer than it takes to detect
# that the first one crashed.
WAIT_S = 6.0
LOOK_INTERVAL_S = 0.2

Answer = TypeVar("Answer")


class Record(Protocol):
    """The record of a request: when its last attempt began, until when that may be in progress (Unix seconds, 0 when
    unknown), and whether its outcome is unknown."""

    @property
    def tried(self) -> float: ...

    @property
    def settled(self) -> float: ...

    @property
    def unresolved(self) -> bool: ...


Recorded = TypeVar("Recorded", bound=Record)


class Request(ABC, Generic[Answer]):
    """One request to a provider, and its record, which the caller has claimed.

    Attributes:
        doing: what it does, for errors: "The label is being bought".
        done: the same, completed: "the label was bought".
        verb: its name in crash points.
        longest_call: how long a call to the provider takes at most (seconds).
    """

    doing: str
    done: str
    verb: str
    longest_call: float

    @property
    def traceable(self) -> TraceableRequest[Answer] | None:
        """This request, if the provider can be asked for its effect."""
        return None

    def prepare(self) -> None:
        """Find out what to ask for. Raises ShopError: nothing is asked for then."""
        return

    @abstractmethod
    def begin(self, now: float, until: float) -> bool:
        """Record that the provider is about to be asked, and renew the claim. False when the claim was taken over."""

    @abstractmethod
    def alive(self) -> bool:
        """Whether others still consider this process alive."""

    @abstractmethod
    def ask(self) -> Answer:
        """Make the request. Raises ShopError, OutcomeUnknown if it may have had an effect."""

    @abstractmethod
    def record(self, answer: Answer) -> Answer:
        """Record the answer, and release the claim. Returns the recorded one, which may be another's."""

    @abstractmethod
    def end(self, unknown: bool, settled: float | None = None) -> None:
        """Record that the request had no effect, or an unknown one until `settled`, and release the claim."""

    @abstractmethod
    def passes(self, moment: str) -> None:
        """A crash point."""


class TraceableRequest(Request[Answer]):
    """A request whose effect the provider can be asked for.

    Attributes:
        longest_answer: how long the provider may take to answer it (seconds).
    """

    longest_answer: float

    @property
    def traceable(self) -> TraceableRequest[Answer]:
        return self

    @abstractmethod
    def find(self, since: float) -> Answer | None:
        """Ask the provider for the effect of a request made since then (Unix seconds); None when it knows none."""


class AskOnce:
    """Makes requests.

    Args:
        bounded: limits a number of seconds to the caller's remaining time.
        clock: Unix seconds.
        sleep: waits for the given number of seconds.
        timer: measures waits (monotonic seconds).
    """

    def __init__(
        self,
        bounded: Callable[[float], float],
        clock: Callable[[], float] = clock_now,
        sleep: Callable[[float], None] = time.sleep,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bounded = bounded
        self.clock = clock
        self._sleep = sleep
        self._timer = timer

    def claimed(self, request: Request[Any], take: Callable[[float, float], Recorded | None]) -> Recorded:
        """Return the record when this caller has claimed it, or it is complete; wait a limited time for another one.

        Args:
            take: claims from now until a time (Unix seconds); None while another holds it.

        Raises Unavailable when the other one takes longer.
        """
        end = self._timer() + self._bounded(WAIT_S)
        while True:
            now = self.clock()
            record = take(now, self._until(request, now))
            if record is not None:
                return record
            if self._timer() + LOOK_INTERVAL_S >= end:
                raise _busy(request)
            self._sleep(LOOK_INTERVAL_S)

    def answer(self, request: Request[Answer], record: Record) -> Answer:
        """Find the effect of an earlier attempt, or make the request; returns the recorded answer.

        Raises:
            OutcomeUnknown: it may have had its effect; the same call finds out later.
            ShopError: any other failure of the provider; it had no effect.
        """
        if record.unresolved and request.traceable is not None:
            found = self.resolved(request.traceable, record)
            if found is not None:
                return found
        return self._asked(request)

    def resolved(self, request: TraceableRequest[Answer], record: Record) -> Answer | None:
        """Find out the effect of an attempt whose end nobody saw; None when it certainly had none. Asks and waits
        briefly, and never repeats the request.

        Raises:
            OutcomeUnknown: it cannot be known yet; another ShopError: the provider cannot be asked. The claim is then
                released.
        """
        longest = request.longest_answer + SETTLE_S
        settled = settled_at(record.tried + request.longest_answer, record.settled, self.clock(), longest)
        patience = min(PATIENCE_S, self._bounded(PATIENCE_S + RESERVE_S) - RESERVE_S)
        end = self._timer() + patience
        while True:
            began, asked = self.clock(), self._timer()
            try:
                found = request.find(min(record.tried, settled - longest))
            except ShopError:
                request.end(unknown=True)
                raise
            request.passes("resolve:asked")
            if found is not None:
                return request.record(found)
            if began >= settled:
                return None
            if asked + settled - began > end:
                raise self._unknown(request, settled, f"It is not known yet whether {request.done}.")
            self._sleep(min(ASK_INTERVAL_S, max(LOOK_INTERVAL_S, settled - self.clock())))

    def _asked(self, request: Request[Answer]) -> Answer:
        try:
            request.prepare()
        except ShopError:
            request.end(unknown=False)
            raise
        tried = self.clock()

        def begun() -> bool:
            nonlocal tried
            tried = self.clock()
            return request.begin(tried, self._until(request, tried))

        if not begun():
            raise _busy(request)
        request.passes(f"{request.verb}:begun")
        if not request.alive():  # this process stalled for so long that another copy may be about to ask
            request.end(unknown=False)
            raise Unavailable("The request is left to another copy of the service.", {"retry_after": 2})
        try:
            # The provider's time to answer starts here, after any wait for a free slot and a connection.
            with last_look(lambda: begun() and request.alive()):
                answer = request.ask()
        except OutcomeUnknown as unknown:
            answer = self._asked_after(request, tried, unknown)
        except ShopError:
            request.end(unknown=False)
            raise
        request.passes(f"{request.verb}:asked")
        answer = request.record(answer)
        request.passes(f"{request.verb}:done")
        return answer

    def _asked_after(self, request: Request[Answer], tried: float, unknown: OutcomeUnknown) -> Answer:
        """Return the answer, if the provider has carried the request out although its first answer did not say so."""
        traceable = request.traceable
        if traceable is None:
            request.end(unknown=True)
            raise unknown
        found, certain = None, bool(unknown.facts.get("answered"))
        ended = self.clock()
        try:
            found = traceable.find(tried)
        except ShopError:
            certain = False
        if found is not None:
            return found
        if certain:
            request.end(unknown=False)
            raise Unavailable(unknown.detail, {"retry_after": 2}) from unknown
        settled = max(tried + traceable.longest_answer, ended + SETTLE_S)
        raise self._unknown(request, settled, unknown.detail) from unknown

    def _unknown(self, request: Request[Any], settled: float, detail: str) -> OutcomeUnknown:
        request.end(unknown=True, settled=settled)
        return OutcomeUnknown(detail, {"retry_after": max(1, math.ceil(settled - self.clock()))})

    def _until(self, request: Request[Any], now: float) -> float:
        return now + request.longest_call + CLAIM_MARGIN_S


def _busy(request: Request[Any]) -> Unavailable:
    return Unavailable(f"{request.doing} by another call.", {"retry_after": 2})

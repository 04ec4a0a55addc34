"""A bulkhead and a circuit breaker for one provider: a limited number of calls at once, none while it is down.

A slow provider takes only its places here, never all of the workers: a call that finds no place within a moment is
refused. After five failures in a row, the provider is left alone for a few seconds, then tried with one call a second
until one succeeds. A refused call has sent nothing, and says when to come back. The breaker is pybreaker's. It receives
the outcome of each call instead of the call itself, since it holds its lock for as long as that runs.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import requests
from urllib3.exceptions import MaxRetryError, NewConnectionError

from chassis.db.engine import no_transaction
from chassis.logs import log
from chassis.optional_imports import without

with without("redis"):
    import pybreaker

# Calls in flight to one provider, for each process: fewer than its workers (SERVICE_WORKERS, 32), more than the limit
# of any one verb in `chassis.work.concurrency_limits`, so that an admitted request finds a place for each of its steps.
MAX_CALLS = 20
# How long a call waits for one of them (seconds).
WAIT_FOR_PLACE_S = 0.5
# Failures in a row after which a provider counts as down; for how long it is then left alone, and how often it is
# tried after that (seconds). Short: owed effects must be settled soon after the provider is back.
MAX_FAILURES = 5
REST_S = 3.0
TRIAL_INTERVAL_S = 1.0
# If the provider was given less time than this (seconds), a missing answer does not count as its failure.
FAIR_WAIT_S = 2.0


class NotSent(requests.exceptions.RequestException):
    """Nothing was sent to the provider.

    This is not one of `requests`' timeouts or connection errors, so that no SDK retries it at once.

    Args:
        retry_after: seconds after which a retry makes sense.
    """

    def __init__(self, detail: str, retry_after: float = 2.0, **context: Any) -> None:
        super().__init__(detail, **context)
        self.retry_after = retry_after


class NoPlace(NotSent):
    """The maximum number of calls to the provider is already in flight."""


class Down(NotSent):
    """The provider has just failed repeatedly, and is left alone."""


def never_sent(error: BaseException) -> bool:
    """True when no connection was made, so that the provider cannot have heard of the request."""
    if isinstance(error, NotSent | requests.exceptions.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


class Attempts:
    """What one SDK call, which may repeat its request, has sent so far.

    Attributes:
        lost: requests that were sent and not answered, or answered with a 5xx: each may have been carried out.
        retry_after: seconds, from the guard's last refusal.
    """

    def __init__(self) -> None:
        self.lost = 0
        self.retry_after = 2.0


_attempts: ContextVar[Attempts | None] = ContextVar("attempts", default=None)


@contextlib.contextmanager
def attempts() -> Iterator[Attempts]:
    """Count the requests sent inside: the SDK's last failure says nothing about the attempts before it."""
    counted = Attempts()
    token = _attempts.set(counted)
    try:
        yield counted
    finally:
        _attempts.reset(token)


class Calling:
    """One call in progress; its caller records how it was answered.

    Attributes:
        status: the HTTP status, once there is one.
        hurried: its own deadline cut it short: the lack of an answer says nothing about the provider.
    """

    def __init__(self) -> None:
        self.status: int | None = None
        self.hurried = False


class Guard:
    """Limits this process's calls to one provider.

    Args:
        provider: its name, for error messages and the log.
        places: the most calls in flight.
        patience: how long a call waits for a place (seconds).
        clock: monotonic seconds; another one in tests.
    """

    def __init__(
        self,
        provider: str,
        places: int = MAX_CALLS,
        patience: float = WAIT_FOR_PLACE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.provider = provider
        self._places = threading.BoundedSemaphore(places)
        self._patience = patience
        self._clock = clock
        self._changed = _Changed(provider, clock)
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=MAX_FAILURES,
            reset_timeout=REST_S,
            listeners=[self._changed],
            name=provider,
            throw_new_error_on_trip=False,
        )
        self._next_trial = 0.0

    @property
    def down(self) -> bool:
        """Whether the provider is currently left alone."""
        return bool(self._breaker.current_state != pybreaker.STATE_CLOSED)

    @contextlib.contextmanager
    def calling(self) -> Iterator[Calling]:
        """Hold a place for one request. Raises NoPlace or Down before anything is sent."""
        no_transaction(f"{self.provider} is called")
        self._check(trial=False)
        if not self._places.acquire(timeout=self._patience):
            raise _refused(NoPlace(f"Too many calls wait for {self.provider}."))
        try:
            self._check(trial=True)  # other calls may have failed meanwhile
            call = Calling()
            try:
                yield call
            except Exception as error:
                self._ended(call, error)
                raise
            self._ended(call, None)
        finally:
            self._places.release()

    def _check(self, trial: bool) -> None:
        """Raise Down while the provider is left alone. `trial`: this call will be sent now if it is not."""
        state = self._breaker.current_state
        if state == pybreaker.STATE_CLOSED:
            return
        now = self._clock()
        wait = (self._changed.at + REST_S if state == pybreaker.STATE_OPEN else self._next_trial) - now
        if wait > 0:
            raise _refused(Down(f"{self.provider} is left alone: it failed again and again.", max(1.0, wait)))
        if trial:
            # The next trial follows after this interval, whether or not this one was answered by then: it may hang.
            self._next_trial = now + TRIAL_INTERVAL_S
            if state == pybreaker.STATE_OPEN:
                self._breaker.half_open()

    def _ended(self, call: Calling, error: Exception | None) -> None:
        if error is not None and call.status is None:
            if not never_sent(error):
                _lost()
            if call.hurried:
                return
        elif call.status is not None and call.status >= 500:
            _lost()
            error = _Failed(call.status)
        else:
            error = None  # any answer counts, even a refusal
        # A call that began before the provider counted as down, and ends after that, adds no information.
        with contextlib.suppress(pybreaker.CircuitBreakerError, _Counted):
            self._breaker.call(_raise_if_failed, error)


class _Counted(Exception):
    """Hands a failure to the breaker."""


class _Failed(Exception):
    """An answer in which the provider reports that it failed."""


class _Changed(pybreaker.CircuitBreakerListener):
    """Records and logs when the provider goes down or recovers."""

    def __init__(self, provider: str, clock: Callable[[], float]) -> None:
        self._provider = provider
        self._clock = clock
        self.at = clock()

    def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
        failed_trial = new_state.name == pybreaker.STATE_OPEN and old_state.name == pybreaker.STATE_HALF_OPEN
        # The long rest applies once: after it the provider is tried often, so that it is used soon after it is back.
        self.at = self._clock() - (REST_S - TRIAL_INTERVAL_S if failed_trial else 0.0)
        if new_state.name == pybreaker.STATE_OPEN and not failed_trial:
            log.warning("circuit breaker opened", provider=self._provider, seconds=REST_S)
        elif new_state.name == pybreaker.STATE_CLOSED:
            log.info("circuit breaker closed", provider=self._provider)


def _raise_if_failed(error: Exception | None) -> None:
    if error is not None:
        raise _Counted from error


def _lost() -> None:
    counted = _attempts.get()
    if counted is not None:
        counted.lost += 1


def _refused(error: NotSent) -> NotSent:
    counted = _attempts.get()
    if counted is not None:
        counted.retry_after = error.retry_after
    return error

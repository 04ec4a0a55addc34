"""The guard of a provider limits its calls, and stops them while it is down. A refused call has sent nothing."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import requests

from cart.stripe.payments import StripePayments
from chassis import deadline
from chassis.providers import http_session
from chassis.providers.guard import (
    MAX_FAILURES,
    REST_S,
    TRIAL_INTERVAL_S,
    Down,
    Guard,
    NoPlace,
    NotSent,
    attempts,
    never_sent,
)
from chassis.providers.http_session import DeadlinePassed, ProviderSession
from chassis.settings import Provider, Settings
from contracts.errors import OutcomeUnknown, ShopError, Unavailable
from notifications.rules.messages import Mail, Sms
from notifications.sendgrid.mailer import SendGridMailer
from notifications.twilio.texter import TwilioTexter
from shipping.shippo.carriers import ShippoCarriers
from tests.scripted_server import Scripted, ScriptedServer

PROVIDER_TIMEOUT_S = 10.0  # the scripted server answers at once


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guard(clock: Clock) -> Guard:
    return Guard("Stripe", clock=clock)


@pytest.fixture(autouse=True)
def _no_deadline() -> Iterator[None]:
    yield
    deadline.begin(None)


def fail(guard: Guard, error: Exception | None = None) -> None:
    with pytest.raises(requests.ConnectionError), guard.calling():
        raise error or requests.ConnectionError("reset")


def hang(guard: Guard, meanwhile: Callable[[], None]) -> None:
    """Make a call that runs `meanwhile`, then times out."""
    with contextlib.suppress(requests.ReadTimeout), guard.calling():
        meanwhile()
        raise requests.ReadTimeout("no answer")


def answer(guard: Guard, status: int = 200) -> None:
    with guard.calling() as call:
        call.status = status


def refused(guard: Guard) -> bool:
    """Try a call, and return whether the open breaker refuses it."""
    try:
        answer(guard)
    except Down:
        return True
    return False


def open_breaker(guard: Guard) -> Guard:
    for _ in range(MAX_FAILURES):
        fail(guard)
    assert guard.down
    return guard


def test_consecutive_failures_open_the_breaker_for_its_rest(guard: Guard, clock: Clock) -> None:
    for _ in range(MAX_FAILURES - 1):
        fail(guard)
    assert not guard.down
    fail(guard)
    with pytest.raises(Down) as down:
        answer(guard)
    assert down.value.retry_after == REST_S
    clock.now += REST_S - 0.1
    assert refused(guard)
    clock.now += 0.2
    assert not refused(guard)
    assert not guard.down


def test_answer_resets_the_failure_count(guard: Guard) -> None:
    for _ in range(3):
        for _ in range(MAX_FAILURES - 1):
            fail(guard)
        answer(guard)
    assert not guard.down


def test_rested_provider_gets_one_trial_call_per_second(guard: Guard, clock: Clock) -> None:
    open_breaker(guard)
    clock.now += REST_S + 0.1
    for _ in range(5):
        fail(guard)
        assert refused(guard)
        clock.now += TRIAL_INTERVAL_S - 0.1
        assert refused(guard)
        clock.now += 0.2
    assert not refused(guard)
    open_breaker(guard)
    clock.now += REST_S - 0.1
    assert refused(guard)


def test_hanging_trial_does_not_delay_the_next_trial(guard: Guard, clock: Clock) -> None:
    open_breaker(guard)
    clock.now += REST_S + 0.1

    def meanwhile() -> None:
        assert refused(guard)
        clock.now += TRIAL_INTERVAL_S + 0.1
        assert not refused(guard)  # this trial succeeds
        assert not guard.down

    hang(guard, meanwhile)
    assert not guard.down


def test_call_begun_before_the_outage_does_not_prolong_the_rest(guard: Guard, clock: Clock) -> None:

    def meanwhile() -> None:
        open_breaker(guard)
        clock.now += REST_S - 0.1

    hang(guard, meanwhile)
    clock.now += 0.2
    assert not refused(guard)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_server_error_counts_as_a_failure(guard: Guard, status: int) -> None:
    for _ in range(MAX_FAILURES):
        answer(guard, status)
    assert guard.down


@pytest.mark.parametrize("status", [400, 401, 402, 404, 409, 422, 429])
def test_client_error_does_not_count_as_a_failure(guard: Guard, status: int) -> None:
    for _ in range(3 * MAX_FAILURES):
        answer(guard, status)
    assert not guard.down


def test_call_without_enough_time_does_not_count_as_a_failure(
    scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.answers = [Scripted(drop=True)]
    monkeypatch.setattr(http_session, "FAIR_WAIT_S", 30.0)  # so that the short time suffices on a busy machine
    session = ProviderSession(connect=10.0, read=60.0, provider="Stripe")
    for _ in range(2 * MAX_FAILURES):
        deadline.begin(time.monotonic() + 20.0)
        with pytest.raises(requests.ConnectionError):
            session.get(scripted.url)
    assert not session.guard.down


def test_guard_limits_the_calls_at_once() -> None:
    guard, go, inside = Guard("Stripe", places=3, patience=0.05), threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        with guard.calling() as call:
            inside.release()
            go.wait(20)
            call.status = 200

    with ThreadPoolExecutor(3) as pool:
        holding = [pool.submit(hold) for _ in range(3)]
        assert all(inside.acquire(timeout=10) for _ in range(3))
        with pytest.raises(NoPlace), guard.calling():
            pytest.fail("the guard let a fourth call in")
        go.set()
        for each in holding:
            each.result(20)
    for _ in range(4):
        fail(guard)
        with pytest.raises(KeyboardInterrupt), guard.calling():
            raise KeyboardInterrupt
    answer(guard)


def test_waiting_call_gets_a_released_place() -> None:
    guard, go = Guard("Stripe", places=1, patience=20), threading.Event()

    def hold() -> None:
        with guard.calling():
            go.wait(20)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(hold), pool.submit(answer, guard)
        go.set()
        first.result(20)
        second.result(20)


def test_sessions_have_separate_guards(scripted: ScriptedServer) -> None:
    first, second = (ProviderSession(PROVIDER_TIMEOUT_S, PROVIDER_TIMEOUT_S) for _ in range(2))
    open_breaker(first.guard)
    assert not second.guard.down
    assert second.get(scripted.url).status_code == 200


# Each adapter turns a refusal of its guard into Unavailable, and sends nothing to the provider.


def adapter_calls() -> dict[str, Callable[[str, Any], Any]]:
    """Return one call per adapter on a URL. The call passes the guard of the adapter to `prepare` first."""

    def stripe(url: str, prepare: Any) -> Any:
        port = StripePayments(settings(url))
        prepare(port._stripe._requestor._client._session.guard)
        return port.confirm("pi_1", "pm_1", "key")

    def shippo(url: str, prepare: Any) -> Any:
        port = ShippoCarriers("key", url, {"country": "US"}, PROVIDER_TIMEOUT_S, PROVIDER_TIMEOUT_S)
        prepare(port._shippo.sdk_configuration.client.guard)
        return port.buy("rate", "reference")

    def twilio(url: str, prepare: Any) -> Any:
        port = TwilioTexter("AC" + "0" * 32, "token", url, "+15005550006", PROVIDER_TIMEOUT_S, PROVIDER_TIMEOUT_S)
        prepare(port._twilio.http_client.session.guard)
        return port.send(Sms("key", "+14155550100", "hello"))

    def sendgrid(url: str, prepare: Any) -> Any:
        port = SendGridMailer("key", url, PROVIDER_TIMEOUT_S)
        prepare(port._guard)
        return port.send(Mail("key", "a@example.com", "b@example.com", "subject", "text", "<p>text</p>"))

    return {"stripe": stripe, "shippo": shippo, "twilio": twilio, "sendgrid": sendgrid}


def settings(url: str) -> Settings:
    stripe = Provider(key="key", secret="", base=url, live=False)
    return replace(
        Settings.load(), stripe=stripe, provider_connect_timeout=PROVIDER_TIMEOUT_S, provider_timeout=PROVIDER_TIMEOUT_S
    )


@pytest.mark.parametrize("adapter", adapter_calls().values(), ids=adapter_calls())
def test_adapter_with_an_open_breaker_raises_unavailable(
    scripted: ScriptedServer, adapter: Callable[[str, Any], Any]
) -> None:
    tries: list[int] = []

    def open_and_count(guard: Guard) -> None:
        calling = open_breaker(guard).calling

        def counted() -> Any:
            tries.append(1)
            return calling()

        guard.calling = counted  # type: ignore[method-assign]

    with pytest.raises(Unavailable) as refused_call:
        adapter(scripted.url, open_and_count)
    assert len(tries) == 1  # neither the adapter nor its SDK retries
    assert 0 < refused_call.value.facts["retry_after"] <= REST_S
    assert scripted.asked == []


@pytest.mark.parametrize("adapter", adapter_calls().values(), ids=adapter_calls())
def test_adapter_without_a_free_place_raises_unavailable(
    scripted: ScriptedServer, adapter: Callable[[str, Any], Any]
) -> None:
    def fill(guard: Guard) -> None:
        guard._patience = 0.05
        while guard._places.acquire(blocking=False):
            pass

    with pytest.raises(Unavailable):
        adapter(scripted.url, fill)
    assert scripted.asked == []


@pytest.mark.parametrize("adapter", adapter_calls().values(), ids=adapter_calls())
def test_every_adapter_reports_failures_to_its_guard(
    scripted: ScriptedServer, adapter: Callable[[str, Any], Any]
) -> None:
    scripted.answers = [Scripted(500, b"{}", {"Content-Type": "application/json", "Stripe-Should-Retry": "false"})]
    guards: list[Guard] = []

    def fail_almost_to_the_limit(guard: Guard) -> None:
        for _ in range(MAX_FAILURES - 1):
            fail(guard)
        guards.append(guard)

    with pytest.raises(ShopError):
        adapter(scripted.url, fail_almost_to_the_limit)
    assert guards[0].down


def test_refused_stripe_connection_raises_unavailable() -> None:
    with pytest.raises(Unavailable):
        StripePayments(settings("http://127.0.0.1:9")).confirm("pi_1", "pm_1", "key")


@pytest.mark.parametrize("then", ["down", "limited"])
def test_lost_stripe_answer_and_refused_retry_is_outcome_unknown(scripted: ScriptedServer, then: str) -> None:
    """The last attempt of the SDK had no effect, but the outcome of its first attempt is unknown."""
    scripted.answers = [Scripted(drop=True), Scripted(429, b"{}")]
    prepared = StripePayments(settings(scripted.url))
    if then == "down":
        for _ in range(MAX_FAILURES - 1):
            fail(prepared._stripe._requestor._client._session.guard)  # type: ignore[union-attr]
    with pytest.raises(OutcomeUnknown):
        prepared.confirm("pi_1", "pm_1", "key")
    assert len(scripted.asked) == (1 if then == "down" else 2)


@pytest.mark.parametrize("body", [b"{}", b'{"error": {"type": "invalid_request_error"}}'])
def test_stripe_rate_limit_raises_unavailable(scripted: ScriptedServer, body: bytes) -> None:
    scripted.answers = [Scripted(429, body)]
    with pytest.raises(Unavailable):
        StripePayments(settings(scripted.url)).confirm("pi_1", "pm_1", "key")


def test_attempts_are_counted_per_call(guard: Guard) -> None:
    with attempts() as outer:
        fail(guard)
        with attempts() as inner:
            answer(guard, 503)
            fail(guard, requests.exceptions.ConnectTimeout("no connection"))
        assert inner.lost == 1
    assert outer.lost == 1


def test_sdk_does_not_retry_errors_of_unsent_requests() -> None:
    for kind in (NoPlace, Down, DeadlinePassed, NotSent):
        assert not issubclass(kind, requests.exceptions.Timeout | requests.exceptions.ConnectionError)
    assert never_sent(DeadlinePassed("no time"))

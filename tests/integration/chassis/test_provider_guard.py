"""A slow provider takes its places and no more; one that is down is left alone; whoever is refused has sent nothing."""

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

from cart.stripe_payments import StripePayments
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
from notifications.messages import Mail, Sms
from notifications.sendgrid_email import SendGridMailer
from notifications.twilio_sms import TwilioTexter
from shipping.shippo_carriers import ShippoCarriers
from tests.scripted_server import Scripted, ScriptedServer

PATIENCE = 10.0  # seconds with a server that answers at once


class Clock:
    """Seconds that pass when they are told to."""

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
    """A call that fails when `meanwhile` is over."""
    with contextlib.suppress(requests.ReadTimeout), guard.calling():
        meanwhile()
        raise requests.ReadTimeout("no answer")


def answer(guard: Guard, status: int = 200) -> None:
    with guard.calling() as call:
        call.status = status


def refused(guard: Guard) -> bool:
    """Whether the provider is left alone; asks it when it is not."""
    try:
        answer(guard)
    except Down:
        return True
    return False


def opened(guard: Guard) -> Guard:
    for _ in range(MAX_FAILURES):
        fail(guard)
    assert guard.down
    return guard


def test_failures_in_a_row_open_it_and_nothing_is_sent_until_it_has_rested(guard: Guard, clock: Clock) -> None:
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


def test_an_answer_in_between_starts_the_count_again(guard: Guard) -> None:
    for _ in range(3):
        for _ in range(MAX_FAILURES - 1):
            fail(guard)
        answer(guard)
    assert not guard.down


def test_after_its_rest_one_call_a_second_tries_it_until_it_is_back(guard: Guard, clock: Clock) -> None:
    opened(guard)
    clock.now += REST_S + 0.1
    for _ in range(5):
        fail(guard)
        assert refused(guard)
        clock.now += TRIAL_INTERVAL_S - 0.1
        assert refused(guard)
        clock.now += 0.2
    assert not refused(guard)
    opened(guard)
    clock.now += REST_S - 0.1
    assert refused(guard)


def test_one_trial_at_a_time_but_one_that_hangs_does_not_hold_up_the_next(guard: Guard, clock: Clock) -> None:
    opened(guard)
    clock.now += REST_S + 0.1

    def meanwhile() -> None:
        assert refused(guard)
        clock.now += TRIAL_INTERVAL_S + 0.1
        assert not refused(guard)  # this one finds the provider well
        assert not guard.down

    hang(guard, meanwhile)
    assert not guard.down


def test_what_began_before_it_was_down_does_not_prolong_its_rest(guard: Guard, clock: Clock) -> None:

    def meanwhile() -> None:
        opened(guard)
        clock.now += REST_S - 0.1

    hang(guard, meanwhile)
    clock.now += 0.2
    assert not refused(guard)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_answers_that_say_the_provider_failed_are_failures(guard: Guard, status: int) -> None:
    for _ in range(MAX_FAILURES):
        answer(guard, status)
    assert guard.down


@pytest.mark.parametrize("status", [400, 401, 402, 404, 409, 422, 429])
def test_a_refusal_is_an_answer(guard: Guard, status: int) -> None:
    for _ in range(3 * MAX_FAILURES):
        answer(guard, status)
    assert not guard.down


def test_a_call_that_had_no_time_says_nothing_of_the_provider(
    scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.answers = [Scripted(drop=True)]
    monkeypatch.setattr(http_session, "FAIR_WAIT_S", 30.0)  # so that what is too little is enough on a busy machine
    session = ProviderSession(connect=10.0, read=60.0, provider="Stripe")
    for _ in range(2 * MAX_FAILURES):
        deadline.begin(time.monotonic() + 20.0)
        with pytest.raises(requests.ConnectionError):
            session.get(scripted.url)
    assert not session.guard.down


def test_no_more_than_its_places_are_taken_and_they_are_given_back() -> None:
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
            pytest.fail("a fourth was let in")
        go.set()
        for each in holding:
            each.result(20)
    for _ in range(4):
        fail(guard)
        with pytest.raises(KeyboardInterrupt), guard.calling():
            raise KeyboardInterrupt
    answer(guard)


def test_whoever_waits_for_a_place_gets_it_when_it_is_given_back() -> None:
    guard, go = Guard("Stripe", places=1, patience=20), threading.Event()

    def hold() -> None:
        with guard.calling():
            go.wait(20)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(hold), pool.submit(answer, guard)
        go.set()
        first.result(20)
        second.result(20)


def test_two_sessions_share_nothing(scripted: ScriptedServer) -> None:
    first, second = (ProviderSession(PATIENCE, PATIENCE) for _ in range(2))
    opened(first.guard)
    assert not second.guard.down
    assert second.get(scripted.url).status_code == 200


# What each adapter makes of it: Unavailable, and the provider was not asked.


def unreachable() -> dict[str, Callable[[str, Any], Any]]:
    """One call of each adapter on an URL, its guard being handed to `prepare` first."""

    def stripe(url: str, prepare: Any) -> Any:
        port = StripePayments(settings(url))
        prepare(port._stripe._requestor._client._session.guard)
        return port.confirm("pi_1", "pm_1", "key")

    def shippo(url: str, prepare: Any) -> Any:
        port = ShippoCarriers("key", url, {"country": "US"}, PATIENCE, PATIENCE)
        prepare(port._shippo.sdk_configuration.client.guard)
        return port.buy("rate", "reference")

    def twilio(url: str, prepare: Any) -> Any:
        port = TwilioTexter("AC" + "0" * 32, "token", url, "+15005550006", PATIENCE, PATIENCE)
        prepare(port._twilio.http_client.session.guard)
        return port.send(Sms("key", "+14155550100", "hello"))

    def sendgrid(url: str, prepare: Any) -> Any:
        port = SendGridMailer("key", url, PATIENCE)
        prepare(port._guard)
        return port.send(Mail("key", "a@example.com", "b@example.com", "subject", "text", "<p>text</p>"))

    return {"stripe": stripe, "shippo": shippo, "twilio": twilio, "sendgrid": sendgrid}


def settings(url: str) -> Settings:
    stripe = Provider(key="key", secret="", base=url, live=False)
    return replace(Settings.load(), stripe=stripe, provider_connect_timeout=PATIENCE, provider_timeout=PATIENCE)


@pytest.mark.parametrize("adapter", unreachable().values(), ids=unreachable())
def test_an_adapter_whose_provider_is_left_alone_says_that_nothing_happened(
    scripted: ScriptedServer, adapter: Callable[[str, Any], Any]
) -> None:
    tries: list[int] = []

    def opened_and_counted(guard: Guard) -> None:
        calling = opened(guard).calling

        def counted() -> Any:
            tries.append(1)
            return calling()

        guard.calling = counted  # type: ignore[method-assign]

    with pytest.raises(Unavailable) as told:
        adapter(scripted.url, opened_and_counted)
    assert len(tries) == 1  # nobody repeats it
    assert 0 < told.value.facts["retry_after"] <= REST_S
    assert scripted.asked == []


@pytest.mark.parametrize("adapter", unreachable().values(), ids=unreachable())
def test_an_adapter_whose_provider_has_no_place_left_says_that_nothing_happened(
    scripted: ScriptedServer, adapter: Callable[[str, Any], Any]
) -> None:
    def fill(guard: Guard) -> None:
        guard._patience = 0.05
        while guard._places.acquire(blocking=False):
            pass

    with pytest.raises(Unavailable):
        adapter(scripted.url, fill)
    assert scripted.asked == []


@pytest.mark.parametrize("adapter", unreachable().values(), ids=unreachable())
def test_every_adapter_tells_its_guard_how_it_went(
    scripted: ScriptedServer, adapter: Callable[[str, Any], Any]
) -> None:
    scripted.answers = [Scripted(500, b"{}", {"Content-Type": "application/json", "Stripe-Should-Retry": "false"})]
    kept: list[Guard] = []

    def almost(guard: Guard) -> None:
        for _ in range(MAX_FAILURES - 1):
            fail(guard)
        kept.append(guard)

    with pytest.raises(ShopError):
        adapter(scripted.url, almost)
    assert kept[0].down


def test_stripe_that_refuses_connections_was_not_asked() -> None:
    with pytest.raises(Unavailable):
        StripePayments(settings("http://127.0.0.1:9")).confirm("pi_1", "pm_1", "key")


@pytest.mark.parametrize("then", ["down", "limited"])
def test_stripe_that_lost_one_answer_and_refuses_the_repetition_may_have_done_it(
    scripted: ScriptedServer, then: str
) -> None:
    """The SDK's last failure says that nothing happened; of its first attempt, nobody knows."""
    scripted.answers = [Scripted(drop=True), Scripted(429, b"{}")]
    prepared = StripePayments(settings(scripted.url))
    if then == "down":
        for _ in range(MAX_FAILURES - 1):
            fail(prepared._stripe._requestor._client._session.guard)  # type: ignore[union-attr]
    with pytest.raises(OutcomeUnknown):
        prepared.confirm("pi_1", "pm_1", "key")
    assert len(scripted.asked) == (1 if then == "down" else 2)


@pytest.mark.parametrize("body", [b"{}", b'{"error": {"type": "invalid_request_error"}}'])
def test_stripe_that_only_limits_us_did_nothing(scripted: ScriptedServer, body: bytes) -> None:
    scripted.answers = [Scripted(429, body)]
    with pytest.raises(Unavailable):
        StripePayments(settings(scripted.url)).confirm("pi_1", "pm_1", "key")


def test_attempts_are_counted_for_each_call_alone(guard: Guard) -> None:
    with attempts() as outer:
        fail(guard)
        with attempts() as inner:
            answer(guard, 503)
            fail(guard, requests.exceptions.ConnectTimeout("no connection"))
        assert inner.lost == 1
    assert outer.lost == 1


def test_no_time_left_is_no_kind_of_failure_that_an_sdk_repeats() -> None:
    for kind in (NoPlace, Down, DeadlinePassed, NotSent):
        assert not issubclass(kind, requests.exceptions.Timeout | requests.exceptions.ConnectionError)
    assert never_sent(DeadlinePassed("no time"))

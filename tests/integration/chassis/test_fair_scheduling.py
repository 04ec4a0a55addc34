"""Quick requests go before slow ones: among greenlets, and in a service that calls a slow service."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import eventlet
import pytest
import requests
from eventlet.green import socket
from nameko.exceptions import IncorrectSignature, RemoteError
from psycopg2 import extensions  # type: ignore[import-untyped]

from chassis import deadline, fair_scheduling
from chassis.db import green_postgresql
from chassis.db.engine import Database
from chassis.db.shared_tables import shared_by_all
from chassis.fair_scheduling import HURRY_S, LONGEST_WAIT_S, FairScheduling
from chassis.providers.http_session import ProviderSession, last_look
from chassis.rpc.client import RpcClient
from chassis.rpc.service_rpc import Callee
from contracts.errors import Conflict
from notifications.rules.messages import Mail
from notifications.sendgrid.mailer import SendGridMailer
from tests.integration.chassis.running import Service, until
from tests.scripted_server import Scripted, ScriptedServer


class Times:
    """A clock that only `sleep` moves.

    Args:
        meanwhile: called during each sleep.
    """

    def __init__(self, meanwhile: Callable[[], Any] = lambda: None) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self._meanwhile = meanwhile

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self._meanwhile()


class Counted(FairScheduling):
    """Counts the turns that are taken, and waits for none."""

    taken = 0

    def take(self) -> None:
        self.taken += 1


@pytest.fixture(autouse=True)
def no_deadline() -> None:
    deadline.begin(None)


@pytest.fixture
def turns_of_slow() -> Iterator[Counted]:
    """The turns, with this test as a slow request. It has taken its first turn."""
    yield from _begun(Counted(), quick=False)


@pytest.fixture
def turns_of_quick() -> Iterator[Counted]:
    """The turns, with this test as a quick request."""
    turns = Counted()
    turns.quick = 1
    yield from _begun(turns, quick=True)
    assert turns.quick == 1
    assert turns.taken == 0


def _begun(mine: Counted, quick: bool) -> Iterator[Counted]:
    before = fair_scheduling._turns.set(None)
    fair_scheduling.begin(mine, quick=quick)
    yield mine
    fair_scheduling._turns.reset(before)


def test_quick_requests_run_between_the_turns_of_slow_ones() -> None:
    ran: list[str] = []
    shared = FairScheduling(most=10.0)
    here, there = socket.socketpair()
    ready = eventlet.event.Event()

    def quick() -> None:
        ran.append("quick")
        shared.quick -= 1

    def reader() -> None:
        while here.recv(1):
            shared.quick += 1
            eventlet.spawn(quick)

    def slow() -> None:
        fair_scheduling.begin(shared, quick=False)
        with fair_scheduling.away():
            ready.wait()
        ran.append("slow")
        if ran.count("slow") in (2, 5):
            there.send(b"?")

    reading = eventlet.spawn(reader)
    all_slow = [eventlet.spawn(slow) for _ in range(8)]
    eventlet.sleep(0.1)
    ready.send()
    for each in all_slow:
        each.wait()
    there.close()
    reading.wait()
    here.close()
    assert ran == ["slow"] * 2 + ["quick"] + ["slow"] * 3 + ["quick"] + ["slow"] * 3


def test_turn_begins_when_the_last_quick_request_ends() -> None:
    shared = FairScheduling()
    shared.quick = 3

    def end_one() -> None:
        shared.quick -= 1

    times = Times(end_one)
    shared._clock, shared._sleep = times.clock, times.sleep
    shared.take()
    assert len(times.slept) == 3
    assert shared.quick == 0


def test_endless_quick_requests_postpone_a_turn_only_briefly() -> None:
    times = Times()
    shared = FairScheduling(clock=times.clock, sleep=times.sleep)
    shared.quick = 1
    for turn in (1, 2):
        shared.take()
        assert turn * LONGEST_WAIT_S <= times.now < turn * (LONGEST_WAIT_S + 0.002)


def test_request_near_its_deadline_skips_the_wait() -> None:
    times = Times()
    shared = FairScheduling(clock=times.clock, sleep=times.sleep)
    shared.quick = 1
    deadline.begin(time.monotonic() + HURRY_S)
    shared.take()
    assert times.slept == [0]
    deadline.begin(time.monotonic() + HURRY_S + 60)
    shared.take()
    assert times.now > 0
    deadline.begin(None)


def test_killed_waiter_passes_its_turn_on() -> None:
    shared = FairScheduling(most=10.0)
    shared.quick = 1
    gone = [eventlet.spawn(shared.take) for _ in range(2)]
    left = eventlet.spawn(shared.take)
    eventlet.sleep(0.01)
    for each in gone:
        each.kill()
    shared.quick = 0
    with eventlet.Timeout(9):  # shorter than the longest wait of a turn, 10 s
        left.wait()


def test_waiting_quick_request_delays_no_turn(turns_of_quick: Counted) -> None:
    with fair_scheduling.away():
        assert turns_of_quick.quick == 0
    with pytest.raises(Conflict), fair_scheduling.away():
        raise Conflict("no")
    with fair_scheduling.away(), fair_scheduling.away():  # a provider's redirect is a request within a request
        assert turns_of_quick.quick == 0


def test_quick_request_waiting_on_postgresql_delays_no_turn(turns_of_quick: Counted) -> None:
    here, there = socket.socketpair()
    seen = []

    class Connection:
        """A psycopg2 connection whose server has answered by the second poll."""

        status = extensions.STATUS_READY
        states = iter((extensions.POLL_READ, extensions.POLL_OK))

        def poll(self) -> int:
            return next(self.states)

        def fileno(self) -> int:
            return here.fileno()

    def server() -> None:
        seen.append(turns_of_quick.quick)
        there.send(b"!")

    answering = eventlet.spawn(server)
    green_postgresql._wait(Connection())
    answering.wait()
    assert seen == [0]
    for end in (here, there):
        end.close()


def test_slow_request_pauses_after_every_wait(turns_of_slow: Counted) -> None:
    assert turns_of_slow.taken == 1
    with fair_scheduling.away():
        assert turns_of_slow.taken == 1
    assert turns_of_slow.taken == 2
    with pytest.raises(Conflict), fair_scheduling.away():
        raise Conflict("no")
    assert turns_of_slow.taken == 3
    # A killed greenlet waits for no further turn.
    with pytest.raises(SystemExit), fair_scheduling.away():
        raise SystemExit
    assert turns_of_slow.taken == 3
    assert turns_of_slow.quick == 0


def test_greenlet_outside_the_scheduling_takes_no_turns() -> None:
    def outside() -> None:
        fair_scheduling._turns.set(None)
        fair_scheduling.pause()
        with fair_scheduling.away():
            pass

    copy_context().run(outside)


def test_slow_request_pauses_after_each_write(turns_of_slow: Counted) -> None:
    database = Database("sqlite://", "turns")
    with database.write():
        assert turns_of_slow.taken == 1
    assert turns_of_slow.taken == 2
    with database.read():
        pass
    assert turns_of_slow.taken == 2


def test_first_heartbeat_does_not_pause(turns_of_slow: Counted) -> None:
    database = Database("sqlite://", "turns")
    shared_by_all.create_all(database.engine)
    database.heartbeat.hold()
    assert database.heartbeat.fresh
    assert turns_of_slow.taken == 1


def test_slow_request_pauses_after_each_provider_call(turns_of_slow: Counted, scripted: ScriptedServer) -> None:
    with ProviderSession(connect=2.0, read=5.0) as session:
        session.get(scripted.url)
        assert turns_of_slow.taken == 2
        scripted.answers = [Scripted(drop=True)]
        with contextlib.suppress(requests.exceptions.RequestException):
            session.get(scripted.url)
    assert turns_of_slow.taken == 3


def test_no_pause_between_the_last_look_and_the_request(turns_of_slow: Counted, scripted: ScriptedServer) -> None:
    database = Database("sqlite://", "turns")
    looks = []

    def still_wanted() -> bool:
        with database.write():
            looks.append(turns_of_slow.taken)
        return True

    with ProviderSession(connect=2.0, read=60.0) as session, last_look(still_wanted):
        session.post(scripted.url)
    assert looks == [1]
    assert turns_of_slow.taken == 2


def test_slow_request_pauses_after_a_sendgrid_answer(turns_of_slow: Counted, scripted: ScriptedServer) -> None:
    scripted.answers = [Scripted(status=202, headers={"X-Message-Id": "m1"})]
    mail = Mail("key", "a@example.com", "shop@example.com", "Paid", "Paid", None)
    SendGridMailer("SG.x", scripted.url, 60.0).send(mail)
    assert turns_of_slow.taken == 2


def test_slow_request_pauses_after_another_services_answer(turns_of_slow: Counted) -> None:
    class Link:
        """A link whose peer answers at once."""

        timeout = 1.0

        class client:
            @staticmethod
            def call(*_: Any, **__: Any) -> str:
                return "answer"

    callee: Any = Callee(Link, "stock", {})  # type: ignore[arg-type]
    assert callee.left() == "answer"
    assert turns_of_slow.taken == 2


def test_quick_call_is_answered_between_slow_calls(client: RpcClient, start: Callable[..., Service]) -> None:
    back = start("echo_service").answering(client)
    service = start("fair_scheduling_service", STUB_BACK=back.name, RPC_TIMEOUT="18").answering(client)
    slow = [
        threading.Thread(target=client.call, args=(service.name, "slow"), kwargs={"timeout": 60}, daemon=True)
        for _ in range(12)
    ]
    for each in slow:
        each.start()
    until(lambda: back.notes.count("began hold") == 12, what="all slow calls waiting")
    Path(f"{back.notes_file}.go").touch()
    until(lambda: service.notes.count("slow") >= 2, what="two slow calls done")
    client.call(service.name, "echo", timeout=30)
    # The slow calls work one after the other, for ten seconds in all. Without turns, the quick call comes last.
    assert service.notes.count("slow") < 12
    for each in slow:
        each.join(60)
    assert service.notes.count("slow") == 12


def test_service_counts_its_running_quick_requests(client: RpcClient, start: Callable[..., Service]) -> None:
    back = start("echo_service").answering(client)
    service = start("fair_scheduling_service", STUB_BACK=back.name).answering(client)
    for _ in range(3):
        assert client.call(service.name, "ask", ["echo"]) == {"args": [], "kwargs": {}}
        with pytest.raises(RemoteError):
            client.call(service.name, "ask", ["bug"])
        with pytest.raises(IncorrectSignature):
            client.call(service.name, "ask", [])
    assert client.call(service.name, "quick") == [1, True]
    assert client.call(service.name, "placed") == [0, False]
    waiting = threading.Thread(target=client.call, args=(service.name, "ask", ["hold"]), kwargs={"timeout": 60})
    waiting.start()
    until(lambda: "began hold" in back.notes, what="a quick request that waits for another service")
    assert client.call(service.name, "placed") == [0, False]
    Path(f"{back.notes_file}.go").touch()
    waiting.join(60)

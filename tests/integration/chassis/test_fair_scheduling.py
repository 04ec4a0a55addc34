"""What is quick goes before what is slow: in the order of greenlets, and in a service whose back has been slow."""

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
from notifications.messages import Mail
from notifications.sendgrid_email import SendGridMailer
from tests.integration.chassis.running import Service, until
from tests.scripted_server import Scripted, ScriptedServer


class Times:
    """A clock that only sleeping moves.

    Args:
        meanwhile: what else comes to pass during each sleep.
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
    """Turns that are counted and never waited for."""

    taken = 0

    def take(self) -> None:
        self.taken += 1


@pytest.fixture(autouse=True)
def no_deadline() -> None:
    deadline.begin(None)


@pytest.fixture
def counted() -> Iterator[Counted]:
    """The turns of a slow one: this test. The first one has been taken."""
    yield from _begun(Counted(), quick=False)


@pytest.fixture
def hurried() -> Iterator[Counted]:
    """The turns beside a quick one: this test."""
    beside = Counted()
    beside.quick = 1
    yield from _begun(beside, quick=True)
    assert beside.quick == 1
    assert beside.taken == 0


def _begun(mine: Counted, quick: bool) -> Iterator[Counted]:
    before = fair_scheduling._turns.set(None)
    fair_scheduling.begin(mine, quick=quick)
    yield mine
    fair_scheduling._turns.reset(before)


def test_what_arrives_is_read_after_one_turn_and_done_before_the_next() -> None:
    said: list[str] = []
    shared = FairScheduling(most=10.0)
    here, there = socket.socketpair()
    ready = eventlet.event.Event()

    def quick() -> None:
        said.append("quick")
        shared.quick -= 1

    def reader() -> None:
        while here.recv(1):
            shared.quick += 1
            eventlet.spawn(quick)

    def slow() -> None:
        fair_scheduling.begin(shared, quick=False)
        with fair_scheduling.away():
            ready.wait()
        said.append("slow")
        if said.count("slow") in (2, 5):
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
    assert said == ["slow"] * 2 + ["quick"] + ["slow"] * 3 + ["quick"] + ["slow"] * 3


def test_a_turn_begins_as_soon_as_the_last_quick_one_is_done() -> None:
    shared = FairScheduling()
    shared.quick = 3

    def one_is_done() -> None:
        shared.quick -= 1

    times = Times(one_is_done)
    shared._clock, shared._sleep = times.clock, times.sleep
    shared.take()
    assert len(times.slept) == 3
    assert shared.quick == 0


def test_quick_ones_without_end_put_a_turn_off_for_so_long_and_no_longer() -> None:
    times = Times()
    shared = FairScheduling(clock=times.clock, sleep=times.sleep)
    shared.quick = 1
    for turn in (1, 2):
        shared.take()
        assert turn * LONGEST_WAIT_S <= times.now < turn * (LONGEST_WAIT_S + 0.002)


def test_who_is_nearly_late_waits_for_no_quick_one() -> None:
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


def test_a_turn_that_is_given_up_is_the_next_ones() -> None:
    shared = FairScheduling(most=10.0)
    shared.quick = 1
    gone = [eventlet.spawn(shared.take) for _ in range(2)]
    left = eventlet.spawn(shared.take)
    eventlet.sleep(0.01)
    for each in gone:
        each.kill()
    shared.quick = 0
    with eventlet.Timeout(9):  # sooner than it would go by itself
        left.wait()


def test_nobody_gives_way_to_a_quick_one_that_waits(hurried: Counted) -> None:
    with fair_scheduling.away():
        assert hurried.quick == 0
    with pytest.raises(Conflict), fair_scheduling.away():
        raise Conflict("no")
    with fair_scheduling.away(), fair_scheduling.away():  # a provider's redirection is a request in a request
        assert hurried.quick == 0


def test_nobody_gives_way_to_a_quick_one_that_waits_for_postgresql(hurried: Counted) -> None:
    here, there = socket.socketpair()
    seen = []

    class Connection:
        """One of psycopg2's, whose server has answered when it is asked for the second time."""

        status = extensions.STATUS_READY
        states = iter((extensions.POLL_READ, extensions.POLL_OK))

        def poll(self) -> int:
            return next(self.states)

        def fileno(self) -> int:
            return here.fileno()

    def server() -> None:
        seen.append(hurried.quick)
        there.send(b"!")

    answering = eventlet.spawn(server)
    green_postgresql._wait(Connection())
    answering.wait()
    assert seen == [0]
    for end in (here, there):
        end.close()


def test_a_slow_one_pauses_after_a_wait_however_that_ended(counted: Counted) -> None:
    assert counted.taken == 1
    with fair_scheduling.away():
        assert counted.taken == 1
    assert counted.taken == 2
    with pytest.raises(Conflict), fair_scheduling.away():
        raise Conflict("no")
    assert counted.taken == 3
    # Whoever is killed has no next turn to wait for.
    with pytest.raises(SystemExit), fair_scheduling.away():
        raise SystemExit
    assert counted.taken == 3
    assert counted.quick == 0


def test_one_who_has_not_begun_takes_no_turns() -> None:
    def nobody() -> None:
        fair_scheduling._turns.set(None)
        fair_scheduling.pause()
        with fair_scheduling.away():
            pass

    copy_context().run(nobody)


def test_a_slow_one_pauses_after_each_of_its_writes(counted: Counted) -> None:
    database = Database("sqlite://", "turns")
    with database.write():
        assert counted.taken == 1
    assert counted.taken == 2
    with database.read():
        pass
    assert counted.taken == 2


def test_nobody_pauses_before_others_know_that_this_copy_is_there(counted: Counted) -> None:
    database = Database("sqlite://", "turns")
    shared_by_all.create_all(database.engine)
    database.heartbeat.hold()
    assert database.heartbeat.fresh
    assert counted.taken == 1


def test_a_slow_one_pauses_after_a_providers_answer_and_its_silence(counted: Counted, scripted: ScriptedServer) -> None:
    with ProviderSession(connect=2.0, read=5.0) as session:
        session.get(scripted.url)
        assert counted.taken == 2
        scripted.answers = [Scripted(drop=True)]
        with contextlib.suppress(requests.exceptions.RequestException):
            session.get(scripted.url)
    assert counted.taken == 3


def test_nobody_pauses_between_the_last_look_and_the_request(counted: Counted, scripted: ScriptedServer) -> None:
    database = Database("sqlite://", "turns")
    looks = []

    def still_wanted() -> bool:
        with database.write():
            looks.append(counted.taken)
        return True

    with ProviderSession(connect=2.0, read=60.0) as session, last_look(still_wanted):
        session.post(scripted.url)
    assert looks == [1]
    assert counted.taken == 2


def test_a_slow_one_pauses_after_sendgrids_answer(counted: Counted, scripted: ScriptedServer) -> None:
    scripted.answers = [Scripted(status=202, headers={"X-Message-Id": "m1"})]
    mail = Mail("key", "a@example.com", "shop@example.com", "Paid", "Paid", None)
    SendGridMailer("SG.x", scripted.url, 60.0).send(mail)
    assert counted.taken == 2


def test_a_slow_one_pauses_after_another_services_answer(counted: Counted) -> None:
    class Link:
        """A link whose other end answers at once."""

        timeout = 1.0

        class client:
            @staticmethod
            def call(*_: Any, **__: Any) -> str:
                return "answer"

    callee: Any = Callee(Link, "stock", {})  # type: ignore[arg-type]
    assert callee.left() == "answer"
    assert counted.taken == 2


def test_a_quick_call_is_answered_between_those_that_a_slow_back_has_held_up(
    client: RpcClient, start: Callable[..., Service]
) -> None:
    back = start("echo_service").answering(client)
    service = start("fair_scheduling_service", STUB_BACK=back.name, RPC_TIMEOUT="18").answering(client)
    slow = [
        threading.Thread(target=client.call, args=(service.name, "slow"), kwargs={"timeout": 60}, daemon=True)
        for _ in range(12)
    ]
    for each in slow:
        each.start()
    until(lambda: back.notes.count("began hold") == 12, what="all of them waiting")
    Path(f"{back.notes_file}.go").touch()
    until(lambda: service.notes.count("slow") >= 2, what="two of them at work")
    client.call(service.name, "echo", timeout=30)
    # They are at work for ten seconds in all, one after the other; without turns it comes after every one of them.
    assert service.notes.count("slow") < 12
    for each in slow:
        each.join(60)
    assert service.notes.count("slow") == 12


def test_a_service_counts_its_quick_ones_however_they_end(client: RpcClient, start: Callable[..., Service]) -> None:
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
    until(lambda: "began hold" in back.notes, what="a quick one that waits for another service")
    assert client.call(service.name, "placed") == [0, False]
    Path(f"{back.notes_file}.go").touch()
    waiting.join(60)

"""Dead letters: a request that kills the service is parked, and the requests that ran with it are answered."""

from __future__ import annotations

import signal
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import amqp
import orjson
import pytest

from chassis.rpc import consumer_counts
from chassis.rpc.client import EXCHANGE, RpcClient
from chassis.rpc.dead_letters import MAX_DEATHS, DeadLetters, parked_queue, suspects_queue
from chassis.work.concurrency_limits import MAX_WAITING
from contracts.errors import OutcomeUnknown, Unavailable
from launcher import parked as parked_command
from tests.integration.chassis.running import Service, connect, unique, until

Start = Callable[..., Service]

ANSWER_TIMEOUT_S = 200.0  # a service is restarted several times before it answers


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers wait for a restart as long as it takes: none of these tests is about a service that stays away."""
    monkeypatch.setattr(consumer_counts, "RESTART_S", ANSWER_TIMEOUT_S)


def parked(service: Service) -> list[amqp.Message]:
    """Return the parked messages; they stay in their queue."""
    with connect(service.uri) as connection:
        channel = connection.channel()
        found = []
        while (message := channel.basic_get(parked_queue(service.name))) is not None:
            found.append(message)
        return found


def waiting(service: Service, queue: str) -> int:
    with connect(service.uri) as connection:
        return int(connection.channel().queue_declare(queue, passive=True).message_count)


def began(service: Service, what: str) -> int:
    """Return how often the service began a request whose note starts with `what`."""
    return sum(note.startswith(f"began {what}") for note in service.notes)


def restart_dead(service: Service) -> None:
    """Wait for the death of the service, then start it."""
    service.wait()
    service.start()


def test_request_that_kills_the_service_is_parked(client: RpcClient, start: Start) -> None:
    service = start("echo_service").answering(client)
    with ThreadPoolExecutor(5) as pool:
        neighbours = [
            pool.submit(client.call, service.name, "sleep", [1.0, f"beside {turn}"], None, ANSWER_TIMEOUT_S)
            for turn in range(4)
        ]
        until(lambda: began(service, "beside") == 4)
        context = {"request_id": "poison-1"}
        poison = pool.submit(client.call, service.name, "die", ["dying"], None, ANSWER_TIMEOUT_S, context)
        for _ in range(MAX_DEATHS + 1):
            restart_dead(service)
        with pytest.raises(OutcomeUnknown) as raised:
            poison.result(timeout=ANSWER_TIMEOUT_S)
        assert [each.result(timeout=ANSWER_TIMEOUT_S) for each in neighbours] == [f"beside {turn}" for turn in range(4)]
    assert raised.value.facts == {"retry_after": 5, "parked": True}
    assert service.notes.count("began dying") == MAX_DEATHS + 1
    service.answering(client)
    assert client.call(service.name, "one", [1]) == 1
    assert service.alive
    # A request that only ran at the same time did not run again for each death.
    assert max(service.notes.count(f"began beside {turn}") for turn in range(4)) <= 3
    [message] = parked(service)
    assert orjson.loads(message.body) == {"args": ["dying"], "kwargs": {}}
    assert message.headers["shop.verb"] == f"{service.name}.die"
    assert message.headers["nameko.request_id"] == "poison-1"
    assert message.properties["delivery_mode"] == 2
    assert "expiration" not in message.properties
    assert waiting(service, f"rpc-{service.name}") == waiting(service, suspects_queue(service.name)) == 0


def test_one_death_does_not_make_a_request_suspect(client: RpcClient, start: Start) -> None:
    service = start("echo_service").answering(client)
    with ThreadPoolExecutor(30) as pool:
        asked = [pool.submit(client.call, service.name, "hold", timeout=ANSWER_TIMEOUT_S) for _ in range(20)]
        until(lambda: began(service, "hold") == 20)
        service.signal(signal.SIGKILL)
        restart_dead(service)
        until(lambda: began(service, "hold") == 40)  # all run at once, as the first time
        assert service.notes.count("ended hold") == 0
        Path(f"{service.notes_file}.go").touch()
        assert {each.result(timeout=ANSWER_TIMEOUT_S) for each in asked} == {"held"}
    assert parked(service) == []


def test_message_with_unreadable_properties_is_parked(client: RpcClient, start: Start) -> None:
    service = start("echo_service").answering(client)
    with connect(service.uri) as connection:
        channel = connection.channel()
        for message in (UnreadableReplyTo(), UnreadableCorrelation()):
            channel.basic_publish(message, EXCHANGE, f"{service.name}.one")
        until(lambda: waiting(service, parked_queue(service.name)) == 2)
    assert client.call(service.name, "one", [1]) == 1
    found = parked(service)
    assert [message.body for message in found] == [b'{"args": [1], "kwargs": {}}'] * 2
    assert {message.headers["shop.reason"] for message in found} == {"its properties cannot be read"}
    assert sum(line["event"] == "broker connected" for line in service.log) == 1
    assert not any(line["event"] == "link failed" for line in service.log)


def test_operator_lists_repeats_or_drops_parked_requests(
    client: RpcClient, start: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service = start("echo_service").answering(client)
    monkeypatch.setenv("AMQP_URI", service.uri)
    with connect(service.uri) as connection:
        channel = connection.channel()
        for text in ("first", "second"):
            message = amqp.Message(orjson.dumps({"args": [0, text], "kwargs": {}}))
            message.delivery_info = {"routing_key": f"{service.name}.sleep"}
            message.properties["application_headers"] = {"nameko.request_id": text, "nameko.deadline": "1.0"}
            DeadLetters(DirectLink(), service.name).park(channel, message, "a reason", MAX_DEATHS + 1)

    def operator(*arguments: str) -> str:
        assert parked_command.main([*arguments, service.name]) == 0
        return capsys.readouterr().out

    until(lambda: waiting(service, parked_queue(service.name)) == 2)
    for _ in range(2):  # listing changes nothing
        listed = operator()
        assert f"{service.name}.sleep  request first: a reason" in listed
        assert "2 parked" in listed
    assert "asked again" in operator("--again")
    until(lambda: service.notes.count("ended second") == 1)
    assert "Nothing is parked" in operator()
    assert service.notes.count("began first") == 1
    with connect(service.uri) as connection:
        channel = connection.channel()
        channel.basic_publish(UnreadableReplyTo(), EXCHANGE, f"{service.name}.one")
    until(lambda: waiting(service, parked_queue(service.name)) == 1)
    assert "cannot be read" in operator("--drop")
    assert "Nothing is parked" in operator()
    assert parked_command.main(["--everything"]) == 2


@pytest.mark.parametrize("headers", [{"shop.verb": "{}.one"}, {}], ids=["nobody takes it", "no verb"])
def test_request_without_a_consumer_stays_parked(
    uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], headers: dict[str, str]
) -> None:
    monkeypatch.setenv("AMQP_URI", uri)
    service = unique("nobody")  # its queue exists, its binding does not
    own = {name: value.format(service) for name, value in headers.items()}
    with connect(uri) as connection:
        channel = connection.channel()
        channel.exchange_declare(EXCHANGE, type="topic", durable=True, auto_delete=False)
        channel.queue_declare(parked_queue(service), durable=True, auto_delete=False)
        try:
            for number in range(2):
                message = amqp.Message(b"%d" % number, application_headers=own)
                channel.basic_publish_confirm(message, "", parked_queue(service))
            assert parked_command.main(["--again", service]) == 1
            printed = capsys.readouterr()
            assert printed.out.count("  nobody takes it: it stays parked") == 2
            assert "asked again" not in printed.out
            assert printed.err == "2 could not be asked again.\n"
            left = [channel.basic_get(parked_queue(service)) for _ in range(3)]
            assert [each and each.body for each in left] == [b"0", b"1", None]
        finally:
            channel.queue_delete(parked_queue(service))


class DirectLink:
    """A link that publishes directly on the channel."""

    def publish(self, body: bytes, exchange: str, key: str, channel: Any = None, **properties: Any) -> None:
        channel.basic_publish(amqp.Message(body, **properties), exchange, key)


class Raw(amqp.Message):
    """A message with hand-made property bytes."""

    raw = b""

    def __init__(self) -> None:
        super().__init__(b'{"args": [1], "kwargs": {}}')

    def _serialize_properties(self) -> bytes:
        return self.raw


class UnreadableReplyTo(Raw):
    """A message whose `reply_to` is not UTF-8."""

    raw = struct.pack(">HB", 0x0200, 2) + b"\xff\xfe"


class UnreadableCorrelation(Raw):
    """A message whose `correlation_id` is not UTF-8."""

    raw = struct.pack(">HB", 0x0400, 4) + b"\xf0\x28\x8c\x28"


def test_message_with_unwritable_headers_is_parked() -> None:
    sent: list[dict[str, Any]] = []

    class Link:
        def publish(self, body: bytes, exchange: str, key: str, channel: Any = None, **properties: Any) -> None:
            amqp.Message(body, **properties)._serialize_properties()
            sent.append(properties)

    message = amqp.Message(b"{}", application_headers={"odd": {1, 2}, b"\xff": 1, "nameko.request_id": "r"})
    message.delivery_info = {"routing_key": "echo.one"}
    DeadLetters(Link(), "echo").park(None, message, "a reason")
    [properties] = sent
    assert properties["application_headers"]["nameko.request_id"] == "r"
    assert properties["application_headers"]["shop.reason"] == "a reason"
    assert "odd" not in properties["application_headers"]


def test_slow_verb_at_its_limit_does_not_delay_quick_verbs(client: RpcClient, start: Start) -> None:
    service = start("echo_service").answering(client)
    most = 2
    with ThreadPoolExecutor(120) as pool:
        asked = [pool.submit(client.call, service.name, "slow", timeout=100) for _ in range(100)]
        try:
            until(
                lambda: sum(each.done() for each in asked) >= 100 - most - MAX_WAITING,
                what="the refusal of the calls above the limit",
            )
            for turn in range(50):
                assert client.call(service.name, "one", [turn], timeout=10.0) == turn
            until(lambda: sum(each.done() for each in asked) >= 100 - most, what="the refusal of the waiting calls")
        finally:
            Path(f"{service.notes_file}.go").touch()
        failures = [error for each in asked if (error := each.exception(timeout=60))]
    assert {type(error) for error in failures} == {Unavailable}
    assert len({error.facts["retry_after"] for error in failures}) > 1  # type: ignore[attr-defined]
    assert service.notes.count("began hold") == most

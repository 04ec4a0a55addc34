"""RPC calls while the broker and all services run: many callers, deadlines, failures of every kind."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from nameko.exceptions import IncorrectSignature, MalformedRequest, MethodNotFound, RemoteError

from chassis.deadline import DEADLINE_MARGIN_S
from chassis.rpc.client import EXCHANGE, RpcClient
from contracts import errors
from contracts.errors import Conflict, DeadlineExceeded, Unavailable
from tests.integration.chassis.running import Service, connect, unique, until

Stubs = dict[str, Service]

KINDS = [
    "InvalidRequest",
    "PaymentDeclined",
    "PaymentActionRequired",
    "NotFound",
    "Conflict",
    "Refused",
    "ProviderFailure",
    "Unavailable",
    "OutcomeUnknown",
    "DeadlineExceeded",
]
FACTS = {"none": None, "cents": 1999, "share": 0.5, "yes": True, "deep": [{"errors": {"price": ["ä €"]}}], "empty": {}}


@pytest.mark.parametrize(("threads", "each"), [(8, 400), (64, 50)])
def test_every_answer_matches_its_request(client: RpcClient, stubs: Stubs, threads: int, each: int) -> None:
    begin = threading.Barrier(threads, timeout=60)

    def ask(number: int) -> list[tuple[Any, Any]]:
        begin.wait()
        wrong = []
        for turn in range(each):
            request = [number, turn, "x" * random.choice((1, 50, 3000))]
            answer = client.call(stubs["echo"].name, "echo", request, {"turn": turn}, timeout=60)
            if answer != {"args": request, "kwargs": {"turn": turn}}:
                wrong.append((request, answer))
        return wrong

    with ThreadPoolExecutor(threads) as pool:
        assert [found for found in pool.map(ask, range(threads)) if found] == []
    assert client._calls == {}  # finished calls leave no entry


def test_many_greenlets_of_a_service_share_its_client(client: RpcClient, stubs: Stubs) -> None:
    def ask(number: int) -> bool:
        return all(
            client.call(stubs["front"].name, "relay", ["one", [number, turn]], timeout=60) == [number, turn]
            for turn in range(20)
        )

    with ThreadPoolExecutor(24) as pool:
        assert all(pool.map(ask, range(24)))


def test_a_large_message_arrives_whole_both_ways(client: RpcClient, stubs: Stubs) -> None:
    sent = "ä" * 2_500_000  # 5 MB in UTF-8
    assert client.call(stubs["echo"].name, "one", [sent], timeout=60) == sent
    assert len(client.call(stubs["echo"].name, "big", [5_000_000], timeout=60)) == 5_000_000


def test_large_and_small_messages_at_once_do_not_mix(client: RpcClient, stubs: Stubs) -> None:
    def ask(number: int) -> bool:
        value = f"{number}" * (300_000 if number % 3 == 0 else 3)
        return bool(client.call(stubs["echo"].name, "one", [value], timeout=60) == value)

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(ask, range(60)))


def test_late_answer_does_not_disturb_the_next_calls(client: RpcClient, stubs: Stubs) -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded) as late:
        client.call(stubs["echo"].name, "sleep", [1.0], timeout=0.3)
    assert time.monotonic() - began > 0.25
    assert stubs["echo"].name in late.value.detail
    assert client._calls == {}
    # The late answer arrives during these calls, and the client drops it.
    end = time.monotonic() + 1.2
    while time.monotonic() < end:
        number = random.random()
        assert client.call(stubs["echo"].name, "one", [number]) == number


def test_call_without_time_left_sends_nothing(client: RpcClient, stubs: Stubs) -> None:
    with pytest.raises(DeadlineExceeded):
        client.call(stubs["echo"].name, "sleep", [0, "no time"], timeout=0)
    with pytest.raises(DeadlineExceeded):
        client.call(stubs["echo"].name, "sleep", [0, "no time"], timeout=-1)
    client.call(stubs["echo"].name, "echo")
    assert not any("no time" in line for line in stubs["echo"].notes)


def test_service_that_never_started_is_refused_at_once(client: RpcClient) -> None:
    never = unique("never")
    began = time.monotonic()
    with pytest.raises(Unavailable) as absent:
        client.call(never, "echo", timeout=60)
    assert time.monotonic() - began < 30
    assert never in absent.value.detail
    assert absent.value.facts == {"retry_after": 1, "service": never}


@pytest.mark.parametrize("kind", KINDS)
def test_failure_keeps_kind_detail_and_facts_over_two_hops(client: RpcClient, stubs: Stubs, kind: str) -> None:
    for service, method, before in ((stubs["echo"], "fail", []), (stubs["front"], "relay", ["fail"])):
        with pytest.raises(getattr(errors, kind)) as failed:
            client.call(service.name, method, [*before, kind, "Wieso, „€“?", FACTS])
        assert type(failed.value) is getattr(errors, kind)
        assert failed.value.detail == "Wieso, „€“?"
        assert failed.value.facts == FACTS
        assert str(failed.value) == "Wieso, „€“?"


def test_a_failure_without_facts_has_none(client: RpcClient, stubs: Stubs) -> None:
    with pytest.raises(Conflict) as failed:
        client.call(stubs["echo"].name, "fail", ["Conflict", "", None])
    assert failed.value.facts == {}


def test_bug_arrives_as_a_remote_error_over_both_hops(client: RpcClient, stubs: Stubs) -> None:
    with pytest.raises(RemoteError) as bug:
        client.call(stubs["echo"].name, "bug")
    assert bug.value.exc_type == "ZeroDivisionError"
    with pytest.raises(RemoteError):
        client.call(stubs["front"].name, "relay", ["bug"])


def test_unserializable_answer_is_an_error_and_service_survives(client: RpcClient, stubs: Stubs) -> None:
    echo = stubs["echo"].name
    with pytest.raises(RemoteError) as unserializable:
        client.call(echo, "unserializable", ["result"])
    assert unserializable.value.exc_type == "UnserializableValueError"
    with pytest.raises(Conflict, match="A price"):
        client.call(echo, "unserializable", ["facts"])
    with pytest.raises(Conflict, match="half a character"):
        client.call(echo, "unserializable", ["detail"])
    with pytest.raises(RemoteError) as unfindable:
        client.call(echo, "unserializable", ["class"])
    assert unfindable.value.exc_type == "Unfindable"
    assert client.call(echo, "one", [1]) == 1


def test_unknown_method_and_wrong_signature_raise_their_errors(client: RpcClient, stubs: Stubs) -> None:
    echo = stubs["echo"].name
    with pytest.raises(MethodNotFound, match="no_such"):
        client.call(echo, "no_such")
    with pytest.raises(IncorrectSignature):
        client.call(echo, "one", [1, 2])
    with pytest.raises(IncorrectSignature):
        client.call(echo, "one", [], {"valve": 1})


MALFORMED: list[tuple[bytes, dict[str, Any]]] = [
    (b"", {}),
    (b"\xff\xfe not json", {}),
    (b"[]", {}),
    (b"null", {}),
    (b'{"args": []}', {}),
    (b'{"args": {}, "kwargs": []}', {}),
    (b'{"args": [], "kwargs": {}}', {"content_encoding": "no-such-encoding", "content_type": "image/png"}),
    (b'{"args": [], "kwargs": {}}', {"application_headers": {"nameko.deadline": "soon"}}),
    (b'{"args": [], "kwargs": {}}', {"application_headers": {"nameko.deadline": None}}),
    (b'{"args": [], "kwargs": {}}', {"application_headers": {"nameko.call_id_stack": 5}}),
    (b'{"args": [], "kwargs": {}}', {"application_headers": {"nameko.call_id_stack": [1, None]}}),
    (b'{"args": [], "kwargs": {}}', {"application_headers": {"nameko.request_id": {"a": ["b"]}}}),
    (b'{"args": [], "kwargs": {}}', {"reply_to": "nobody-is-here", "correlation_id": "x" * 255}),
]


def test_malformed_messages_do_not_stop_a_service(uri: str, client: RpcClient, stubs: Stubs) -> None:
    echo = stubs["echo"]
    answers: dict[str, Any] = {}
    with connect(uri) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).queue
        channel.queue_bind(queue, EXCHANGE, routing_key=queue)
        channel.basic_consume(
            queue,
            no_ack=True,
            callback=lambda message: answers.update({message.correlation_id: orjson.loads(message.body)}),
        )
        message = amqp_message()
        for number, (body, properties) in enumerate(MALFORMED):
            message = amqp_message(body, **{"reply_to": queue, "correlation_id": f"{number}", **properties})
            channel.basic_publish(message, EXCHANGE, f"{echo.name}.echo")
            channel.basic_publish(
                amqp_message(body, **properties), EXCHANGE, f"{echo.name}.echo"
            )  # without a reply queue
        channel.basic_publish(amqp_message(b"{}"), EXCHANGE, f"{echo.name}.")
        deadline = time.monotonic() + 60
        while len(answers) < len(MALFORMED) - 1 and time.monotonic() < deadline:
            try:
                connection.drain_events(timeout=0.5)
            except TimeoutError:
                continue
    malformed = [answers[f"{number}"]["error"]["exc_path"] for number in range(6)]
    assert malformed == [f"{MalformedRequest.__module__}.MalformedRequest"] * 6
    assert set(answers) == {f"{number}" for number in range(len(MALFORMED) - 1)}
    assert echo.alive
    assert client.call(echo.name, "one", ["still there"]) == "still there"


def amqp_message(body: bytes = b"", **properties: Any) -> Any:
    """Return a message with exactly these properties."""
    import amqp

    return amqp.Message(body, **properties)


def test_nested_call_gets_the_remaining_time_less_a_margin(client: RpcClient, stubs: Stubs) -> None:
    direct = client.call(stubs["echo"].name, "left", timeout=9.0)
    assert 2.0 < direct <= 9.0
    nested = client.call(stubs["front"].name, "relay", ["left"], timeout=9.0)
    assert 1.5 < nested <= 9.0 - DEADLINE_MARGIN_S
    longest = client.call(stubs["front"].name, "relay", ["left"], timeout=60.0)
    assert longest <= 10.0  # RPC_TIMEOUT


def test_the_innermost_wait_ends_first(client: RpcClient, stubs: Stubs, start: Callable[..., Service]) -> None:
    # A busy machine needs this margin.
    front = start("front_service", STUB_BACK=stubs["echo"].name, STUB_MARGIN="8").answering(client)
    with pytest.raises(DeadlineExceeded) as late:
        client.call(front.name, "relay", ["sleep", 4.0], timeout=9.0)
    assert stubs["echo"].name in late.value.detail  # the front service itself answered in time


def test_the_request_id_reaches_the_log_of_both_services(client: RpcClient, stubs: Stubs) -> None:
    request_id = unique("request")
    client.call(stubs["front"].name, "relay", ["one", 1], context={"request_id": request_id})
    for service, method in ((stubs["front"], "relay"), (stubs["echo"], "one")):
        line = until(
            lambda service=service: next((line for line in service.log if line.get("request_id") == request_id), None)
        )
        assert line["service"] == service.name
        assert line["method"] == method
        assert line["ms"] >= 0


def test_call_context_does_not_leak_into_the_next_call(client: RpcClient, stubs: Stubs) -> None:
    echo = stubs["echo"].name
    for _ in range(40):  # more than there are workers
        client.call(echo, "left", context={"request_id": "before"})
    with connect(stubs["echo"].uri) as connection:
        connection.channel().basic_publish(
            amqp_message(b'{"args": [0, "free"], "kwargs": {}}'), EXCHANGE, f"{echo}.sleep"
        )
    until(lambda: "ended free" in stubs["echo"].notes)
    assert client.call(echo, "bound") == {"service": echo}

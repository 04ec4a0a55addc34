"""An idempotency key on the wire: two headers carry it, and a replayed answer is marked as replayed."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nameko.standalone.rpc import ClusterRpcProxy

from chassis.db.engine import Database
from chassis.db.shared_tables import shared_by_all
from chassis.rpc.client import RpcClient
from contracts import errors
from tests.integration.chassis.running import Service

Start = Callable[..., Service]


@pytest.fixture
def keyed(start: Start, client: RpcClient, tmp_path: Path) -> list[Service]:
    """Two copies of the stub that share one database."""
    url = f"sqlite:///{tmp_path}/keyed.db"
    database = Database(url, "keyed")
    shared_by_all.create_all(database.engine)
    database.dispose()
    first = start("keyed_service", DATABASE_URL=url)
    second = start("keyed_service", DATABASE_URL=url, name=first.name)
    return [first.consuming(), second.consuming()]


def ask(client: RpcClient, service: Service, key: str, text: str = "it", method: str = "work") -> tuple[Any, Any]:
    """Return the answer, and the notes that came with it."""
    notes: dict[str, Any] = {}
    context = {"request_id": f"of-{uuid.uuid4().hex}", "once_key": key, "once_body": f"body of {text}"}
    return client.call(service.name, method, (text,), timeout=60.0, context=context, notes=notes), notes


def test_idempotency_key_is_sent_and_its_answer_replayed(client: RpcClient, keyed: list[Service], uri: str) -> None:
    service = keyed[0]
    first, notes = ask(client, service, "k1")
    assert (first, notes) == ({"b": "it", "a": 1.10}, {})
    again = [ask(client, service, "k1") for _ in range(4)]  # both copies answer
    assert [answer for answer, _ in again] == [first] * 4
    assert {frozenset(notes) for _, notes in again} == {frozenset({"replayed", "request_id"})}
    assert len({notes["request_id"] for _, notes in again}) == 1
    assert service.notes == ["did it"]
    with pytest.raises(errors.KeyReused):
        ask(client, service, "k1", "another")

    # Calls without a key, methods that keep no answer, and Nameko's own client work as before.
    assert client.call(service.name, "work", ("plain",)) == client.call(service.name, "work", ("plain",))
    assert [ask(client, service, "k2", "unkept", "unguarded")[1] for _ in range(2)] == [{}, {}]
    with ClusterRpcProxy({"AMQP_URI": uri}, timeout=60) as stock:
        assert stock[service.name].work("stock") == {"b": "stock", "a": 1.10}
    assert service.notes[1:] == ["did plain"] * 2 + ["did unkept"] * 2 + ["did stock"]

    # The first copy is killed after its work, before its answer. The broker redelivers the message to the second copy,
    # which finds a claim whose holder still seems alive. It waits until the holder is gone, then answers the caller.
    Path(f"{service.notes_file}.die").touch()
    answer, notes = ask(client, service, "k3", "killed")
    assert (answer, notes) == ({"b": "killed", "a": 1.10}, {})
    assert [each.alive for each in keyed].count(False) == 1
    assert service.notes[-2:] == ["did killed"] * 2  # a real verb makes its effect idempotent with its own key
    assert ask(client, service, "k3", "killed")[1]["replayed"] is True

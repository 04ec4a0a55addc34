"""A key on the wire: it travels as two headers, and what is given again says so beside the answer."""

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
    """Two copies of the stub, on one database."""
    url = f"sqlite:///{tmp_path}/keyed.db"
    database = Database(url, "keyed")
    shared_by_all.create_all(database.engine)
    database.dispose()
    first = start("keyed_service", DATABASE_URL=url)
    second = start("keyed_service", DATABASE_URL=url, name=first.name)
    return [first.consuming(), second.consuming()]


def ask(client: RpcClient, service: Service, key: str, text: str = "it", method: str = "work") -> tuple[Any, Any]:
    """What was answered, and what came beside it."""
    notes: dict[str, Any] = {}
    context = {"request_id": f"of-{uuid.uuid4().hex}", "once_key": key, "once_body": f"body of {text}"}
    return client.call(service.name, method, (text,), timeout=60.0, context=context, notes=notes), notes


def test_a_key_travels_and_its_answer_comes_again(client: RpcClient, keyed: list[Service], uri: str) -> None:
    service = keyed[0]
    first, notes = ask(client, service, "k1")
    assert (first, notes) == ({"b": "it", "a": 1.10}, {})
    again = [ask(client, service, "k1") for _ in range(4)]  # by both copies
    assert [answer for answer, _ in again] == [first] * 4
    assert {frozenset(notes) for _, notes in again} == {frozenset({"replayed", "request_id"})}
    assert len({notes["request_id"] for _, notes in again}) == 1
    assert service.notes == ["did it"]
    with pytest.raises(errors.KeyReused):
        ask(client, service, "k1", "another")

    # Without a key, and where no answer is kept, nothing is other than it was; nor for Nameko's own client.
    assert client.call(service.name, "work", ("plain",)) == client.call(service.name, "work", ("plain",))
    assert [ask(client, service, "k2", "unkept", "unguarded")[1] for _ in range(2)] == [{}, {}]
    with ClusterRpcProxy({"AMQP_URI": uri}, timeout=60) as stock:
        assert stock[service.name].work("stock") == {"b": "stock", "a": 1.10}
    assert service.notes[1:] == ["did plain"] * 2 + ["did unkept"] * 2 + ["did stock"]

    # Killed after its work, before its answer: the message comes again at once, to a copy that finds the claim of the
    # first, which is still taken for alive. It waits until it is known to be gone, and answers who asked first.
    Path(f"{service.notes_file}.die").touch()
    answer, notes = ask(client, service, "k3", "killed")
    assert (answer, notes) == ({"b": "killed", "a": 1.10}, {})
    assert [each.alive for each in keyed].count(False) == 1
    assert service.notes[-2:] == ["did killed"] * 2  # a verb does its effect once by its own key
    assert ask(client, service, "k3", "killed")[1]["replayed"] is True

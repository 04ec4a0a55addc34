"""Deferred writes: retried soon, in order, up to a limit. The tests hold a real SQLite lock."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from chassis.db import deferred_writes
from chassis.db.deferred_writes import RETRY_INTERVAL_S, DeferredWrites
from chassis.db.engine import Database
from chassis.db.shared_tables import tasks
from chassis.settings import Settings
from chassis.store_provider import StoreProvider
from chassis.work.inbox import Inbox
from contracts.errors import Unavailable
from launcher.place import ROOT
from tests.locked import Locked

things = sa.Table(
    "things",
    sa.MetaData(),
    sa.Column("key", sa.String(9), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
)


class Store:
    """A database with a table of two rows; a test may lock its file."""

    def __init__(self, file: Locked) -> None:
        self.file, self.database = file, file.open()
        self.deferred = DeferredWrites(self.database)
        things.create(self.database.engine)
        with self.database.write() as connection:
            connection.execute(sa.insert(things), [{"key": "a", "number": 0}, {"key": "b", "number": 0}])

    @property
    def numbers(self) -> dict[str, int]:
        with self.database.read() as connection:
            return {row.key: row.number for row in connection.execute(sa.select(things))}


@pytest.fixture
def store(locked: Callable[[str], Locked]) -> Store:
    return Store(locked("cart"))


def put(key: str, number: Any) -> sa.Update:
    return sa.update(things).where(things.c.key == key).values(number=number)


def test_possible_write_happens_at_once(store: Store) -> None:
    assert store.deferred.write(put("a", 1), "a") == 1
    assert store.deferred.write(put("c", 1), "c") == 0
    assert (store.numbers, len(store.deferred)) == ({"a": 1, "b": 0}, 0)


def test_blocked_write_happens_after_the_lock_is_released(store: Store) -> None:
    with store.file.held():
        assert store.deferred.write(put("a", 1), "a") is None
        with pytest.raises(Unavailable):
            store.deferred.catch_up()
    assert store.numbers["a"] == 0
    store.deferred.catch_up()
    assert (store.numbers["a"], len(store.deferred)) == (1, 0)


def test_writes_to_one_row_keep_their_order(store: Store) -> None:
    with store.file.held():
        store.deferred.write(put("a", 1), "a")
    assert store.deferred.write(put("a", things.c.number * 10), "a") is None
    assert store.deferred.write(put("b", 1), "b") == 1
    assert store.numbers == {"a": 0, "b": 1}
    store.deferred.catch_up()
    assert store.numbers["a"] == 10


def test_oldest_deferred_write_is_dropped_at_the_limit(
    locked: Callable[[str], Locked], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deferred_writes, "MAX_WRITES", 2)
    store = Store(locked("cart"))
    for key, number in (("a", 1), ("b", 1), ("b", 2)):
        store.deferred.put_off(put(key, number), key)
    assert len(store.deferred) == 2
    store.deferred.catch_up()
    assert store.numbers == {"a": 0, "b": 2}


@pytest.mark.parametrize("wrong", [None, 2**70], ids=["refused by the database", "refused before it"])
def test_faulty_write_does_not_block_later_writes(store: Store, wrong: int | None) -> None:
    store.deferred.put_off(put("b", wrong), "b")
    store.deferred.put_off(put("a", 1), "a")
    store.deferred.catch_up()
    assert (store.numbers, len(store.deferred)) == ({"a": 1, "b": 0}, 0)


def test_deferred_write_is_retried_every_second(store: Store) -> None:
    class Enough(BaseException):
        """Ends the loop."""

    pauses: list[float] = []

    def tick(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            store.file.unlock()
        if len(pauses) == 3:
            raise Enough

    store.file.lock()
    store.deferred.write(put("a", 1), "a")
    with pytest.raises(Enough):
        store.deferred.run(tick)
    assert (store.numbers["a"], pauses) == (1, [RETRY_INTERVAL_S] * 3)


def test_stopping_service_retries_deferred_writes_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.file.held():
        for number in range(50):
            store.deferred.put_off(put("a", number), "a")
        write, tries = store.database.write, []

        def counted_write() -> Any:
            tries.append(1)
            return write()

        with monkeypatch.context() as counted:
            counted.setattr(store.database, "write", counted_write)
            store.deferred.finish()
        assert (len(tries), len(store.deferred)) == (1, 50)  # after one failure the others would fail, too
    store.deferred.finish()
    assert (store.numbers["a"], len(store.deferred)) == (49, 0)


def test_service_catches_up_with_deferred_writes_when_it_stops(
    locked: Callable[[str], Locked], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = locked("cart")
    monkeypatch.setenv("DATABASE_URL", file.url)
    settings = Settings.load(ROOT / "config.yml")
    monkeypatch.setattr(Settings, "from_config", lambda config: settings)
    threads: dict[str, Any] = {}

    def spawn(run: Any, identifier: str) -> Any:
        threads[identifier] = run
        return SimpleNamespace(kill=lambda: None)

    provider = StoreProvider(Inbox)
    provider.container = SimpleNamespace(config={}, service_name="cart", spawn_managed_thread=spawn)
    provider.setup()
    provider.start()
    database: Database = provider.database
    assert threads["deferred writes"] == database.deferred.run
    inbox = Inbox(database)
    inbox.keep("evt_1", "kind", {})
    with file.held():
        database.deferred.write(put_event("evt_1", 7), "evt_1")
    provider.stop()
    assert [event["tries"] for event in Inbox(file.open()).tasks.rows(state="waiting")] == [7]


def put_event(event_id: str, tries: int) -> sa.Update:
    return sa.update(tasks).where(tasks.c.key == event_id).values(tries=tries)

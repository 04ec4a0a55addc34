"""What could not be written when it was to be: soon, in order, within bounds. SQLite's lock is really held."""

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


class Shelf:
    """A table with two rows, which somebody may lock."""

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
def shelf(locked: Callable[[str], Locked]) -> Shelf:
    return Shelf(locked("cart"))


def put(key: str, number: Any) -> sa.Update:
    return sa.update(things).where(things.c.key == key).values(number=number)


def test_what_can_be_written_is_written_at_once(shelf: Shelf) -> None:
    assert shelf.deferred.write(put("a", 1), "a") == 1
    assert shelf.deferred.write(put("c", 1), "c") == 0
    assert (shelf.numbers, len(shelf.deferred)) == ({"a": 1, "b": 0}, 0)


def test_what_cannot_be_written_is_written_when_the_lock_is_gone(shelf: Shelf) -> None:
    with shelf.file.held():
        assert shelf.deferred.write(put("a", 1), "a") is None
        with pytest.raises(Unavailable):
            shelf.deferred.catch_up()
    assert shelf.numbers["a"] == 0
    shelf.deferred.catch_up()
    assert (shelf.numbers["a"], len(shelf.deferred)) == (1, 0)


def test_what_comes_to_one_row_is_written_in_its_order_and_other_rows_do_not_wait(shelf: Shelf) -> None:
    with shelf.file.held():
        shelf.deferred.write(put("a", 1), "a")
    assert shelf.deferred.write(put("a", things.c.number * 10), "a") is None
    assert shelf.deferred.write(put("b", 1), "b") == 1
    assert shelf.numbers == {"a": 0, "b": 1}
    shelf.deferred.catch_up()
    assert shelf.numbers["a"] == 10


def test_so_much_is_remembered_and_no_more(locked: Callable[[str], Locked], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deferred_writes, "MAX_WRITES", 2)
    shelf = Shelf(locked("cart"))
    for key, number in (("a", 1), ("b", 1), ("b", 2)):
        shelf.deferred.put_off(put(key, number), key)
    assert len(shelf.deferred) == 2
    shelf.deferred.catch_up()
    assert shelf.numbers == {"a": 0, "b": 2}


@pytest.mark.parametrize("wrong", [None, 2**70], ids=["refused by the database", "refused before it"])
def test_a_bug_does_not_hold_up_what_comes_after_it(shelf: Shelf, wrong: int | None) -> None:
    shelf.deferred.put_off(put("b", wrong), "b")
    shelf.deferred.put_off(put("a", 1), "a")
    shelf.deferred.catch_up()
    assert (shelf.numbers, len(shelf.deferred)) == ({"a": 1, "b": 0}, 0)


def test_it_is_tried_every_second_until_it_is_written(shelf: Shelf) -> None:
    class Enough(BaseException):
        """Ends the loop."""

    pauses: list[float] = []

    def tick(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            shelf.file.unlock()
        if len(pauses) == 3:
            raise Enough

    shelf.file.lock()
    shelf.deferred.write(put("a", 1), "a")
    with pytest.raises(Enough):
        shelf.deferred.run(tick)
    assert (shelf.numbers["a"], pauses) == (1, [RETRY_INTERVAL_S] * 3)


def test_a_service_that_goes_tries_once_more_and_does_not_wait_for_long(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shelf.file.held():
        for number in range(50):
            shelf.deferred.put_off(put("a", number), "a")
        write, tries = shelf.database.write, []

        def tried() -> Any:
            tries.append(1)
            return write()

        with monkeypatch.context() as counted:
            counted.setattr(shelf.database, "write", tried)
            shelf.deferred.finish()
        assert (len(tries), len(shelf.deferred)) == (1, 50)  # the others would be in vain, too
    shelf.deferred.finish()
    assert (shelf.numbers["a"], len(shelf.deferred)) == (49, 0)


def test_a_service_writes_late_as_it_runs_and_when_it_stops(
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

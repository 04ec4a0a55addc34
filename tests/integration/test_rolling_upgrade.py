"""Copies of the previous release and of this release run together on PostgreSQL.

Each release sees the claims of the other, and takes over the claims of a dead copy. The tests represent the previous
release by the statements that it executed on the columns `lease` and `until`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from cart.rules.order import CONFIRMING, PAYING
from cart.store.unit_of_work import CartStore
from chassis.db.claims import ClaimLost
from chassis.db.engine import Database, url_for
from chassis.db.migrate import migrate
from chassis.work.idempotency import Asked, Idempotency, KeyClaim
from chassis.work.inbox import Inbox
from contracts.errors import KeyInProgress
from tests.orders import made_order

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

NOW = 1_000_000.0
OTHER = "the previous release's copy"


class Previous:
    """A live copy of the previous release."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def run(self, statement: str, **values: Any) -> Any:
        values = {"holder": OTHER, "now": NOW, "until": NOW + 30.0, **values}
        names = {name: value for name, value in values.items() if f":{name}" in statement}
        with self.database.write() as connection:
            return connection.execute(sa.text(statement), names)

    def beat(self) -> None:
        self.run("INSERT INTO presence (holder, seen) VALUES (:holder, extract(epoch from clock_timestamp()))")

    def die(self) -> None:
        self.run("UPDATE presence SET seen = 0 WHERE holder = :holder")

    def claims(self, order_id: str) -> bool:
        """Claim the order as `Orders.claim` of the previous release did: it took the row if the claim was void."""
        taken = """
            UPDATE orders SET status = 'paying', claim = 'theirs', holder = :holder, lease = :until
            WHERE id = :id AND (status NOT IN ('paying', 'canceling') OR lease <= :now OR holder IS NULL
            OR holder NOT IN (SELECT holder FROM presence WHERE seen >= extract(epoch from clock_timestamp()) - 4))
        """
        return bool(self.run(taken, id=order_id).rowcount == 1)

    def places(self) -> None:
        """Place the order ``or_3``, like ``or_1``."""
        self.run("""
            INSERT INTO orders (id, key, cart_id, status, email, document, attempt, looks, created, lease)
            SELECT 'or_3', 'key-3', cart_id, status, email,
                CAST(replace(CAST(document AS text), 'or_1', 'or_3') AS json), attempt, looks, created, 0
            FROM orders WHERE id = 'or_1'
        """)

    def writes(self, order_id: str, claim: str) -> bool:
        held = "UPDATE orders SET attempt = attempt + 1, lease = :until WHERE id = :id AND claim = :claim"
        return bool(self.run(held, id=order_id, claim=claim).rowcount == 1)

    def releases(self, order_id: str, look: float, claim: str = "theirs") -> bool:
        released = (
            "UPDATE orders SET claim = NULL, holder = NULL, lease = :look, looks = 1 WHERE id = :id AND claim = :claim"
        )
        return bool(self.run(released, id=order_id, look=look, claim=claim).rowcount == 1)

    def lease(self, order_id: str) -> tuple[str | None, float]:
        row = self.run("SELECT holder, lease FROM orders WHERE id = :id", id=order_id).one()
        return row.holder, row.lease


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def cart(database: Callable[[str], Database]) -> Database:
    return database("cart")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(cart: Database, clock: Clock) -> CartStore:
    made = CartStore(cart, clock)
    for number in (1, 2):
        made.orders.place(made_order(number), f"key-{number}")
    return made


@pytest.fixture
def previous(cart: Database) -> Previous:
    copy = Previous(cart)
    copy.beat()
    return copy


def test_previous_release_sees_a_claim_of_this_one(store: CartStore, previous: Previous) -> None:
    order = store.orders.claim("or_1", None, NOW + 30.0)
    assert order is not None
    assert previous.lease("or_1") == (order.holder, NOW + 30.0)
    assert not previous.claims("or_1")


def test_this_release_sees_a_claim_of_the_previous_one(store: CartStore, previous: Previous) -> None:
    assert previous.claims("or_1")
    assert store.orders.claim("or_1", None, NOW + 30.0) is None
    assert store.orders.stalled() == []


def test_work_of_a_dead_previous_copy_is_resumed(store: CartStore, previous: Previous) -> None:
    released = store.orders.claim("or_1", None, NOW + 30.0)
    assert released is not None
    store.orders.let_go(released, NOW + 5.0)
    assert previous.claims("or_1")
    previous.die()
    assert store.orders.stalled() == ["or_1"]
    order = store.orders.claim("or_1", None, NOW + 30.0, fresh=False, hurry=False)
    assert order is not None
    assert not previous.writes("or_1", "theirs")


def test_previous_release_resumes_work_of_a_dead_copy(store: CartStore, previous: Previous, cart: Database) -> None:
    order = store.orders.claim("or_1", None, NOW + 30.0)
    with cart.write() as connection:
        connection.execute(sa.text("DELETE FROM presence WHERE holder = :holder"), {"holder": cart.heartbeat.holder})
    assert previous.claims("or_1")
    assert order is not None
    with pytest.raises(ClaimLost):
        store.orders.keep(order)


def test_order_of_the_previous_release_waits_for_its_time(store: CartStore, previous: Previous, clock: Clock) -> None:
    assert previous.claims("or_1")
    assert previous.releases("or_1", NOW + 5.0)
    assert store.orders.stalled() == []
    clock.now = NOW + 5.0
    assert store.orders.stalled() == ["or_1"]


def test_previous_release_waits_for_the_time_of_an_order(store: CartStore, previous: Previous) -> None:
    order = store.orders.claim("or_1", None, NOW + 30.0)
    assert order is not None
    store.orders.let_go(order, NOW + 5.0)
    assert previous.lease("or_1") == (None, NOW + 5.0)
    again = store.orders.claim("or_1", None, NOW + 30.0)
    assert again is not None
    again.become(CONFIRMING, int(NOW))
    again.due_at = NOW + 15.0
    store.orders.keep(again)
    assert previous.lease("or_1") == (None, NOW + 15.0)


def test_order_placed_by_the_previous_release_is_claimed(store: CartStore, previous: Previous) -> None:
    previous.places()
    order = store.orders.claim("or_3", None, NOW + 30.0)
    assert order is not None
    assert (order.status, order.claimed_until) == (PAYING, NOW + 30.0)


def test_previous_release_keeps_tokens_and_its_orders_get_one(store: CartStore, previous: Previous) -> None:
    token = store.orders.get("or_1").token
    assert previous.claims("or_1")
    assert previous.writes("or_1", "theirs")
    assert store.orders.get("or_1").token == token is not None
    previous.places()
    order = store.orders.get("or_3")
    assert order.token is None
    store.orders.issue_tokens([order])
    assert store.orders.get("or_3", None, order.token).id == "or_3"


# How the previous release claimed a key, and stored its answer.
CLAIMS_KEY = """
    INSERT INTO answers (key, body, effect, holder, until, began) VALUES ('k', 'b', 'pay', :holder, :until, :now)
"""
ANSWERS_KEY = """
    UPDATE answers SET holder = NULL, answer = '{}', ended = :now
    WHERE key = 'k' AND holder = :holder AND until = :until AND ended IS NULL
"""


def test_key_of_the_previous_release_is_in_progress(cart: Database, previous: Previous, clock: Clock) -> None:
    previous.run(CLAIMS_KEY)
    once = Idempotency(cart, clock, timer=iter(float(second) for second in range(100)).__next__)
    with pytest.raises(KeyInProgress):
        once.run(Asked("k", "b"), "pay", dict)
    assert previous.run(ANSWERS_KEY).rowcount == 1


def test_key_taken_over_is_lost_to_the_previous_release(cart: Database, previous: Previous, clock: Clock) -> None:
    previous.run(CLAIMS_KEY)
    previous.die()
    assert isinstance(Idempotency(cart, clock)._claim(Asked("k", "b"), "pay"), KeyClaim)
    assert previous.run(ANSWERS_KEY).rowcount == 0


def test_key_taken_over_by_the_previous_release_is_lost(cart: Database, previous: Previous, clock: Clock) -> None:
    once = Idempotency(cart, clock)
    mine = once._claim(Asked("k", "b"), "pay")
    assert isinstance(mine, KeyClaim)
    taken = "UPDATE answers SET holder = :holder, until = :until WHERE key = 'k'"
    assert previous.run(taken, until=NOW + 40.0).rowcount == 1
    once._let_go(mine, forget=False)
    held = previous.run("SELECT holder, until FROM answers").one()
    assert (held.holder, held.until) == (OTHER, NOW + 40.0)


PLACED = """
    INSERT INTO orders (id, key, cart_id, status, email, document, attempt, looks, created, claim, holder, lease)
    VALUES (:id, :id, 'cart_1', :status, 'x@example.com', '{}', 1, 0, :now, :claim, :by, :lease)
"""
OWES = """
    INSERT INTO owed (key, order_id, kind, state, since, due, tries)
    VALUES (:key, 'or_1', 'email', :state, :now, :now, 0)
"""
STORES_EVENT = """
    INSERT INTO events (id, kind, body, state, received, due, tries, until)
    VALUES (:key, 'charge.refunded', '{"id": 1}', :state, :now, :now, 0, 0)
"""


def test_work_of_the_previous_release_becomes_a_task(store: CartStore, previous: Previous, clock: Clock) -> None:
    previous.run(OWES, key="or_1:email", state="owed")
    previous.run(STORES_EVENT, key="evt_1", state="waiting")
    events = Inbox(store.database, clock).tasks
    assert store.deliveries.rows()[0]["tries"] == 1  # the copy that stored it may have tried it
    assert (store.deliveries.due(), events.due()) == ([], [])  # the copy that stored them works on them first
    clock.now += 30.0
    assert (store.deliveries.due(), events.due()) == (["or_1:email"], ["evt_1"])
    assert [(task["kind"], task["details"]) for task in events.rows()] == [("charge.refunded", {"id": 1})]


def test_work_stored_before_the_migration_becomes_a_task(database_url: str, clock: Clock) -> None:
    cart = Database(url_for("cart", database_url, "unused"), "cart")
    migrate(cart, "0009")
    previous = Previous(cart)
    for state in ("owed", "done", "failed"):
        previous.run(OWES, key=f"or_1:{state}", state=state)
        previous.run(STORES_EVENT, key=f"evt_{state}", state="waiting" if state == "owed" else state)
    migrate(cart)
    for tasks, name in ((CartStore(cart, clock).deliveries, "or_1:"), (Inbox(cart, clock).tasks, "evt_")):
        assert tasks.due() == [f"{name}owed"]
        assert [task["key"] for task in tasks.rows(state="done")] == [f"{name}done"]
        assert [task["key"] for task in tasks.rows(state="failed")] == [f"{name}failed"]
    cart.dispose()


def test_claims_made_before_the_migration_are_kept(database_url: str, clock: Clock) -> None:
    cart = Database(url_for("cart", database_url, "unused"), "cart")
    migrate(cart, "0009")
    previous = Previous(cart)
    previous.beat()
    for order_id, status, claim, by, lease in (
        ("or_held", PAYING, "theirs", OTHER, NOW + 30.0),
        ("or_waiting", CONFIRMING, None, None, NOW + 30.0),
        ("or_due", CONFIRMING, None, None, NOW),
    ):
        previous.run(PLACED, id=order_id, status=status, claim=claim, by=by, lease=lease)
    migrate(cart)
    store = CartStore(cart, clock)
    assert store.orders.stalled() == ["or_due"]
    clock.now = NOW + 30.0
    assert store.orders.stalled() == ["or_held", "or_due", "or_waiting"]
    assert previous.releases("or_held", NOW + 50.0)
    assert store.orders.stalled() == ["or_due", "or_waiting"]
    cart.dispose()


def test_migration_and_a_payment_do_not_deadlock(database_url: str, clock: Clock) -> None:
    """A payment of the previous release locks its order, then records what is owed, while the migration waits."""
    cart = Database(url_for("cart", database_url, "unused"), "cart")
    migrate(cart, "0009")
    previous = Previous(cart)
    previous.run(PLACED, id="or_1", status=PAYING, claim="theirs", by=OTHER, lease=NOW + 30.0)
    migration = threading.Thread(target=migrate, args=(cart,))
    with cart.write() as payment:
        payment.execute(sa.text("UPDATE orders SET status = 'paid' WHERE id = 'or_1'"))
        migration.start()
        waiting = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        with cart.read() as watcher:
            while not watcher.execute(waiting).scalar_one():
                assert migration.is_alive()
        payment.execute(sa.text(OWES), {"key": "or_1:email", "state": "owed", "now": NOW})
    migration.join(60)
    assert not migration.is_alive()
    assert CartStore(cart, clock).deliveries.due() == ["or_1:email"]
    cart.dispose()

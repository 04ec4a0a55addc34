"""The token of an order, on SQLite and PostgreSQL: who it admits, how it is revoked, and orders of older code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from nameko.testing.services import worker_factory

from cart.rules.order import PAID, PAYING
from cart.service import CartService
from cart.store.orders import Orders
from cart.store.tables import orders
from cart.store.unit_of_work import CartStore
from chassis.db.engine import Database
from contracts.errors import NotFound, Unavailable
from tests.orders import made_order

URL = "https://shop.example"


@pytest.fixture
def store(database: Callable[[str], Database]) -> CartStore:
    made = CartStore(database("cart"))
    for number in (1, 2):
        made.orders.place(made_order(number, shipment=f"shp_{number}"), f"key-{number}")
    return made


@pytest.fixture
def cart(store: CartStore) -> Any:
    """The cart service on that store."""
    return worker_factory(
        CartService,
        store=store,
        settings=SimpleNamespace(public_url=URL, rpc_timeout=1.0, operator_email="", dispute_holds_label=True),
        provider={"stripe": SimpleNamespace(payments=SimpleNamespace(live=False))},
    )


def token_of(store: CartStore, number: int = 1) -> str | None:
    return store.orders.get(f"or_{number}").token


def written_by_older_code(store: CartStore, order_id: str = "or_1") -> None:
    with store.database.write() as connection:
        connection.execute(sa.update(orders).where(orders.c.id == order_id).values(token=None))


def test_every_order_has_a_token_of_its_own(store: CartStore) -> None:
    tokens = [token_of(store, number) for number in (1, 2)]
    assert all(token and re.fullmatch(r"ot_[A-Za-z0-9_-]{32}", token) for token in tokens)
    assert len(set(tokens)) == 2
    assert token_of(store) == tokens[0]
    assert tokens[0] not in repr(store.orders.get("or_1"))


def test_token_opens_its_order_and_no_other(cart: Any, store: CartStore) -> None:
    token = token_of(store)
    assert cart.order("or_1", None, token)["id"] == "or_1"
    assert cart.order("or_1", "cart_of_another", token)["id"] == "or_1"
    assert cart.order("or_1", "cart_1", "wrong")["id"] == "or_1"
    for order_id, wrong in (("or_2", token), ("or_1", "wrong"), ("or_1", ""), ("or_1", "é"), ("or_9", token)):
        with pytest.raises(NotFound) as refused:
            cart.order(order_id, "cart_of_another", wrong)
        assert refused.value.detail == f"There is no order {order_id}."


def test_token_opens_the_shipment_of_its_order(cart: Any, store: CartStore) -> None:
    token = token_of(store)
    assert cart.check_shipment(None, "shp_1", False, token)
    assert cart.check_shipment("cart_1", "shp_1", False, "wrong")
    for shipment, wrong in (("shp_2", token), ("shp_1", "wrong"), ("shp_9", token)):
        with pytest.raises(NotFound):
            cart.check_shipment(None, shipment, False, wrong)
    assert cart.check_shipment(None, "shp_9", True, token)


def test_answers_show_the_url_of_the_orders_page(cart: Any, store: CartStore) -> None:
    url = f"{URL}/orders/or_1?token={token_of(store)}"
    assert cart.order("or_1")["status_url"] == url
    assert cart.order("or_1", "cart_1")["status_url"] == url
    assert cart.order("or_1", None, token_of(store))["status_url"] == url
    assert url in [order["status_url"] for order in cart.orders()["data"]]
    assert list(cart.orders()["data"][-1])[-1] == "status_url", "the seed's fields come first, in the seed's sequence"


def test_document_in_the_database_has_no_token(store: CartStore) -> None:
    with store.database.read() as connection:
        document = connection.execute(sa.select(orders.c.document).where(orders.c.id == "or_1")).scalar_one()
    assert "status_url" not in document
    assert str(token_of(store)) not in str(document)


def test_mail_carries_the_url_and_the_text_message_does_not(cart: Any, store: CartStore) -> None:
    store.orders.update("or_1", None, lambda order: setattr(order, "status", PAID))
    with store.write():
        for kind in ("email", "sms"):
            store.deliveries.add(f"or_1:{kind}", kind, "or_1")
    cart.notifications.order_paid_email.return_value = {"status code": "202"}
    cart.notifications.order_paid_sms.return_value = {"status code": "201"}
    for kind in ("email", "sms"):
        cart.wiring.outbox.deliver(f"or_1:{kind}")
    mailed = cart.notifications.order_paid_email.call_args.args[0]
    assert mailed["status_url"] == f"{URL}/orders/or_1?token={token_of(store)}"
    assert "status_url" not in cart.notifications.order_paid_sms.call_args.args[0]


def test_revoked_token_opens_nothing(cart: Any, store: CartStore) -> None:
    old = token_of(store)
    shown = cart.revoke_token("or_1")
    new = token_of(store)
    assert shown == {"status_url": f"{URL}/orders/or_1?token={new}"}
    assert new not in (None, old)
    with pytest.raises(NotFound):
        cart.order("or_1", None, old)
    assert cart.order("or_1", None, new)["id"] == "or_1"
    with pytest.raises(NotFound):
        cart.revoke_token("or_9")


def test_work_on_the_order_does_not_undo_a_revocation(cart: Any, store: CartStore) -> None:
    claimed = store.orders.claim("or_1", None, until=2e9)
    assert claimed is not None
    assert claimed.status == PAYING
    cart.revoke_token("or_1")
    new = token_of(store)
    claimed.charge = "ch_1"
    store.orders.keep(claimed)
    assert (token_of(store), store.orders.get("or_1").charge) == (new, "ch_1")


def test_order_of_older_code_gets_a_token_when_it_is_shown(cart: Any, store: CartStore) -> None:
    written_by_older_code(store)
    with pytest.raises(NotFound):
        cart.order("or_1", None, "None")
    first = cart.order("or_1", "cart_1")["status_url"]
    assert first == f"{URL}/orders/or_1?token={token_of(store)}"
    assert cart.order("or_1", "cart_1")["status_url"] == first
    written_by_older_code(store)
    assert None not in [order["status_url"] for order in cart.orders()["data"]]


def test_two_copies_give_an_order_one_token(store: CartStore) -> None:
    written_by_older_code(store)
    shown = [store.orders.get("or_1") for _ in range(2)]
    for each in shown:
        store.orders.issue_tokens([each])
    assert shown[0].token == shown[1].token == token_of(store) is not None


def test_order_is_shown_while_no_token_can_be_stored(
    cart: Any, store: CartStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise Unavailable("The database of cart is read-only.")

    written_by_older_code(store)
    monkeypatch.setattr(Orders, "issue_tokens", away)
    assert cart.order("or_1", "cart_1")["status_url"] is None


def test_an_order_shows_its_deliveries_and_a_list_does_not(cart: Any, store: CartStore) -> None:
    label = {"label_url": "http://labels/1", "tracking_number": "9400"}
    alone = ("label_url", "labels", "notifications")
    assert [cart.order("or_1")[name] for name in alone] == [None, [], None]  # it is not paid yet
    for kind, done in (("label", label), ("email", {"status code": "202"}), ("sms", None)):
        store.deliveries.add(f"or_1:{kind}", kind, "or_1")
        if done:
            claim = store.deliveries.claim(f"or_1:{kind}", 60.0)
            assert claim is not None
            store.deliveries.settle(f"or_1:{kind}", claim["claim"], state="done", answer=done)
    sent = {"email": {"status code": "202"}, "sms": {"status code": "queued"}}
    for by_token in ((None, None), ("another", token_of(store))):
        assert [cart.order("or_1", *by_token)[name] for name in alone] == ["http://labels/1", [label], sent]
    with counted(store) as alone_statements:
        cart.order("or_1")
    with counted(store) as list_statements:
        page = cart.orders()["data"]
    assert (len(alone_statements), len(page), len(list_statements)) == (3, 2, 2)
    assert not any(name in order for order in page for name in alone)


@contextmanager
def counted(store: CartStore) -> Iterator[list[str]]:
    """Record the queries that are sent to the database inside."""
    statements: list[str] = []

    def record(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement != "BEGIN":
            statements.append(statement)

    sa.event.listen(store.database.engine, "before_cursor_execute", record)
    yield statements
    sa.event.remove(store.database.engine, "before_cursor_execute", record)

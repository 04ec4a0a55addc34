"""A comparison reads the services' own tables page by page, and a repair writes to them. Both databases are tested."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

import cart.reconcile.books
import notifications.reconcile.audit
import products.store.holds
import shipping.reconcile.audit
from cart.reconcile.books import AuditBooks
from cart.rules.order import CANCELED, CREATED, PAID, Order
from cart.store.tables import refunds
from cart.store.unit_of_work import CartStore
from chassis.db.engine import Database
from contracts.errors import Conflict, InvalidRequest, NotFound, Unavailable
from notifications.reconcile.audit import MessageAudit
from notifications.rules.messages import Sms
from notifications.rules.reconcile import Texted
from notifications.rules.record import State as Sending
from notifications.rules.sms import SentSms
from notifications.store.messages import MessageStore
from products.store.holds import held_of, held_page
from products.store.tables import holds
from shipping.reconcile.audit import LabelAudit
from shipping.rules.carriers import Label
from shipping.rules.purchase import LabelPurchase, LabelRefund, State, public
from shipping.rules.reconcile import Rate, Sold
from shipping.rules.shipment import Shipment
from shipping.store.shipments import ShippingStore
from shipping.store.tables import labels
from tests.orders import made_order

Opens = Callable[[str], Database]
LONG_AGO = 1000.0
EVER = 9e12


def placed(number: int, status: str = CREATED, **changes: Any) -> Order:
    return made_order(number, status, 1, **changes)


def walk(page: Callable[[str | None], tuple[list[str], str | None]]) -> list[list[str]]:
    """Every page of a list, as lists of ids."""
    found, cursor = [], None
    for _ in range(10):
        ids, cursor = page(cursor)
        found.append(ids)
        if cursor is None:
            return found
    raise AssertionError("the list does not end")


def test_orders_come_page_by_page_oldest_first(database: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cart.reconcile.books, "PAGE", 2)
    kept = database("cart")
    now = [0.0]
    store, books = CartStore(kept, lambda: now[0]), AuditBooks(CartStore(kept))
    for number, at in ((5, 10.0), (3, 20.0), (4, 20.0), (1, 30.0), (2, 99.0)):
        now[0] = at
        store.orders.place(placed(number, payment=f"pi_{number}"), f"key {number}")

    def page(cursor: str | None) -> tuple[list[str], str | None]:
        found, following = books.page(cursor, 20.0, 50.0)
        return [order.id for order in found], following

    assert walk(page) == [["or_3", "or_4"], ["or_1"]]
    assert set(books.by_id(["or_1", "or_5", "or_9"])) == {"or_1", "or_5"}
    assert {key: order.id for key, order in books.by_payment(["pi_2", "pi_9"]).items()} == {"pi_2": "or_2"}
    assert books.by_id([]) == books.by_payment([]) == {}


def test_missing_deliveries_of_a_paid_order_are_added_once(database: Opens) -> None:
    kept = database("cart")
    store, books = CartStore(kept), AuditBooks(CartStore(kept))
    store.orders.place(placed(1, PAID), "1")
    store.orders.place(placed(2, CANCELED), "2")
    wanted = {"label": "or_1:label", "email": "or_1:email"}
    assert books.owe_missing("or_1", {"label": "or_1:label"}, (PAID,)) == ["label"]
    assert books.owe_missing("or_1", wanted, (PAID,)) == ["email"]
    assert books.owe_missing("or_1", wanted, (PAID,)) == []
    assert books.owed_for(["or_1", "or_2"]) == {"or_1": {"label": "waiting", "email": "waiting"}}
    row = store.deliveries.claim("or_1:email", 10.0)
    assert row is not None
    store.deliveries.settle("or_1:email", row["claim"], state="done")
    assert books.still_owed(["or_1:label", "or_1:email", "or_2:label"]) == {"or_1:label"}
    with pytest.raises(Conflict):
        books.owe_missing("or_2", {"label": "or_2:label"}, (PAID,))
    with pytest.raises(NotFound):
        books.owe_missing("or_3", wanted, (PAID,))


def test_our_refunds_come_page_by_page(database: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cart.reconcile.books, "PAGE", 2)
    kept = database("cart")
    books = AuditBooks(CartStore(kept))
    common = {"order_id": "or_1", "payment": "pi_1", "amount": 5, "state": "done", "due_at": 0.0, "looks": 0}
    with kept.write() as connection:
        for number, provider_id, began in (
            (1, "re_1", 20.0),
            (2, "re_2", 30.0),
            (3, "re_3", 40.0),
            (4, "re_4", 99.0),
            (6, "re_0", 10.0),
        ):
            row = {"id": f"rf_{number}", "key": f"{number}", "provider_id": provider_id, "began": began}
            connection.execute(sa.insert(refunds).values(**common, **row))
        connection.execute(sa.insert(refunds).values(**common, id="rf_5", key="5", began=30.0))

    def page(cursor: str | None) -> tuple[list[str], str | None]:
        found, following = books.refund_page(cursor, 20.0, 50.0)
        return [refund.id for refund in found], following

    assert walk(page) == [["re_1", "re_2"], ["re_3"]]
    known = books.refunds_by_id(["re_4", "re_9"])
    assert {key: (refund.order_id, refund.amount, refund.stands) for key, refund in known.items()} == {
        "re_4": ("or_1", 5, True)
    }


def test_reservations_that_hold_stock_come_page_by_page(database: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products.store.holds, "PAGE", 2)
    kept = database("products")
    with kept.write() as connection:
        for key, state, created in (
            ("b", "held", 20),
            ("a", "held", 30),
            ("c", "released", 30),
            ("d", "held", 40),
            ("e", "held", 99),
        ):
            row = {"key": key, "state": state, "lines": [], "created": created, "updated": created}
            connection.execute(sa.insert(holds).values(**row))

    def page(after: str | None) -> tuple[list[str], str | None]:
        found = held_page(kept, after, 20.0, 50.0)
        return found["keys"], found["next"]

    assert walk(page) == [["a", "b"], ["d"]]
    assert held_of(kept, ["e", "c", "x", "a"]) == ["a", "e"]


class ShippoBooks:
    """Shippo's lists, in memory."""

    def __init__(self, *sold: Sold, **rates: Rate) -> None:
        self.all = list(sold)
        self.rates = rates

    def sold(self, number: int, since: float) -> tuple[list[Sold], int | None]:
        return [each for each in self.all if each.created >= since], None

    def one(self, transaction_id: str) -> Sold | None:
        return next((each for each in self.all if each.id == transaction_id), None)

    def rate(self, rate_id: str) -> Rate | None:
        return self.rates.get(rate_id)


def shipment(number: int) -> Shipment:
    rates = [{"object_id": f"rate_{number}", "provider": "USPS"}]
    return Shipment(f"s_{number}", f"key {number}", f"or_{number}", LONG_AGO, {"name": "N"}, [], [], rates, [])


def sold(number: int, state: str = "bought", **changes: Any) -> Sold:
    values = {"tracking_number": f"9200{number}", "label_url": "http://label", "created": LONG_AGO, **changes}
    return Sold(f"t_{number}", f"rate_{number}", f"or_{number}", state, **values)


class Desk:
    """The store of the shipping service, with labels in it."""

    def __init__(self, kept: Database) -> None:
        self.kept = kept
        self.store = ShippingStore(kept)

    def bought(self, number: int, at: float = LONG_AGO, **values: Any) -> None:
        self.store.add(shipment(number))
        self.store.claim(f"s_{number}", "claim", at, at + 1)
        label = Label(f"t_{number}", "http://label", f"9200{number}")
        rate = f"rate_{number}"
        self.store.record(LabelPurchase(f"s_{number}", State.BOUGHT, rate, rate, "USPS", label=label), at)
        if values:
            with self.kept.write() as connection:
                here = labels.c.shipment_id == f"s_{number}"
                connection.execute(sa.update(labels).where(here).values(**values))

    def audit(self, *listed: Sold, **rates: Rate) -> LabelAudit:
        return LabelAudit(self.store, ShippoBooks(*listed, **rates))  # type: ignore[arg-type]


@pytest.fixture
def desk(database: Opens) -> Desk:
    return Desk(database("shipping"))


def kinds(page: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["kind"], each["subject"]) for each in page["differences"]]


def test_labels_are_compared_both_ways(desk: Desk) -> None:
    for number in (1, 2, 3, 4):
        desk.bought(number)
    desk.store.add(shipment(5))
    desk.store.add(shipment(6))
    listed = [
        sold(1),
        sold(2, "failed"),
        sold(3, "refunded"),
        sold(5),
        sold(6, created=time.time()),
        sold(7),
        Sold("t_8", "rate_1", "or_1", "bought", created=LONG_AGO),
        sold(9, "failed"),
        Sold("t_10", "rate_x", "another system", "bought", created=LONG_AGO),
    ]
    audit = desk.audit(*listed, rate_5=Rate("s_5", "USPS"), rate_6=Rate("s_6", "USPS"), rate_7=Rate("s_none", "USPS"))
    page = audit.page("sold", None, 0.0, LONG_AGO + 10, None)
    assert page["compared"] == len(listed)
    assert page["seen"] == [each.id for each in listed]
    assert page["next"] is None
    assert kinds(page) == [
        ("label bought here, not at Shippo", "or_2"),
        ("label given back at Shippo, not here", "or_3"),
        ("label unknown here", "or_5"),
        ("label without a shipment", "t_7"),
        ("two labels for one shipment", "or_1"),
        ("label without a shipment", "t_10"),
    ]
    ours = audit.page("bought", None, 0.0, EVER, None)
    assert ours["known"] == ["t_1", "t_2", "t_3", "t_4"]
    assert audit.page("bought", None, LONG_AGO + 1, EVER, None)["known"] == []
    asked = audit.page("sold", None, 0.0, LONG_AGO + 10, ["t_4", "t_1"])
    assert kinds(asked) == [("label unknown at Shippo", "or_4")]
    with pytest.raises(InvalidRequest):
        audit.page("nothing", None, 0.0, EVER, None)


def test_our_labels_come_page_by_page(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping.reconcile.audit, "PAGE", 2)
    for number in (1, 2, 3):
        desk.bought(number)
    audit = desk.audit()

    def page(cursor: str | None) -> tuple[list[str], str | None]:
        found = audit.page("bought", cursor, 0.0, EVER, None)
        return found["known"], found["next"]

    assert walk(page) == [["t_1", "t_2"], ["t_3"]]


def test_refunded_label_is_not_counted(desk: Desk) -> None:
    desk.bought(1)
    desk.bought(2, voided=LONG_AGO, refund=LabelRefund.REFUNDED.value)
    desk.bought(3, voided=LONG_AGO, refund=LabelRefund.USED.value)
    desk.store.add(shipment(4))
    desk.store.claim("s_4", "claim", 1.0, 2.0)
    assert desk.audit().shipments_with_label(["s_1", "s_2", "s_3", "s_4", "s_5"]) == ["s_1", "s_3"]
    assert desk.audit().unreturned(["s_1", "s_2", "s_3", "s_4", "s_5"]) == ["s_1"]
    page = desk.audit(sold(2), sold(3)).page("sold", None, 0.0, EVER, None)
    assert kinds(page) == [("label given back here, not at Shippo", "or_2")]


def test_repair_records_a_label_only_if_still_right(desk: Desk) -> None:
    desk.store.add(shipment(1))
    fix = {"do": "record", "shipment": "s_1", "label": "t_1"}
    for listed, trouble in (([], NotFound), ([sold(1, "refunded")], Conflict)):
        with pytest.raises(trouble):
            desk.audit(*listed).mend(fix)
    with pytest.raises(NotFound):
        desk.audit(sold(1)).mend({**fix, "shipment": "s_9"})
    with pytest.raises(InvalidRequest):
        desk.audit(sold(1)).mend({"do": "buy"})
    audit = desk.audit(sold(1), rate_1=Rate("s_1", "USPS"))
    now = time.time()
    desk.store.claim("s_1", "a buyer", now, now + 30)
    with pytest.raises(Unavailable):
        audit.mend(fix)
    desk.store.end("s_1", "a buyer", State.UNKNOWN)
    assert audit.mend(fix) == "recorded label t_1, tracking number 92001"
    purchase = desk.store.purchase("s_1")
    assert purchase is not None
    assert public("s_1", [purchase]) == {
        "object_id": "s_1",
        "label_url": "http://label",
        "parcels": 1,
        "labels": [{"label_url": "http://label", "tracking_number": "92001"}],
        "carrier": "USPS",
        "tracking_number": "92001",
    }
    assert (purchase.rate_id, purchase.state) == ("rate_1", State.BOUGHT)
    with pytest.raises(Conflict):
        audit.mend(fix)
    assert audit.page("sold", None, 0.0, EVER, None)["differences"] == []


class TwilioBooks:
    """Twilio's lists, in memory."""

    def __init__(self, *texts: Texted) -> None:
        self.all = list(texts)

    def texts(self, cursor: str | None, since: float) -> tuple[list[Texted], str | None]:
        return [each for each in self.all if each.created >= since], None

    def one(self, sid: str) -> Texted | None:
        return next((each for each in self.all if each.sid == sid), None)


TO = "+14155550101"
ORDER = "or_0123456789abcdef01234567"


def text(sid: str, body: str = "Hello", created: float = LONG_AGO, to: str = TO) -> Texted:
    return Texted(sid, to, body, "delivered", created)


def noted(store: MessageStore, key: str, body: str, sid: str | None) -> None:
    """Store a message that was sent as `sid`; without a `sid` its outcome is unknown."""
    sms = Sms(key, TO, body)
    store.claim(sms, "claim", LONG_AGO, LONG_AGO + 1)
    store.begin(sms, "claim", LONG_AGO, LONG_AGO + 1)
    if sid is None:
        store.end(key, "claim", Sending.UNKNOWN)
    else:
        store.adopt(sms, [SentSms(sid, "queued")], LONG_AGO)


def audit_of(store: MessageStore, *texts: Texted) -> MessageAudit:
    return MessageAudit(store, TwilioBooks(*texts))  # type: ignore[arg-type]


def test_texts_are_compared_both_ways(database: Opens) -> None:
    store = MessageStore(database("notifications"))
    noted(store, "known", "Hello", "SM1")
    noted(store, "lost", "Lost", "SM2")
    noted(store, "unsure", "Trial", None)
    noted(store, "unsure, too", "Hello", None)
    noted(store, f"{ORDER}:sms", f"Your order {ORDER} is paid.", "SM3")
    other = "or_9999999999abcdef01234567"
    listed = [
        text("SM9", "Young", created=LONG_AGO + 20),
        text("SM1", "Hello"),
        text("SM8", "Hello"),
        text("SM4", "Hello"),
        text("SM7", f"Your order {other} is paid."),
        text("SM6", f"Your order {ORDER} is paid."),
        text("SM5", "Sent from a trial account - Trial"),
        text("SM3", f"Your order {ORDER} is paid."),
    ]
    audit = audit_of(store, *listed)
    page = audit.page("texts", None, 0.0, LONG_AGO + 10, None)
    assert (page["compared"], page["seen"]) == (8, [each.sid for each in listed])
    assert [(each["kind"], each["subject"], each["fix"]["key"]) for each in page["differences"]] == [
        ("SMS unknown here", "SM8", "unsure, too"),
        ("SMS of nobody", "SM4", "twilio:SM4"),
        ("SMS unknown here", other, f"{other}:sms"),
        ("SMS sent twice", ORDER, "twilio:SM6"),
        ("SMS unknown here", "SM5", "unsure"),
    ]
    assert TO not in str(page["differences"])
    assert sorted(audit.page("sent", None, 0.0, EVER, None)["known"]) == ["SM1", "SM2", "SM3"]
    assert audit.page("sent", None, LONG_AGO + 1, EVER, None)["known"] == []
    assert kinds(audit.page("texts", None, 0.0, EVER, ["SM1", "SM2"])) == [("SMS unknown at Twilio", "lost")]
    with pytest.raises(InvalidRequest):
        audit.page("mails", None, 0.0, EVER, None)

    for difference in page["differences"]:
        assert audit.mend(difference["fix"]) == f"recorded message {difference['fix']['sid']}"
    assert audit.page("texts", None, 0.0, LONG_AGO + 10, None)["differences"] == []
    record = store.get("unsure")
    assert record is not None
    assert (record.state, record.provider_id) == (Sending.SENT, "SM5")
    assert record.body == "Trial"


def test_repair_records_a_text_only_if_still_right(database: Opens) -> None:
    store = MessageStore(database("notifications"))
    noted(store, "known", "Hello", "SM1")
    audit = audit_of(store, text("SM1"), text("SM2"))
    for fix, trouble in (
        ({"do": "send", "sid": "SM2", "key": "new"}, InvalidRequest),
        ({"do": "record", "sid": "SM3", "key": "new"}, NotFound),
        ({"do": "record", "sid": "SM1", "key": "new"}, Conflict),
        ({"do": "record", "sid": "SM2", "key": "known"}, Conflict),
    ):
        with pytest.raises(trouble):
            audit.mend(fix)
    record = store.get("known")
    assert record is not None
    assert record.provider_id == "SM1"


def test_our_texts_come_page_by_page(database: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications.reconcile.audit, "PAGE", 2)
    store = MessageStore(database("notifications"))
    for number in (1, 2, 3):
        noted(store, f"key {number}", f"Hello {number}", f"SM{number}")
    audit = audit_of(store)

    def page(cursor: str | None) -> tuple[list[str], str | None]:
        found = audit.page("sent", cursor, 0.0, EVER, None)
        return found["known"], found["next"]

    assert walk(page) == [["SM1", "SM2"], ["SM3"]]

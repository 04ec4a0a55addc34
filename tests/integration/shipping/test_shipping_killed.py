"""A process is killed during the purchase or the refund of a label.

Two copies of the service take over at the same time, within seconds. In the end, exactly one label is bought.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from chassis.db.engine import Database, url_for
from chassis.db.migrate import migrate
from chassis.settings import SANDBOX_KEYS
from chassis.work.ask_once import AskOnce
from contracts.errors import OutcomeUnknown, Unavailable
from shipping.labels.buy import LabelDesk
from shipping.labels.refund import VoidDesk
from shipping.rules.shipment import Shipment
from shipping.shippo.carriers import ShippoCarriers
from shipping.store.shipments import ShippingStore
from shipping.store.tables import labels
from tests.integration.providers.test_shippo_carriers import CHLOE, PARCEL, SHOP
from tests.processes import killed_at
from tests.running_sandbox import RunningSandbox

# In seconds. A copy is dead when its heartbeat is four seconds old. Its request may be in progress for `ANSWER`. The
# rest of `TAKEN_OVER` allows for a busy machine.
ANSWER, TAKEN_OVER = 6.0, 60.0
SETUP = "from tests.integration.shipping.test_shipping_killed import Copy"


class Copy:
    """The objects that one copy of the service works with."""

    def __init__(self, database_url: str, sandbox: str) -> None:
        self.database = Database(url_for("shipping", database_url, "unused"), "shipping")
        self.store = ShippingStore(self.database)
        self.carriers = ShippoCarriers(SANDBOX_KEYS["shippo"], f"{sandbox}/shippo", SHOP, 2.0, ANSWER)
        self.desk = LabelDesk(self.store, self.carriers, AskOnce(lambda seconds: seconds))

    def buy(self, shipment_id: str) -> dict[str, Any]:
        shipment = self.store.get(shipment_id)
        assert shipment is not None
        return self.desk.buy(shipment, shipment.rates[0]["object_id"], "key")

    def give_back(self, shipment_id: str) -> dict[str, Any]:
        return VoidDesk(self.desk, self.store, self.carriers).give_back(shipment_id)


def test_killed_request_is_taken_over_and_done_once(
    database_url: str, providers: RunningSandbox, tmp_path: Path
) -> None:
    copies = [Copy(database_url, providers.url) for _ in range(2)]
    migrate(copies[0].database)
    methods = {
        **dict.fromkeys(("label:buy:begun", "label:buy:asked", "label:buy:done"), "buy"),
        **dict.fromkeys(("void:refund:begun", "void:refund:asked"), "give_back"),
    }
    orders = {point: f"or_{secrets.token_hex(8)}" for point in methods}
    shipments = {point: quoted(copies[0], order_id) for point, order_id in orders.items()}
    for point, method in methods.items():
        if method == "give_back":
            copies[0].buy(shipments[point])
    copy = f"Copy({database_url!r}, {providers.url!r})"
    killed_at(SETUP, {point: f"{copy}.{methods[point]}({shipments[point]!r})" for point in methods}, tmp_path)
    outlast(copies[0].database, labels)
    began = time.monotonic()
    answers: dict[str, list[dict[str, Any]]] = {point: [] for point in methods}

    def take_over(copy: Copy, point: str) -> None:
        answers[point].append(repeated(lambda: getattr(copy, methods[point])(shipments[point])))

    takers = [threading.Thread(target=take_over, args=(copy, point)) for copy in copies for point in methods]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join(timeout=2 * TAKEN_OVER)
    assert time.monotonic() - began < TAKEN_OVER
    for point, method in methods.items():
        (label,) = providers.ledger(order_id=orders[point])["labels"]
        if method == "buy":
            assert label["status"] == "SUCCESS"
            assert [answer["label_url"] for answer in answers[point]] == [label["label_url"]] * 2
        else:
            assert label["status"] in ("REFUNDED", "REFUNDPENDING")
            assert {answer["status"] for answer in answers[point]} <= {"refunded", "pending"}
            assert len(answers[point]) == 2


def outlast(database: Database, table: sa.Table) -> None:
    """Extend every claim by an hour, so that a takeover is possible only because the holder is dead."""
    with database.write() as connection:
        connection.execute(sa.update(table).values(claimed_until=table.c.claimed_until + 3600.0))


def repeated(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Repeat the request until it is answered; return the answer."""
    end = time.monotonic() + TAKEN_OVER
    while True:
        try:
            return ask()
        except (Unavailable, OutcomeUnknown):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def quoted(copy: Copy, order_id: str) -> str:
    """Quote and store a shipment of that order; return its id."""
    quote = copy.carriers.quote(CHLOE, [PARCEL], [], order_id, "usd")
    key = secrets.token_hex(8)
    copy.store.add(Shipment(quote.shipment_id, key, order_id, time.time(), CHLOE, [PARCEL], [], quote.rates, []))
    return quote.shipment_id

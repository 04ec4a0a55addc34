"""A process killed in the middle of a purchase, over either database: two copies of the service take over at once,
within seconds, and one label is bought in the end."""

from __future__ import annotations

import secrets
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from chassis.database import Database, url_for
from chassis.migrate import migrate
from chassis.settings import SANDBOX_KEYS
from shipping.label import LabelDesk
from shipping.shipment import Shipment
from shipping.shippo_carriers import ShippoCarriers
from shipping.store import ShippingStore
from shipping.void import VoidDesk
from tests.processes import killed_at
from tests.providers.test_shippo_carriers import CHLOE, PARCEL, SHOP
from tests.running_sandbox import RunningSandbox, _module_sandbox, providers
from tests.services.test_shipping_service import labels

__all__ = ["_module_sandbox", "providers"]

# A copy has gone when it was not seen for four seconds; a request of its may be under way for `ANSWER` seconds, counted
# from its beginning; and a busy machine needs a moment.
ANSWER, TAKEN_OVER = 3.0, 9.0
SETUP = "from tests.services.test_shipping_killed import Copy"


class Copy:
    """What one copy of the service works with."""

    def __init__(self, database_url: str, sandbox: str) -> None:
        self.database = Database(url_for("shipping", database_url, "unused"), "shipping")
        self.store = ShippingStore(self.database)
        self.carriers = ShippoCarriers(SANDBOX_KEYS["shippo"], f"{sandbox}/shippo", SHOP, 2.0, ANSWER)
        self.desk = LabelDesk(self.store, self.carriers, lambda seconds: seconds)

    def buy(self, shipment_id: str) -> dict[str, Any]:
        shipment = self.store.get(shipment_id)
        assert shipment is not None
        return self.desk.buy(shipment, shipment.rates[0]["object_id"], "key")

    def give_back(self, shipment_id: str) -> dict[str, Any]:
        return VoidDesk(self.desk, self.store, self.carriers).give_back(shipment_id)


def test_killed_buyers_are_taken_over_by_two_and_cost_one_label_each(
    database_url: str, providers: RunningSandbox, tmp_path: Path
) -> None:
    migrate(Copy(database_url, providers.url).database)
    points = ("label:buy:begun", "label:buy:asked", "label:buy:done")
    orders = {point: f"or_{secrets.token_hex(8)}" for point in points}
    shipments = {point: quoted(Copy(database_url, providers.url), orders[point]) for point in points}
    copy = f"Copy({database_url!r}, {providers.url!r})"
    killed_at(SETUP, {point: f"{copy}.buy({shipments[point]!r})" for point in points}, tmp_path)
    began, copies = time.monotonic(), [Copy(database_url, providers.url) for _ in range(2)]
    answers: dict[str, list[Any]] = {point: [] for point in points}
    takers = [
        threading.Thread(target=lambda copy=copy, point=point: answers[point].append(copy.buy(shipments[point])))
        for copy in copies
        for point in points
    ]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join(timeout=30)
    assert time.monotonic() - began < TAKEN_OVER
    for point in points:
        (label,) = labels(providers, orders[point])
        assert [answer["label_url"] for answer in answers[point]] == [label["label_url"]] * 2


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_one_killed_while_it_gave_a_label_back_is_taken_over(
    database_url: str, providers: RunningSandbox, tmp_path: Path
) -> None:
    here = Copy(database_url, providers.url)
    migrate(here.database)
    points = ("void:refund:begun", "void:refund:asked")
    orders = {point: f"or_{secrets.token_hex(8)}" for point in points}
    shipments = {point: quoted(here, orders[point]) for point in points}
    for shipment_id in shipments.values():
        here.buy(shipment_id)
    copy = f"Copy({database_url!r}, {providers.url!r})"
    killed_at(SETUP, {point: f"{copy}.give_back({shipments[point]!r})" for point in points}, tmp_path)
    for point, shipment_id in shipments.items():
        assert here.give_back(shipment_id)["status"] in ("refunded", "pending")
        (label,) = providers.ledger(order_id=orders[point])["labels"]
        assert label["status"] in ("REFUNDED", "REFUNDPENDING")


def quoted(copy: Copy, order_id: str) -> str:
    """A shipment of that order."""
    quote = copy.carriers.quote(CHLOE, [PARCEL], [], order_id)
    key = secrets.token_hex(8)
    copy.store.add(Shipment(quote.shipment_id, key, order_id, time.time(), CHLOE, [PARCEL], [], quote.rates, []))
    return quote.shipment_id

"""A locked database defers the write that ends a claim on a label.

The deferred write follows soon after. It frees the work, or records its result, long before the claim would expire. It
changes nothing when another copy has taken the work over meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from chassis.work.ask_once import AskOnce
from contracts.errors import OutcomeUnknown, ProviderFailure, Unavailable
from shipping.labels.buy import LabelDesk
from shipping.labels.refund import VoidDesk
from shipping.rules.purchase import State as LabelState
from shipping.rules.shipment import Shipment
from shipping.store.shipments import ShippingStore
from tests.integration.deferred import copy
from tests.locked import Locked
from tests.unit.shipping.stub_carriers import Clock as WaitingClock
from tests.unit.shipping.stub_carriers import StubCarriers


class Labels:
    """Two copies of the shipping service and a stub of the carrier."""

    def __init__(self, file: Locked) -> None:
        self.file, self.clock, self.carriers = file, WaitingClock(), StubCarriers()
        self.one, self.other = (ShippingStore(copy(file, self.clock)) for _ in range(2))
        level = {"name": "first", "token": "usps_first"}
        price = {"currency": "USD", "amount": "3.46"}
        rates = [{**price, "object_id": "first", "provider": "USPS", "servicelevel": level}]
        self.shipment = self.one.add(Shipment("ship", "key", "or_1", self.clock.now, {}, [], [], rates, []))

    def desk(self, store: ShippingStore) -> LabelDesk:
        ask_once = AskOnce(lambda wait: min(wait, 10.0), self.clock, self.clock.sleep, self.clock)
        return LabelDesk(store, self.carriers, ask_once)

    def buy(self, store: ShippingStore) -> dict[str, Any]:
        return self.desk(store).buy(self.shipment, "first", "pay:or_1")

    def give_back(self, store: ShippingStore) -> dict[str, Any]:
        return VoidDesk(self.desk(store), store, self.carriers).give_back("ship")

    def free(self) -> bool:
        """Whether the claim on the purchase has expired, while the heartbeat of `one` is fresh."""
        self.one.database.heartbeat.beat()
        with self.one.database.read() as connection:
            return connection.execute(sa.text("SELECT claimed_until FROM labels")).scalar_one() <= self.clock.now


@pytest.fixture
def labels(locked: Callable[[str], Locked]) -> Labels:
    return Labels(locked("shipping"))


def test_deferred_failure_frees_the_purchase(labels: Labels) -> None:
    labels.carriers.trouble = [ProviderFailure("nonsense")]
    labels.carriers.on_buy = labels.file.lock
    with pytest.raises(ProviderFailure):
        labels.buy(labels.one)
    labels.file.unlock()
    assert not labels.free()
    labels.one.database.deferred.catch_up()
    assert labels.free()
    labels.carriers.on_buy = lambda: None
    began = labels.clock.now
    assert labels.buy(labels.other)["tracking_number"] == "94002"
    assert (labels.clock.now, labels.carriers.questions) == (began, [])  # the record says that nothing was bought


def test_deferred_outcome_keeps_a_lost_purchase_unresolved(labels: Labels) -> None:
    labels.carriers.trouble = [OutcomeUnknown("lost")]
    labels.carriers.on_buy = labels.file.lock
    with pytest.raises(OutcomeUnknown):
        labels.buy(labels.one)
    labels.file.unlock()
    labels.one.database.deferred.catch_up()
    assert labels.free()
    purchase = labels.other.purchase("ship")
    assert purchase is not None
    assert purchase.unresolved
    assert purchase.settled >= purchase.tried + labels.carriers.longest_answer


def test_deferred_record_keeps_the_bought_label(labels: Labels) -> None:
    labels.carriers.on_buy = labels.file.lock
    with pytest.raises(Unavailable):
        labels.buy(labels.one)
    labels.file.unlock()
    assert not labels.free()
    labels.one.database.deferred.catch_up()
    assert labels.buy(labels.other)["tracking_number"] == "94001"
    assert (labels.carriers.purchases, labels.carriers.questions) == (["first"], [])


def test_label_held_back_by_an_outage_counts_as_not_bought(labels: Labels) -> None:
    labels.carriers.on_connect = labels.file.lock
    with pytest.raises(Unavailable):
        labels.buy(labels.one)
    labels.file.unlock()
    labels.one.database.deferred.catch_up()
    purchase = labels.other.purchase("ship")
    assert purchase is not None
    assert purchase.state is LabelState.FAILED
    assert labels.carriers.purchases == []


def test_deferred_release_frees_an_unbegun_purchase(labels: Labels) -> None:
    request = labels.desk(labels.one).request("ship")
    request.claimed()
    with labels.file.held(), pytest.raises(Unavailable):
        request.bought(labels.shipment, labels.shipment.rate("first"), "pay:or_1")
    assert not labels.free()
    labels.one.database.deferred.catch_up()
    assert labels.free()
    assert labels.carriers.purchases == []


def test_deferred_record_keeps_the_label_refund(labels: Labels) -> None:
    labels.buy(labels.one)
    refund = labels.carriers.refund

    def locks(transaction_id: str) -> str:
        labels.file.lock()
        return refund(transaction_id)

    labels.carriers.refund = locks  # type: ignore[method-assign]
    assert labels.give_back(labels.one)["status"] == "refunded"
    labels.file.unlock()
    assert not labels.free()
    labels.one.database.deferred.catch_up()
    assert labels.free()
    assert labels.give_back(labels.other)["status"] == "refunded"
    assert labels.carriers.refunds == ["transaction-1"]


@pytest.mark.parametrize("trouble", [None, ProviderFailure("nonsense")], ids=["bought", "failed"])
def test_deferred_end_leaves_a_taken_over_purchase_alone(labels: Labels, trouble: Exception | None) -> None:
    labels.carriers.trouble = [trouble]
    labels.carriers.on_buy = labels.file.lock
    with pytest.raises((Unavailable, ProviderFailure)):
        labels.buy(labels.one)
    labels.file.unlock()
    labels.clock.now += 16.0
    until = labels.clock.now + 15.0
    assert labels.other.claim("ship", "theirs", labels.clock.now, until) is not None
    labels.one.database.deferred.catch_up()
    assert not labels.free()
    purchase = labels.other.purchase("ship")
    assert purchase is not None
    assert purchase.unresolved
    labels.other.end("ship", "theirs", purchase.state)
    assert labels.free()

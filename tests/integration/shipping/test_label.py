"""A label is bought once, despite lost answers, kills and takeovers. The databases are real; the carrier is a stub."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chassis.db.engine import Database
from chassis.work.ask_once import CLAIM_MARGIN_S, PATIENCE_S, SETTLE_S, AskOnce
from contracts.errors import Conflict, NotFound, OutcomeUnknown, ProviderFailure, Refused, Unavailable
from shipping.labels.buy import RATE_AGE_S, LabelDesk
from shipping.rules.carriers import Label
from shipping.rules.purchase import LabelPurchase, State
from shipping.rules.shipment import Shipment
from shipping.rules.terms import AS_QUOTED, Terms
from shipping.store.shipments import ShippingStore
from tests.processes import die
from tests.unit.shipping.stub_carriers import Clock, StubCarriers


class Killed(BaseException):
    """The process died here."""


USD = {"currency": "USD", "amount": "3.46", "attributes": []}


class Shop:
    """A shipment with two rates, a stub of the carrier, and a desk that buys the label."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = store = ShippingStore(database)
        self.clock = Clock()
        self.carriers = StubCarriers()
        rates = [
            {**USD, "object_id": name, "provider": "USPS", "servicelevel": {"name": name, "token": f"usps_{name}"}}
            for name in ("priority", "first")
        ]
        self.shipment = store.add(Shipment("ship", "key", "or_1", self.clock.now, {}, [], [], rates, []))

    def desk(self, patience: float = 10.0) -> LabelDesk:
        ask_once = AskOnce(lambda wait: min(wait, patience), self.clock, self.clock.sleep, self.clock)
        return LabelDesk(self.store, self.carriers, ask_once)

    def buy(self, rate_id: str = "first", patience: float = 10.0, **more: Any) -> dict[str, Any]:
        terms = more.get("terms", AS_QUOTED)
        return self.desk(patience).buy(more.get("shipment", self.shipment), rate_id, "pay:or_1", terms)

    def find(self) -> dict[str, Any]:
        return self.desk().found(self.shipment)


@pytest.fixture
def shop(database: Callable[[str], Database]) -> Shop:
    return Shop(database("shipping"))


def test_wait_for_another_buyer_ends_though_the_clock_steps_back(shop: Shop) -> None:
    timer = Clock()
    began = timer.now

    def wait(seconds: float) -> None:
        timer.now += seconds
        shop.clock.now -= 3600
        assert timer.now - began < 60

    assert shop.store.claim("ship", "another", shop.clock.now, shop.clock.now + 20) is not None
    desk = LabelDesk(shop.store, shop.carriers, AskOnce(lambda bound: min(bound, 10.0), shop.clock, wait, timer))
    with pytest.raises(Unavailable):
        desk.buy(shop.shipment, "first", "pay:or_1")
    assert shop.carriers.purchases == []


def test_a_label_is_bought_once_and_answered_again(shop: Shop) -> None:
    first = shop.buy()
    assert first == {
        "object_id": "ship",
        "label_url": "https://labels/1.pdf",
        "carrier": "USPS",
        "tracking_number": "94001",
        "parcels": 1,
        "labels": [{"label_url": "https://labels/1.pdf", "tracking_number": "94001"}],
    }
    assert shop.buy() == first
    assert shop.carriers.purchases == ["first"]


def test_a_label_at_another_rate_is_a_conflict(shop: Shop) -> None:
    shop.buy("first")
    with pytest.raises(Conflict, match="at another rate"):
        shop.buy("priority")
    assert shop.carriers.purchases == ["first"]


def test_a_rate_of_another_shipment_is_not_found(shop: Shop) -> None:
    with pytest.raises(NotFound):
        shop.buy("another's")
    assert shop.carriers.purchases == []


def test_lost_answer_is_looked_up_not_bought_again(shop: Shop) -> None:
    shop.carriers.trouble, shop.carriers.sells_anyway = [OutcomeUnknown("lost")], True
    assert shop.buy()["label_url"] == "https://labels/1.pdf"
    assert (shop.carriers.purchases, shop.carriers.questions) == (["first"], ["first"])


def test_label_shown_late_is_not_bought_again(shop: Shop) -> None:
    shop.carriers.trouble, shop.carriers.sells_anyway, shop.carriers.blind = [OutcomeUnknown("lost")], True, 2
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            shop.buy()
    assert shop.buy()["label_url"] == "https://labels/1.pdf"
    assert shop.carriers.purchases == ["first"]


def test_lost_purchase_is_repeated_only_after_it_settled(shop: Shop) -> None:
    shop.carriers.trouble = [OutcomeUnknown("lost")]
    began = shop.clock.now
    with pytest.raises(OutcomeUnknown) as lost:
        shop.buy()
    assert lost.value.facts["retry_after"] == 8
    shop.clock.now += shop.carriers.longest_answer - PATIENCE_S - 0.5
    with pytest.raises(OutcomeUnknown, match="not known yet") as unknown:
        shop.buy()
    assert unknown.value.facts["retry_after"] == 5
    assert shop.carriers.purchases == ["first"]
    shop.clock.now += 0.6
    assert shop.buy()["label_url"] == "https://labels/2.pdf"
    assert shop.carriers.purchases == ["first", "first"]
    assert 8.0 <= shop.clock.now - began < 9.2


def test_caller_with_little_time_gets_a_retry_after(shop: Shop) -> None:
    shop.carriers.trouble = [OutcomeUnknown("lost")]
    with pytest.raises(OutcomeUnknown):
        shop.buy()
    shop.clock.now += shop.carriers.longest_answer - 2.0
    now = shop.clock.now
    with pytest.raises(OutcomeUnknown, match="not known yet") as unknown:
        shop.buy(patience=3.0)
    assert (shop.clock.now, unknown.value.facts["retry_after"]) == (now, 2)
    assert shop.buy(patience=4.0)["label_url"] == "https://labels/2.pdf"


def test_label_found_during_the_wait_ends_the_wait(shop: Shop) -> None:
    shop.carriers.trouble, shop.carriers.sells_anyway, shop.carriers.blind = [OutcomeUnknown("lost")], True, 3
    with pytest.raises(OutcomeUnknown):
        shop.buy()
    shop.clock.now += shop.carriers.longest_answer - 3.5
    now = shop.clock.now
    assert shop.buy()["label_url"] == "https://labels/1.pdf"
    assert 1.0 < shop.clock.now - now < 3.0
    assert shop.carriers.purchases == ["first"]


def test_hanging_time_does_not_count_as_settling(shop: Shop) -> None:
    bought: list[float] = []

    def hang() -> None:
        bought.append(shop.clock.now)
        shop.clock.now += 11.0

    shop.carriers.trouble, shop.carriers.on_buy = [OutcomeUnknown("hung")], hang
    with pytest.raises(OutcomeUnknown):
        shop.buy()
    shop.buy()
    assert bought[1] - bought[0] >= 11.0 + SETTLE_S


def test_answered_failure_is_repeated_at_once(shop: Shop) -> None:
    shop.carriers.trouble = [OutcomeUnknown("failed", {"answered": True})]
    with pytest.raises(Unavailable):
        shop.buy()
    assert shop.buy()["label_url"] == "https://labels/2.pdf"


def test_unreachable_carrier_prevents_a_second_purchase(shop: Shop) -> None:
    shop.carriers.trouble = [OutcomeUnknown("failed", {"answered": True})]
    shop.carriers.deaf = Unavailable("away")
    with pytest.raises(OutcomeUnknown):
        shop.buy()
    shop.clock.now += 60
    with pytest.raises(Unavailable, match="away"):
        shop.buy()
    assert shop.carriers.purchases == ["first"]
    shop.carriers.deaf = None
    shop.buy()
    assert shop.carriers.purchases == ["first", "first"]


@pytest.mark.parametrize("error", [Refused("no"), Unavailable("away"), ProviderFailure("key")])
def test_certain_failure_leaves_the_shipment_free(shop: Shop, error: Exception) -> None:
    shop.carriers.trouble = [error]
    with pytest.raises(type(error)):
        shop.buy("first")
    assert shop.buy("priority")["label_url"] == "https://labels/2.pdf"
    assert shop.carriers.questions == []


def test_takeover_after_the_purchase_buys_nothing(shop: Shop) -> None:
    shop.carriers.trouble, shop.carriers.sells_anyway = [Killed()], True  # type: ignore[list-item]
    with pytest.raises(Killed):
        shop.buy()
    with pytest.raises(Unavailable, match="another call"):  # the claim of the killed buyer is still valid
        shop.buy(patience=1.0)
    die(shop.database)
    assert shop.buy()["label_url"] == "https://labels/1.pdf"
    assert shop.carriers.purchases == ["first"]


def test_takeover_before_the_purchase_buys_one_label(shop: Shop) -> None:
    shop.carriers.trouble = [Killed()]  # type: ignore[list-item]
    began = shop.clock.now
    with pytest.raises(Killed):
        shop.buy()
    die(shop.database)
    with pytest.raises(OutcomeUnknown, match="not known yet"):  # the request may still be on its way
        shop.buy()
    assert shop.carriers.purchases == ["first"]
    shop.clock.now += 4.2
    shop.buy()
    assert (len(shop.carriers.purchases), list(shop.carriers.sold)) == (2, ["first"])
    assert 8.0 <= shop.clock.now - began < 9.2


def test_late_request_of_a_killed_buyer_is_found(shop: Shop) -> None:
    shop.carriers.trouble, shop.carriers.sells_anyway, shop.carriers.blind = [Killed()], True, 2  # type: ignore[list-item]
    with pytest.raises(Killed):
        shop.buy()
    die(shop.database)
    shop.clock.now += 4.2
    assert shop.buy()["label_url"] == "https://labels/1.pdf"
    assert shop.carriers.purchases == ["first"]


def test_label_of_a_killed_buyer_is_found_without_buying(shop: Shop) -> None:
    with pytest.raises(Conflict):
        shop.find()
    shop.carriers.trouble, shop.carriers.sells_anyway = [Killed()], True  # type: ignore[list-item]
    with pytest.raises(Killed):
        shop.buy()
    die(shop.database)
    assert shop.find()["label_url"] == "https://labels/1.pdf"
    assert shop.buy() == shop.find()
    assert shop.carriers.purchases == ["first"]


def test_looking_for_a_label_buys_none(shop: Shop) -> None:
    shop.carriers.trouble = [Killed()]  # type: ignore[list-item]
    with pytest.raises(Killed):
        shop.buy()
    die(shop.database)
    with pytest.raises(OutcomeUnknown):  # the request may still be on its way
        shop.find()
    shop.clock.now += 4.2
    for _ in range(2):
        with pytest.raises(Conflict):
            shop.find()
    assert shop.carriers.purchases == ["first"]
    shop.buy()
    assert list(shop.carriers.sold) == ["first"]


def test_hanging_buyer_is_taken_over_after_its_claim_expires(shop: Shop) -> None:
    shop.carriers.trouble = [Killed()]  # type: ignore[list-item]
    with pytest.raises(Killed):
        shop.buy()
    shop.clock.now += shop.carriers.longest_call + CLAIM_MARGIN_S
    shop.buy()
    assert shop.carriers.questions == ["first"]


def test_buyer_with_a_stale_heartbeat_does_not_buy(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(shop.database.heartbeat), "fresh", False)
    with pytest.raises(Unavailable, match="left to another copy"):
        shop.buy()
    assert shop.carriers.purchases == []
    monkeypatch.undo()
    shop.buy()
    assert (shop.carriers.purchases, shop.carriers.questions) == (["first"], [])


def test_unknown_purchase_is_resolved_before_another_rate(shop: Shop) -> None:
    shop.carriers.trouble, shop.carriers.sells_anyway, shop.carriers.blind = [OutcomeUnknown("lost")], True, 1
    with pytest.raises(OutcomeUnknown):
        shop.buy("first")
    with pytest.raises(Conflict, match="at another rate"):
        shop.buy("priority")
    assert shop.carriers.purchases == ["first"]


def test_second_buyer_waits_for_the_first_label(shop: Shop) -> None:
    claim = "the first"
    now = shop.clock.now
    assert shop.store.claim("ship", claim, now, now + 15) is not None
    asked = LabelPurchase("ship", State.BEGAN, "first", "first", "USPS", now)
    assert shop.store.begin(claim, asked, "key", now + 15)
    done = replace(asked, label=Label("transaction-0", "https://labels/0.pdf", None))
    shop.clock.on_sleep = lambda: shop.store.record(done, shop.clock.now) and None
    assert shop.buy()["label_url"] == "https://labels/0.pdf"
    assert shop.carriers.purchases == []


def test_a_second_buyer_does_not_wait_for_ever(shop: Shop) -> None:
    began = shop.clock.now
    shop.store.claim("ship", "the first", began, began + 60)
    with pytest.raises(Unavailable, match="another call"):
        shop.buy(patience=3.0)
    assert 2.5 < shop.clock.now - began <= 3.0


def test_a_buyer_whose_claim_was_taken_over_does_not_buy(shop: Shop) -> None:
    assert shop.store.claim("ship", "slow", 0.0, 1.0) is not None
    assert shop.store.claim("ship", "quick", 2.0, 20.0) is not None
    asked = LabelPurchase("ship", State.BEGAN, "first", "first", "USPS", 2.0)
    assert not shop.store.begin("slow", asked, "key", 20.0)
    shop.store.end("ship", "slow", State.FAILED)
    assert shop.store.claim("ship", "third", 3.0, 20.0) is None  # still the quick one's


def test_buyer_taken_over_during_a_fresh_quote_does_not_buy(shop: Shop) -> None:
    def dawdle() -> None:
        shop.clock.now += shop.carriers.longest_call + CLAIM_MARGIN_S
        assert shop.store.claim("ship", "quick", shop.clock.now, shop.clock.now + 15) is not None

    shop.carriers.fresh_rates, shop.carriers.on_quote = shop.shipment.rates, dawdle
    shop.clock.now += RATE_AGE_S + 1
    with pytest.raises(Unavailable, match="another call"):
        shop.buy("first")
    assert shop.carriers.purchases == []


def test_buyer_taken_over_while_connecting_does_not_buy(shop: Shop) -> None:
    def dawdle() -> None:
        shop.clock.now += shop.carriers.longest_call + CLAIM_MARGIN_S
        assert shop.store.claim("ship", "quick", shop.clock.now, shop.clock.now + 15) is not None

    shop.carriers.on_connect = dawdle
    with pytest.raises(Unavailable, match="held back"):
        shop.buy("first")
    assert shop.carriers.purchases == []
    assert shop.store.claim("ship", "third", shop.clock.now, shop.clock.now + 15) is None  # still the quick one's


def test_longest_answer_counts_from_the_sending(shop: Shop) -> None:
    def killed() -> None:
        die(shop.database)
        raise Killed

    shop.carriers.on_connect, shop.carriers.on_buy = lambda: shop.clock.sleep(3.5), killed
    with pytest.raises(Killed):
        shop.buy()
    sent = shop.clock.now
    shop.carriers.on_connect = shop.carriers.on_buy = lambda: None
    while len(shop.carriers.purchases) == 1:
        shop.clock.now += 0.1
        with contextlib.suppress(OutcomeUnknown):
            shop.buy()
    assert shop.carriers.longest_answer <= shop.clock.now - sent < shop.carriers.longest_answer + 0.3


@pytest.mark.parametrize("trouble", [None, Unavailable("not now")])
def test_a_second_label_for_a_shipment_is_given_back(shop: Shop, trouble: Exception | None) -> None:
    other = Label("transaction-other", "https://labels/other.pdf", "1")

    def faster() -> None:
        bought = LabelPurchase("ship", State.BOUGHT, "first", "first", "USPS", label=other)
        shop.store.record(bought, shop.clock.now)

    shop.carriers.on_buy, shop.carriers.refund_trouble = faster, [trouble]
    assert shop.buy()["label_url"] == other.label_url
    assert shop.carriers.refunds == ["transaction-1"]


def test_eight_buyers_at_once_buy_one_label(shop: Shop) -> None:
    answers: list[Any] = []
    start = threading.Barrier(8)

    def buy() -> None:
        desk = LabelDesk(shop.store, shop.carriers, AskOnce(lambda wait: wait))
        start.wait(timeout=30)
        answers.append(desk.buy(shop.shipment, "first", "key"))

    # These buyers wait for each other on the real clock, so the rates must not be too old.
    shop.shipment = replace(shop.shipment, created=2e9)
    buyers = [threading.Thread(target=buy) for _ in range(8)]
    for buyer in buyers:
        buyer.start()
    for buyer in buyers:
        buyer.join(timeout=60)
    assert shop.carriers.purchases == ["first"]
    assert len(answers) == 8
    assert all(answer["label_url"] == "https://labels/1.pdf" for answer in answers)


def test_a_purchase_that_is_free_again_is_claimed_by_one(shop: Shop) -> None:
    start = threading.Barrier(8)
    claims: list[bool] = []

    def claim(name: str, now: float) -> None:
        start.wait(timeout=30)
        claims.append(shop.store.claim("ship", name, now, now + 15) is not None)

    for number in range(10):
        now = number * 100.0  # the earlier claims have expired
        claims.clear()
        buyers = [threading.Thread(target=claim, args=(f"{number}:{buyer}", now)) for buyer in range(8)]
        for buyer in buyers:
            buyer.start()
        for buyer in buyers:
            buyer.join(timeout=60)
        assert sorted(claims) == [False] * 7 + [True]


def test_old_rate_is_bought_from_a_fresh_quote(shop: Shop) -> None:
    shop.carriers.fresh_rates = [{**rate, "object_id": f"fresh-{rate['object_id']}"} for rate in shop.shipment.rates]
    shop.clock.now += RATE_AGE_S + 1
    first = shop.buy("first")
    assert shop.carriers.purchases == ["fresh-first"]
    assert first["object_id"] == "ship"
    assert shop.buy("first") == first


def test_an_old_rate_whose_service_is_gone_is_refused(shop: Shop) -> None:
    shop.clock.now += RATE_AGE_S + 1
    with pytest.raises(Refused, match="no longer offered"):
        shop.buy("first")
    assert shop.carriers.purchases == []


def test_fresh_purchase_is_looked_up_under_its_fresh_rate(shop: Shop) -> None:
    shop.carriers.fresh_rates = [{**shop.shipment.rates[1], "object_id": "fresh-first"}]
    shop.clock.now += RATE_AGE_S + 1
    shop.carriers.trouble, shop.carriers.sells_anyway, shop.carriers.blind = [OutcomeUnknown("lost")], True, 1
    with pytest.raises(OutcomeUnknown):
        shop.buy("first")
    assert shop.buy("first")["label_url"] == "https://labels/1.pdf"
    assert (shop.carriers.purchases, shop.carriers.questions) == (["fresh-first"], ["fresh-first", "fresh-first"])


def test_fresh_rate_is_bought_from_the_same_carrier(shop: Shop) -> None:
    first = shop.shipment.rates[1]
    shop.carriers.fresh_rates = [{**first, "object_id": "acme~fresh"}, {**first, "object_id": "fresh"}]
    shop.clock.now += RATE_AGE_S + 1
    shop.buy("first")
    assert shop.carriers.purchases == ["fresh"]


def priced(rate: dict[str, Any], amount: str, name: str = "fresh") -> dict[str, Any]:
    return {**rate, "object_id": name, "amount": amount}


@pytest.mark.parametrize("amount", ["3.46", "3.00"])
def test_refused_rate_is_bought_again_at_no_higher_price(shop: Shop, amount: str) -> None:
    shop.carriers.trouble = [Refused("The rate is too old.")]
    shop.carriers.fresh_rates = [priced(shop.shipment.rates[1], amount)]
    assert shop.buy("first")["label_url"] == "https://labels/2.pdf"
    assert shop.carriers.purchases == ["first", "fresh"]
    kept = shop.store.purchase("ship")
    assert kept is not None
    assert (kept.price, kept.price_currency, kept.refusal) == (int(amount.replace(".", "")), "USD", None)


def test_service_is_recognized_although_its_terms_have_changed(shop: Shop) -> None:
    shop.carriers.trouble = [Refused("The rate is too old.")]
    level = {"name": "First", "token": "usps_first", "terms": "new"}
    shop.carriers.fresh_rates = [{**priced(shop.shipment.rates[1], "3.46"), "servicelevel": level}]
    shop.buy("first")
    assert shop.carriers.purchases == ["first", "fresh"]


@pytest.mark.parametrize("change", [{"amount": "3.47"}, {"currency": "EUR"}, {"provider": "UPS"}])
def test_dearer_or_missing_rate_is_left_to_an_operator(shop: Shop, change: dict[str, str]) -> None:
    shop.carriers.trouble = [Refused("The rate is too old.")]
    shop.carriers.fresh_rates = [{**priced(shop.shipment.rates[1], "3.46"), **change}]
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            shop.buy("first")
        assert refused.value.permanent
    assert shop.carriers.purchases == ["first"]  # a refused rate is not asked for a second time


def test_operator_buys_a_dearer_rate_within_a_limit(shop: Shop) -> None:
    shop.carriers.trouble = [Refused("The rate is too old.")]
    shop.carriers.fresh_rates = [
        priced(shop.shipment.rates[1], "5.00"),
        priced(shop.shipment.rates[0], "6.00", "other"),
    ]
    for terms in (AS_QUOTED, Terms(499), Terms(599, "usps_priority"), Terms(900, "usps_gone")):
        with pytest.raises(Refused):
            shop.buy("first", terms=terms)
    assert shop.buy("first", terms=Terms(600, "usps_priority"))["label_url"] == "https://labels/2.pdf"
    assert shop.carriers.purchases == ["first", "other"]


def test_lost_answer_of_a_fresh_purchase_is_looked_up(shop: Shop) -> None:
    shop.carriers.trouble, shop.carriers.sells_anyway = [Refused("too old"), Killed()], False  # type: ignore[list-item]
    shop.carriers.fresh_rates = [priced(shop.shipment.rates[1], "3.46")]
    shop.carriers.on_buy = lambda: setattr(shop.carriers, "sells_anyway", len(shop.carriers.purchases) == 2)
    with pytest.raises(Killed):
        shop.buy("first")
    die(shop.database)
    assert shop.buy("first")["label_url"] == "https://labels/2.pdf"
    assert (shop.carriers.purchases, shop.carriers.questions) == (["first", "fresh"], ["fresh"])


class Pallet(Shop):
    """A shipment of three parcels, the last two of which are equal."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        rates = [{**each, "object_id": f"{each['object_id']}-2"} for each in self.shipment.rates]
        self.rates = rates
        second = Shipment("big", "key 2", "or_1", self.clock.now, {}, [], [], rates, [], "pallet", 2)
        whole = replace(self.shipment, object_id="pallet", key="pallet")
        third = replace(second, object_id="big.3", key="key 3", part=3, twin_of="big", rates=[])
        self.shipment = self.store.add(whole, second, third)
        self.carriers.fresh_rates = [priced(rates[1], "3.46", "fresh-3")]


@pytest.fixture
def pallet(database: Callable[[str], Database]) -> Pallet:
    return Pallet(database("shipping"))


def test_each_parcel_gets_a_label_of_its_own(pallet: Pallet) -> None:
    bought = pallet.buy("first")
    assert pallet.carriers.purchases == ["first", "first-2", "fresh-3"]
    assert [each["tracking_number"] for each in bought["labels"]] == ["94001", "94002", "94003"]
    assert (bought["object_id"], bought["tracking_number"]) == ("pallet", "94001")
    assert pallet.buy("first") == bought
    assert len(pallet.carriers.purchases) == 3


def test_labels_that_are_bought_are_not_claimed_again(pallet: Pallet, monkeypatch: pytest.MonkeyPatch) -> None:
    bought = pallet.buy("first")
    monkeypatch.setattr(pallet.store, "claim", None)
    assert pallet.buy("first") == bought


@pytest.mark.parametrize("error", [Unavailable("away"), OutcomeUnknown("lost")])
def test_failed_label_keeps_those_of_other_parcels(pallet: Pallet, error: Exception) -> None:
    pallet.carriers.trouble = [None, error]
    with pytest.raises(type(error)):
        pallet.buy("first")
    pallet.clock.now += 60
    assert len(pallet.buy("first")["labels"]) == 3
    assert pallet.carriers.purchases == ["first", "first-2", "first-2", "fresh-3"]


def test_dearer_parcel_is_bought_within_the_limit_for_all(pallet: Pallet) -> None:
    pallet.carriers.fresh_rates = [priced(pallet.rates[1], "4.00", "fresh-3")]
    with pytest.raises(Refused, match=r"costs 4.00 USD by now, more than 3.46 USD"):
        pallet.buy("first")
    with pytest.raises(Refused, match=r"cost 10.92 USD, more than 10.91 USD. Bought so far: 2 of 3, for 6.92 USD"):
        pallet.buy("first", terms=Terms(346 + 346 + 399))
    assert len(pallet.buy("first", terms=Terms(346 + 346 + 400))["labels"]) == 3
    assert pallet.carriers.purchases == ["first", "first-2", "fresh-3"]


def test_limit_below_the_sum_buys_no_label(pallet: Pallet) -> None:
    pallet.carriers.fresh_rates = [priced(pallet.rates[1], "4.00")]
    with pytest.raises(Refused, match=r"cost 12.00 USD, more than 11.99 USD. Bought so far: 0 of 3, for 0.00 USD"):
        pallet.buy("first", terms=Terms(1199))
    assert pallet.carriers.purchases == []
    assert len(pallet.buy("first", terms=Terms(1200))["labels"]) == 3


def test_limit_counts_a_label_whose_answer_was_lost(pallet: Pallet) -> None:
    pallet.carriers.trouble, pallet.carriers.sells_anyway = [Killed()], True  # type: ignore[list-item]
    with pytest.raises(Killed):
        pallet.buy("first")
    die(pallet.database)
    pallet.carriers.fresh_rates = [priced(pallet.rates[1], "4.00")]
    with pytest.raises(Refused, match=r"cost 11.46 USD, more than 11.45 USD. Bought so far: 1 of 3, for 3.46 USD"):
        pallet.buy("first", terms=Terms(1145))
    assert pallet.carriers.purchases == ["first"]


def test_offers_price_the_missing_labels(pallet: Pallet) -> None:
    pallet.carriers.trouble = [None, Refused("too old"), Refused("still too old")]
    pallet.carriers.fresh_rates = [
        {**priced(each, "4.00"), "estimated_days": 2, "attributes": []} for each in pallet.rates
    ]
    with pytest.raises(Refused):
        pallet.buy("first")
    offers = LabelDesk(pallet.store, pallet.carriers, AskOnce(lambda wait: wait)).offers(pallet.shipment)
    assert (offers["parcels"], offers["bought"], offers["spent"], offers["refusals"]) == (3, 1, 346, ["too old"])
    assert [(each["service"], each["amount"], each["quoted"]) for each in offers["offers"]] == [
        ("usps_priority", 800, 692),
        ("usps_first", 800, 692),
    ]

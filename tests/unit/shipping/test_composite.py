"""Several carriers act as one, and each id leads back to the carrier that gave it."""

from __future__ import annotations

from typing import Any

import pytest

from chassis.records import SetAside
from contracts.errors import OutcomeUnknown, ProviderFailure, Refused, ShopError, Unavailable
from contracts.webhooks import WebhookSource
from shipping.composite import CompositeCarriers, answers
from shipping.rules.carriers import Label, ParcelNews, Quote, carrier_of
from shipping.rules.reconcile import Rate, Sold


class OneCarrier:
    """A bundle whose ids begin with its letter, and that records what it is asked.

    Attributes:
        trouble: the error of every quote.
    """

    longest_call = 5.0
    longest_answer = 3.0

    def __init__(self, letter: str) -> None:
        self.carriers: Any = self
        self.lists = self
        self.letter = letter
        self.trouble: Exception | None = None
        self.asked: list[Any] = []

    def webhooks(self, parcels: ParcelNews) -> WebhookSource:
        raise NotImplementedError

    def quote(self, address: Any, parcels: Any, contents: Any, reference: str, currency: str) -> Quote:
        if self.trouble:
            raise self.trouble
        shipment = f"{self.letter}-shipment"
        rate = {"object_id": f"{self.letter}-rate", "shipment": shipment, "provider": "USPS"}
        return Quote(shipment, [rate], [f"{self.letter} says hello"])

    def rates(self, *asked: Any) -> list[dict[str, Any]]:
        self.asked.append(("rates", *asked))
        return [{"object_id": f"{self.letter}-rate", "shipment": None}]

    def buy(self, *asked: Any) -> Label:
        self.asked.append(("buy", *asked))
        return Label(f"{self.letter}-label", "https://label", "1")

    def bought(self, *asked: Any) -> Label | None:
        self.asked.append(("bought", *asked))
        return None

    def track(self, *asked: Any) -> dict[str, Any]:
        self.asked.append(("track", *asked))
        return {"tracking_status": None}

    def refund_status(self, *asked: Any) -> str | None:
        self.asked.append(("refund_status", *asked))
        return None

    def refund(self, *asked: Any) -> str:
        self.asked.append(("refund", *asked))
        return "refunded"

    def sold(self, number: int, since: float) -> tuple[list[Any], int | None]:
        entry = Sold(f"{self.letter}-label-{number}", f"{self.letter}-rate", "or_1", "bought")
        return [entry, SetAside(f"{self.letter}-odd-{number}", "odd")], 2 if number == 1 else None

    def one(self, *asked: Any) -> Sold | None:
        self.asked.append(("one", *asked))
        return None

    def rate(self, *asked: Any) -> Rate | None:
        self.asked.append(("rate", *asked))
        return Rate(f"{self.letter}-shipment", "USPS")


class Shop:
    def __init__(self) -> None:
        self.first, self.second = OneCarrier("f"), OneCarrier("s")
        self.all = CompositeCarriers({"first": self.first, "second": self.second})

    def quote(self) -> Quote:
        return self.all.quote({}, [], [], "or_1", "usd")


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_quote_has_the_rates_of_all_carriers(shop: Shop) -> None:
    quote = shop.quote()
    assert quote.shipment_id == "f-shipment"
    assert [each["object_id"] for each in quote.rates] == ["f-rate", "second~s-rate"]
    assert [each["shipment"] for each in quote.rates] == ["f-shipment", "second~s-shipment"]
    assert quote.messages == ["f says hello", "s says hello"]
    assert [carrier_of(each["object_id"]) for each in quote.rates] == ["", "second"]


@pytest.mark.parametrize("trouble", [Unavailable("away"), Refused("no"), ProviderFailure("odd"), KeyError("a bug")])
def test_failed_quote_does_not_spoil_the_others(shop: Shop, trouble: Exception) -> None:
    shop.first.trouble = trouble
    quote = shop.quote()
    assert quote.shipment_id == "second~s-shipment"
    assert [each["object_id"] for each in quote.rates] == ["second~s-rate"]


@pytest.mark.parametrize(
    ("first", "second", "raised"),
    [
        (Refused("no"), ProviderFailure("odd"), Refused),
        (Refused("no"), Unavailable("away"), Unavailable),
        (KeyError("a bug"), Refused("no"), ProviderFailure),
    ],
)
def test_quote_fails_if_no_carrier_answers(
    shop: Shop, first: Exception, second: Exception, raised: type[ShopError]
) -> None:
    shop.first.trouble, shop.second.trouble = first, second
    with pytest.raises(raised):
        shop.quote()


@pytest.mark.parametrize(("prefix", "letter"), [("", "f"), ("second~", "s")])
def test_each_id_leads_to_its_own_carrier(shop: Shop, prefix: str, letter: str) -> None:
    asked, other = (shop.first, shop.second) if letter == "f" else (shop.second, shop.first)
    label = shop.all.buy(f"{prefix}{letter}-rate", "or_1")
    assert label.transaction_id == f"{prefix}{letter}-label"
    assert shop.all.bought(f"{prefix}{letter}-rate") is None
    shop.all.track("USPS", "1", label.transaction_id)
    shop.all.refund_status(label.transaction_id)
    shop.all.refund(label.transaction_id)
    assert shop.all.one(label.transaction_id) is None
    assert shop.all.rate(f"{prefix}{letter}-rate") == Rate(f"{prefix}{letter}-shipment", "USPS")
    found = shop.all.rates(f"{prefix}{letter}-shipment", "USD")
    assert found == [{"object_id": f"{prefix}{letter}-rate", "shipment": None}]
    own = f"{letter}-label"
    assert asked.asked == [
        *(("buy", f"{letter}-rate", "or_1"), ("bought", f"{letter}-rate"), ("track", "USPS", "1", own)),
        *(("refund_status", own), ("refund", own), ("one", own), ("rate", f"{letter}-rate")),
        ("rates", f"{letter}-shipment", "USD"),
    ]
    assert other.asked == []


def test_id_of_a_carrier_that_is_not_in_use_is_refused(shop: Shop) -> None:
    with pytest.raises(ProviderFailure, match="third is not in use"):
        shop.all.refund("third~label")
    assert shop.first.asked == shop.second.asked == []


def test_ambiguous_id_of_a_carrier_is_refused(shop: Shop) -> None:
    shop.second.letter = "a~b"
    assert [each["object_id"] for each in shop.quote().rates] == ["f-rate"]


def test_lists_are_read_one_carrier_after_the_other(shop: Shop) -> None:
    found, number = [], 1
    while number:
        page, following = shop.all.sold(number, 0.0)
        found += page
        number = following or 0
    assert [each.id for each in found] == [
        *("f-label-1", "f-odd-1", "f-label-2", "f-odd-2"),
        *("second~s-label-1", "second~s-odd-1", "second~s-label-2", "second~s-odd-2"),
    ]
    assert found[4].rate_id == "second~s-rate"


def test_event_names_a_label_of_its_own_carrier(shop: Shop) -> None:
    class Parcels:
        changed: list[str] = []

        def record_status(self, tracking_number: str, track: dict[str, Any]) -> None:
            raise NotImplementedError

        def label_changed(self, transaction_id: str) -> None:
            self.changed.append(transaction_id)

    for name in ("first", "second"):
        shop.all.news(name, Parcels()).label_changed("label")
    assert Parcels.changed == ["label", "second~label"]


def test_single_carrier_is_asked_without_a_thread() -> None:
    def ask() -> str:
        raise OutcomeUnknown("lost")

    with pytest.raises(OutcomeUnknown):
        answers([ask])

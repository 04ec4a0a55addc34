"""Parcels that need more than a label: customs, corrected addresses, several parcels, and labels that go wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from launcher.shop import Shop
from tests.e2e.journeys.operated import Operated
from tests.e2e.journeys.shop import HOME, Shopper, Storefront, eventually

BERLIN = {"line1": "Sonnenallee 1", "city": "Berlin", "country": "DE", "postal_code": "12045"}
APO = {"line1": "PSC 1234 Box 5", "city": "APO", "state": "AE", "country": "US", "postal_code": "09315"}
GUAM = {"line1": "1 Marine Corps Dr", "city": "Tamuning", "state": "GU", "country": "US", "postal_code": "96913"}
MAJURO = {"line1": "1 Lagoon Rd", "city": "Majuro", "state": "MH", "country": "US", "postal_code": "96960"}
KOROR = {"line1": "1 Main St", "city": "Koror", "state": "PW", "country": "US", "postal_code": "96940"}
SAN_JUAN = {"line1": "1 Calle Fortaleza", "city": "San Juan", "state": "PR", "country": "US", "postal_code": "00901"}
HAVANA = {"line1": "Calle 23 #152", "city": "La Habana", "country": "CU", "postal_code": "10400"}
OTTAWA = {"line1": "1 Wellington St", "city": "Ottawa", "state": "ON", "country": "CA", "postal_code": "K1A 0A9"}


class Depot(Operated):
    """A running shop of the tests' own, whose sandbox has options of their own."""

    def __init__(self, running: Shop) -> None:
        super().__init__(running)
        self.front = Storefront(running.url, running.sandbox_url)
        self.shoppers: dict[str, Shopper] = {}

    def sandbox(self, method: str, path: str, body: Any = None) -> Any:
        answer = requests.request(method, f"{self.front.sandbox_url}/sandbox/{path}", json=body, timeout=40)
        answer.raise_for_status()
        return answer.json()

    def labels(self, order: dict[str, Any]) -> list[dict[str, Any]]:
        return self.front.arrived("labels", order_id=order["id"])

    def checkout(self, address: dict[str, str], **product: Any) -> tuple[Shopper, requests.Response]:
        """A shopper's checkout of one piece of a new product."""
        shopper = self.front.shopper()
        shopper.buy(self.front.product(**product)["id"], 1)
        placed = shopper.checkout(address=address)
        if placed.status_code == 201:
            self.shoppers[placed.json()["id"]] = shopper
        return shopper, placed

    def shown(self, order: dict[str, Any]) -> dict[str, Any]:
        """The order as its shopper sees it."""
        answer = self.shoppers[order["id"]].ask("GET", f"/api/orders/{order['id']}")
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    def paid(self, address: dict[str, str], **product: Any) -> dict[str, Any]:
        """The paid order of one piece of a new product."""
        shopper, placed = self.checkout(address, **product)
        assert placed.status_code == 201, placed.text
        paid = shopper.pay(placed.json())
        assert paid.status_code == 200, paid.text
        order: dict[str, Any] = paid.json()
        return order


@pytest.fixture(scope="module")
def depot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Depot]:
    env = {"AMQP_URI": None, "LIVE_PROVIDERS": "none"}
    with Shop.on_free_ports(tmp_path_factory.mktemp("parcels") / "var", env=env) as running:
        yield Depot(running)


@pytest.fixture(autouse=True)
def usual(depot: Depot) -> Iterator[None]:
    """Undo what a test has set in the sandbox."""
    yield
    depot.sandbox("DELETE", "options/shippo")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (APO, "NOEEI_30_37_a"),
        (SAN_JUAN, "NOEEI_30_37_a"),
        (GUAM, None),
        (MAJURO, "NOEEI_30_37_a"),
        (KOROR, "NOEEI_30_37_a"),
    ],
    ids=("APO", "PR", "GU", "MH", "PW"),
)
def test_parcel_to_apo_or_associated_state_is_declared(depot: Depot, address: dict[str, str], said: str | None) -> None:
    order = depot.paid(address)
    assert order["label_url"]
    [label] = depot.labels(order)
    assert label["customs_declaration"]["eel_pfc"] == said


def test_parcel_within_the_states_is_not_declared(depot: Depot) -> None:
    [label] = depot.labels(depot.paid(HOME))
    assert label["customs_declaration"] is None


@pytest.mark.parametrize("address", [BERLIN, APO, SAN_JUAN], ids=("DE", "APO", "PR"))
def test_export_worth_3000_dollars_is_refused_at_checkout(depot: Depot, address: dict[str, str]) -> None:
    _, refused = depot.checkout(address, price=300_000)
    assert refused.status_code == 422
    assert "15 CFR 30.37(a)" in refused.json()["errors"]["address"][0]


def test_export_to_an_embargoed_country_is_refused_at_checkout(depot: Depot) -> None:
    _, refused = depot.checkout(HAVANA, price=100)
    assert refused.status_code == 422
    assert "15 CFR 758.1(b)(1)" in refused.json()["errors"]["address"]["country"][0]


@pytest.mark.parametrize(("address", "said"), [(OTTAWA, "NOEEI_30_36"), (GUAM, None)], ids=("CA", "GU"))
def test_destination_without_filing_takes_3000_dollars(depot: Depot, address: dict[str, str], said: str | None) -> None:
    [label] = depot.labels(depot.paid(address, price=300_000))
    assert label["customs_declaration"]["eel_pfc"] == said


def aged(depot: Depot, order: dict[str, Any]) -> None:
    """Make the rates of an order too old to be bought."""
    for method in order["shipping_methods"]:
        depot.sandbox("POST", f"rates/{method['id']}", {"age_days": 7})


def test_refused_rate_is_quoted_again_and_bought(depot: Depot) -> None:
    shopper, placed = depot.checkout(HOME)
    aged(depot, placed.json())
    paid = shopper.pay(placed.json()).json()
    assert paid["label_url"]
    old, new = depot.labels(paid)
    assert (old["status"], new["status"]) == ("ERROR", "SUCCESS")
    assert (old["servicelevel"]["token"], old["amount"]) == (new["servicelevel"]["token"], new["amount"])


def given_up(depot: Depot, order: dict[str, Any]) -> dict[str, Any]:
    """The label of an order, once it was given up."""

    def found() -> dict[str, Any] | None:
        failed = depot.call("cart", "tasks", "failed")
        return next((each for each in failed if each["key"] == f"{order['id']}:label"), None)

    task: dict[str, Any] = eventually(found)
    return task


def test_dearer_rate_is_put_to_the_operator(depot: Depot) -> None:
    """The price of the rate that was chosen is lowered, so that each fresh quote is dearer."""
    shopper, placed = depot.checkout(HOME)
    order = placed.json()
    aged(depot, order)
    shipment, selected = order["upstream_id"], order["selected_shipping_method"]
    rates = json.loads(depot.read("shipping", "SELECT rates FROM shipments WHERE object_id = ?", shipment))
    [rate] = [rate for rate in rates if rate["object_id"] == selected]
    price, rate["amount"] = rate["amount"], "1.00"
    depot.write("shipping", "UPDATE shipments SET rates = ? WHERE object_id = ?", json.dumps(rates), shipment)
    paid = shopper.pay(order).json()
    assert (paid["status"], paid["label_url"]) == ("paid", None)
    assert f"costs {price} USD by now, more than 1.00 USD" in given_up(depot, paid)["error"]
    assert [label["status"] for label in depot.labels(paid)] == ["ERROR"]
    offers = depot.call("shipping", "requote", shipment)
    assert (offers["parcels"], offers["bought"]) == (1, 0)
    cents = round(float(price) * 100)
    prices = {each["service"]: (each["amount"], each["quoted"]) for each in offers["offers"]}
    assert prices[rate["servicelevel"]["token"]] == (cents, 100)
    assert depot.call("cart", "buy_label_at", paid["id"], cents - 1)["state"] == "failed"
    assert depot.call("cart", "buy_label_at", paid["id"], cents)["state"] == "done"
    assert depot.shown(paid)["label_url"]
    assert [label["status"] for label in depot.labels(paid)] == ["ERROR", "SUCCESS"]


HEAVY = {"package_dimensions": {"height": 20, "length": 20, "width": 20, "weight": 1120}}


def two_parcels(depot: Depot) -> tuple[Shopper, dict[str, Any]]:
    """A placed order of two 70-lb parcels, though USPS takes no shipment of several."""
    depot.sandbox("PUT", "options/shippo", {"usps_one_parcel": True})
    shopper = depot.front.shopper()
    order = shopper.order(depot.front.product(**HEAVY)["id"], 2)
    depot.shoppers[order["id"]] = shopper
    return shopper, order


def test_each_of_two_parcels_has_its_label_and_number(depot: Depot) -> None:
    shopper, order = two_parcels(depot)
    paid = shopper.pay(order).json()
    sold = depot.labels(paid)
    assert [len(label["parcels"]) for label in sold] == [1, 1]
    issued = [{"label_url": label["label_url"], "tracking_number": label["tracking_number"]} for label in sold]
    assert paid["labels"] == issued
    selected = {each["id"]: each["amount"] for each in order["shipping_methods"]}[order["selected_shipping_method"]]
    assert selected == sum(round(float(label["amount"]) * 100) for label in sold)
    shown = shopper.ask("GET", f"/api/shipments/{paid['upstream_id']}/label/").json()
    assert shown["labels"] == issued
    listed = shopper.ask("GET", "/api/shipments/", params={"limit": 1}).json()
    assert [each["object_id"] for each in listed] == [paid["upstream_id"]]


def test_limit_below_the_sum_of_two_parcels_buys_none(depot: Depot) -> None:
    shopper, order = two_parcels(depot)
    aged(depot, order)
    depot.sandbox("PUT", "options/shippo", {"usps_one_parcel": True, "price_factor": 2})
    paid = shopper.pay(order).json()
    assert "by now, more than" in given_up(depot, paid)["error"]
    selected = {each["id"]: each["amount"] for each in order["shipping_methods"]}[order["selected_shipping_method"]]
    refused = depot.call("cart", "buy_label_at", paid["id"], 2 * selected - 1)
    assert refused["state"] == "failed"
    assert "Bought so far: 0 of 2, for 0.00 USD." in refused["error"]
    assert [label["status"] for label in depot.labels(paid)] == ["ERROR"]
    assert depot.call("cart", "buy_label_at", paid["id"], 2 * selected)["state"] == "done"
    assert len(depot.shown(paid)["labels"]) == 2


def test_order_of_more_than_100_parcels_is_refused(depot: Depot) -> None:
    shopper = depot.front.shopper()
    assert shopper.buy(depot.front.product(**HEAVY, inventory={"type": "finite", "quantity": 101})["id"], 101).ok
    refused = shopper.checkout()
    assert refused.status_code == 422
    assert "more than 100 parcels" in refused.json()["detail"]


def test_page_and_mail_show_both_tracking_numbers(depot: Depot) -> None:
    shopper, order = two_parcels(depot)
    paid = shopper.pay(order).json()
    numbers = [each["tracking_number"] for each in paid["labels"]]
    page = requests.get(paid["status_url"], timeout=40).text
    [mail] = eventually(lambda: depot.front.arrived("emails", order_id=paid["id"]))
    assert [(number in page, number in mail["text"], number in mail["html"]) for number in numbers] == [(True,) * 3] * 2


def test_order_of_two_parcels_is_fulfilled_when_both_move(depot: Depot) -> None:
    shopper, order = two_parcels(depot)
    paid = shopper.pay(order).json()
    first, second = (each["tracking_number"] for each in paid["labels"])
    path = f"/api/shipments/{paid['upstream_id']}/tracking/"

    def statuses() -> list[str | None]:
        return [each["status"] for each in shopper.ask("GET", path).json()["parcels"]]

    depot.sandbox("POST", f"tracks/{second}", {"status": "DELIVERED"})
    eventually(lambda: statuses()[1] == "DELIVERED")
    seen = depot.call("shipping", "movements", 0, 1000)[-1]["seq"]
    eventually(lambda: depot.read("cart", "SELECT COALESCE(MAX(seen), 0) FROM cursors WHERE name = 'parcels'") >= seen)
    assert depot.shown(paid)["status"] == "paid"
    depot.sandbox("POST", f"tracks/{first}", {"status": "TRANSIT"})
    eventually(lambda: depot.shown(paid)["status"] == "fulfilled")


def test_refund_of_two_parcels_returns_both_labels(depot: Depot) -> None:
    shopper, order = two_parcels(depot)
    paid = shopper.pay(order).json()
    depot.front.ask("POST", f"/api/orders/{paid['id']}/refund/", json={"all": True})
    eventually(lambda: [label["status"] for label in depot.labels(paid)] == ["REFUNDED", "REFUNDED"])
    eventually(lambda: depot.shown(paid)["labels"] == [])
    assert depot.agrees()[-1] == "No differences."


def test_refund_returns_only_the_label_that_has_not_moved(depot: Depot) -> None:
    shopper, order = two_parcels(depot)
    paid = shopper.pay(order).json()
    moved = paid["labels"][0]
    depot.sandbox("POST", f"tracks/{moved['tracking_number']}", {"status": "DELIVERED"})
    depot.front.ask("POST", f"/api/orders/{paid['id']}/refund/", json={"all": True})
    eventually(lambda: [label["status"] for label in depot.labels(paid)] == ["SUCCESS", "REFUNDED"])
    eventually(lambda: depot.shown(paid)["labels"] == [moved])
    assert depot.shown(paid)["label_url"] == moved["label_url"]
    assert depot.agrees()[-1] == "No differences."


def test_label_whose_refund_is_refused_later_is_found(depot: Depot) -> None:
    depot.sandbox("PUT", "options/shippo", {"refund_seconds": None})
    paid = depot.paid(HOME)
    depot.front.ask("POST", f"/api/orders/{paid['id']}/refund/", json={"all": True})
    eventually(lambda: depot.labels(paid)[0]["status"] == "REFUNDPENDING")
    eventually(lambda: depot.shown(paid)["labels"] == [])
    depot.sandbox("POST", f"label-refunds/{depot.labels(paid)[0]['object_id']}", {"status": "ERROR"})
    again = (paid["upstream_id"], f"{paid['id']}:again")
    eventually(lambda: depot.call("shipping", "refund_label", *again)["status"] == "used")
    shown = depot.shoppers[paid["id"]].ask("GET", f"/api/shipments/{paid['upstream_id']}/label/").json()
    assert shown["labels"] == paid["labels"]
    assert depot.shown(paid)["labels"] == []
    assert depot.agrees()[-1] == "No differences."


def test_label_that_is_sold_later_is_bought_once(depot: Depot) -> None:
    depot.sandbox("PUT", "options/shippo", {"purchase_seconds": None})
    paid = depot.paid(HOME)
    assert (paid["status"], paid["label_url"]) == ("paid", None)
    [queued] = depot.labels(paid)
    assert queued["status"] == "QUEUED"
    depot.sandbox("POST", f"transactions/{queued['object_id']}", {"status": "SUCCESS"})
    eventually(lambda: depot.shown(paid)["label_url"])
    assert [label["status"] for label in depot.labels(paid)] == ["SUCCESS"]


def test_label_that_fails_later_is_bought_at_another_rate(depot: Depot) -> None:
    depot.sandbox("PUT", "options/shippo", {"purchase_seconds": None})
    paid = depot.paid(HOME)
    [queued] = depot.labels(paid)
    depot.sandbox("DELETE", "options/shippo")
    depot.sandbox("POST", f"transactions/{queued['object_id']}", {"status": "ERROR"})
    eventually(lambda: depot.shown(paid)["label_url"])
    assert [label["status"] for label in depot.labels(paid)] == ["ERROR", "SUCCESS"]


TYPED = {**HOME, "line1": "1092 Indian Summer Strt", "city": "San Jse"}


def test_misspelt_address_is_refused_with_a_suggestion(depot: Depot) -> None:
    shopper, refused = depot.checkout(TYPED)
    assert refused.status_code == 422
    problem = refused.json()
    assert problem["errors"]["address"].keys() == {"line1", "city"}
    suggestion = problem["suggestion"]
    assert suggestion == {**HOME, "line1": "1092 Indian Summer St", "line2": None}
    placed = shopper.checkout(address=suggestion)
    assert placed.status_code == 201, placed.text
    assert placed.json()["shipping"]["address"]["city"] == "San Jose"


def test_shopper_who_insists_gets_the_address_as_typed(depot: Depot) -> None:
    shopper, _ = depot.checkout(TYPED)
    placed = shopper.checkout(address=TYPED, keep_address=True)
    assert placed.status_code == 201, placed.text
    shopper.pay(placed.json())
    [label] = depot.labels(placed.json())
    assert (label["address_to"]["street1"], label["address_to"]["city"]) == (TYPED["line1"], TYPED["city"])


def test_surcharge_after_the_purchase_is_part_of_the_cost(depot: Depot) -> None:
    paid = depot.paid(HOME)
    [label] = depot.labels(paid)
    price = round(float(label["amount"]) * 100)
    depot.sandbox("POST", f"transactions/{label['object_id']}/adjustments", {"amount": "1.20"})
    less = {"amount": "-0.30", "type": "LABEL_PAYMENT_ADJUSTMENT"}
    depot.sandbox("POST", f"transactions/{label['object_id']}/adjustments", less)
    for _ in range(2):
        depot.call("shipping", "read_charges")
    costs = depot.call("shipping", "costs", paid["upstream_id"])
    assert (costs["price"], costs["cost"], costs["currency"]) == (price, price + 120 - 30, "USD")
    assert sorted((each["kind"], each["amount"]) for each in costs["items"]) == [
        ("LABEL_PAYMENT", price),
        ("LABEL_PAYMENT_ADJUSTMENT", -30),
        ("LABEL_SURCHARGE", 120),
    ]
    listed = [each for each in depot.call("shipping", "surcharges") if each["order_id"] == paid["id"]]
    assert sorted((each["amount"], each["price"]) for each in listed) == [(-30, price), (120, price)]

"""A shop with two carriers, one of which the product does not know: Acme, in `tests/providers/acme_carrier`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from launcher.shop import Shop
from tests.e2e.journeys.shop import Shopper, Storefront, eventually
from tests.providers.acme_carrier.server import AcmeServer


@pytest.fixture(scope="module")
def acme() -> Iterator[AcmeServer]:
    server = AcmeServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def shop(acme: AcmeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storefront]:
    carriers = "shippo,tests.providers.acme_carrier.bundle:Acme"
    env = {
        "AMQP_URI": None,
        "LIVE_PROVIDERS": "none",
        "CARRIERS": carriers,
        "ACME_URL": acme.url,
        "ACME_SECRET": acme.secret,
    }
    with Shop.on_free_ports(tmp_path_factory.mktemp("carriers") / "var", env=env) as running:
        yield Storefront(running.url, running.sandbox_url)


@pytest.fixture(autouse=True)
def up(acme: AcmeServer) -> None:
    acme.down = False


def methods(order: dict[str, Any], of_acme: bool) -> list[dict[str, Any]]:
    return [each for each in order["shipping_methods"] if each["id"].startswith("acme~") is of_acme]


def paid_with_acme(shopper: Shopper, product_id: str) -> dict[str, Any]:
    """Buy with the cheapest rate, which is Acme's; return the paid order."""
    order = shopper.order(product_id)
    assert order["selected_shipping_method"] == methods(order, True)[0]["id"]
    answer = shopper.pay(order)
    assert answer.status_code == 200, answer.text
    paid: dict[str, Any] = answer.json()
    return paid


def label_of(acme: AcmeServer, order: dict[str, Any]) -> dict[str, Any]:
    [label] = [each for each in acme.labels.values() if each["reference"] == order["id"]]
    return label


def test_order_shows_the_rates_of_both_carriers(shop: Storefront) -> None:
    shopper = shop.shopper()
    order = shopper.order(shop.product()["id"])
    assert [each["description"] for each in methods(order, True)] == ["Snail", "Rocket"]
    assert len(methods(order, False)) == 4
    rates = shopper.ask("GET", f"/api/shipments/{order['upstream_id']}/rates/usd/").json()["rate_items"]
    assert [each["object_id"] for each in rates] == [each["id"] for each in order["shipping_methods"]]
    fields = [set(each) for each in rates]
    assert all(each == fields[0] for each in fields)


def test_parcel_of_the_second_carrier_is_tracked(shop: Storefront, acme: AcmeServer) -> None:
    shopper = shop.shopper()
    paid = paid_with_acme(shopper, shop.product()["id"])
    label = label_of(acme, paid)
    assert (paid["label_url"], paid["shipping"]["carrier"]) == (label["url"], "Acme")
    assert shop.arrived("labels", order_id=paid["id"]) == []
    path = f"/api/shipments/{paid['upstream_id']}/tracking/"
    assert shopper.ask("GET", path).json()["tracking_status"]["status"] == "PRE_TRANSIT"
    assert acme.move(label["number"], "TRANSIT", shop.url).json() == {"received": True, "duplicate": False}
    # The answer was cached for a minute; only the event makes the shop ask again.
    assert shopper.ask("GET", path).json()["tracking_status"]["status"] == "TRANSIT"
    eventually(lambda: shopper.ask("GET", f"/api/orders/{paid['id']}").json()["status"] == "fulfilled")


def test_forged_webhook_of_the_second_carrier_is_refused(shop: Storefront, acme: AcmeServer) -> None:
    assert acme.send(shop.url, "acme.moved", {}, secret="another").status_code == 400
    assert acme.send(shop.url, "acme.birthday", {}).json() == {"received": True, "duplicate": False}


def test_refund_returns_the_label_to_the_second_carrier(shop: Storefront, acme: AcmeServer) -> None:
    paid = paid_with_acme(shop.shopper(), shop.product()["id"])
    label = label_of(acme, paid)
    refunded = shop.ask("POST", f"/api/orders/{paid['id']}/refund/", json={"all": True})
    assert refunded.status_code == 200, refunded.text
    acme.wait_for(lambda: label["refunded"])
    assert acme.change_label(label["id"], shop.url).status_code == 200


def test_absent_carrier_does_not_spoil_the_others_rates(shop: Storefront, acme: AcmeServer) -> None:
    acme.down = True
    shopper = shop.shopper()
    order = shopper.order(shop.product()["id"])
    assert (len(methods(order, True)), len(methods(order, False))) == (0, 4)
    assert shopper.pay(order).json()["shipping"]["carrier"] == "USPS"


def test_rate_of_the_first_carrier_is_bought_there(shop: Storefront, acme: AcmeServer) -> None:
    shopper = shop.shopper()
    order = shopper.order(shop.product()["id"])
    chosen = {"order_id": order["id"], "shipping_id": methods(order, False)[0]["id"]}
    assert shopper.ask("PUT", "/api/cart/shipping/", json=chosen).status_code == 200
    assert shopper.pay(order).json()["shipping"]["carrier"] == "USPS"
    assert order["id"] not in [each["reference"] for each in acme.labels.values()]
    assert len(shop.arrived("labels", order_id=order["id"])) == 1

"""Parcels that need more than a label: customs, corrected addresses, several parcels, and labels that go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from launcher.shop import Shop
from tests.e2e.journeys.operated import Operated
from tests.e2e.journeys.shop import HOME, Shopper, Storefront

BERLIN = {"line1": "Sonnenallee 1", "city": "Berlin", "country": "DE", "postal_code": "12045"}
APO = {"line1": "PSC 1234 Box 5", "city": "APO", "state": "AE", "country": "US", "postal_code": "09315"}
GUAM = {"line1": "1 Marine Corps Dr", "city": "Tamuning", "state": "GU", "country": "US", "postal_code": "96913"}
SAN_JUAN = {"line1": "1 Calle Fortaleza", "city": "San Juan", "state": "PR", "country": "US", "postal_code": "00901"}
OTTAWA = {"line1": "1 Wellington St", "city": "Ottawa", "state": "ON", "country": "CA", "postal_code": "K1A 0A9"}


class Depot(Operated):
    """A running shop of the tests' own, whose sandbox has options of their own."""

    def __init__(self, running: Shop) -> None:
        super().__init__(running)
        self.front = Storefront(running.url, running.sandbox_url)

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
        return shopper, shopper.checkout(address=address)

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
    ("address", "said"), [(APO, "NOEEI_30_37_a"), (SAN_JUAN, "NOEEI_30_37_a"), (GUAM, None)], ids=("APO", "PR", "GU")
)
def test_parcel_to_apo_or_territory_is_declared(depot: Depot, address: dict[str, str], said: str | None) -> None:
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


@pytest.mark.parametrize(("address", "said"), [(OTTAWA, "NOEEI_30_36"), (GUAM, None)], ids=("CA", "GU"))
def test_destination_without_filing_takes_3000_dollars(depot: Depot, address: dict[str, str], said: str | None) -> None:
    [label] = depot.labels(depot.paid(address, price=300_000))
    assert label["customs_declaration"]["eel_pfc"] == said

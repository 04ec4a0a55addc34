"""A shop with TAX=stripe: what shoppers see and pay, what Stripe Tax records, what refunds reverse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from launcher.shop import Shop
from tests.e2e.journeys.operated import Operated
from tests.e2e.journeys.shop import HOME, REQUEST_TIMEOUT_S, Shopper, Storefront, eventually, unique

PRICE = 1000
NEWARK = {"line1": "1 Main St", "city": "Newark", "state": "NJ", "country": "us", "postal_code": "07102"}
BERLIN = {"line1": "Unter den Linden 1", "city": "Berlin", "country": "DE", "postal_code": "10117"}
SONG = "txcd_10000000"  # electronically supplied services


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    env = {"AMQP_URI": None, "LIVE_PROVIDERS": "none", "TAX": "stripe"}
    with Shop.on_free_ports(tmp_path_factory.mktemp("taxes") / "var", env=env) as running:
        yield running


@pytest.fixture(scope="module")
def shop(running: Shop) -> Storefront:
    return Storefront(running.url, running.sandbox_url)


@pytest.fixture(scope="module")
def bone(shop: Storefront) -> dict[str, Any]:
    return shop.product(price=PRICE)


@pytest.fixture(scope="module")
def song(shop: Storefront) -> dict[str, Any]:
    spec = {"name": unique("Song"), "price": PRICE, "metadata": {"category": "music"}, "shippable": False}
    answer = shop.ask("POST", "/api/products/", json={**spec, "tax_code": SONG})
    assert (answer.status_code, answer.json()["tax_code"]) == (201, SONG)
    return dict(answer.json())


def fault(shop: Storefront, path: str, **what: Any) -> None:
    url = f"{shop.sandbox_url}/sandbox/faults/stripe"
    asked = {"error_rate": 1, "error_status": 503, "path": path, **what}
    requests.put(url, json=asked, timeout=REQUEST_TIMEOUT_S).raise_for_status()


@pytest.fixture(autouse=True)
def no_fault(shop: Storefront) -> Iterator[None]:
    yield
    requests.delete(f"{shop.sandbox_url}/sandbox/faults/stripe", timeout=REQUEST_TIMEOUT_S).raise_for_status()


def line(order: dict[str, Any], kind: str) -> dict[str, Any]:
    assert order["amount"] == sum(item["amount"] for item in order["items"])
    [found] = [item for item in order["items"] if item["type"] == kind]
    return dict(found)


def taxes(shop: Storefront, reference: str) -> list[dict[str, Any]]:
    """The records of an order, or of a refund, at Stripe Tax."""
    return [each for each in shop.arrived("taxes", limit=1000) if each["reference"] == reference]


def recorded(shop: Storefront, reference: str) -> tuple[int, int]:
    """The amount of the one record, with its tax, and the tax; waits for it."""
    [entry] = eventually(lambda: taxes(shop, reference))
    parts = [*entry["line_items"], *([entry["shipping_cost"]] if entry["shipping_cost"] else [])]
    tax = sum(part["amount_tax"] for part in parts)
    return sum(part["amount"] for part in parts) + tax, tax


def checked_out(shopper: Shopper, address: dict[str, Any] = HOME) -> dict[str, Any]:
    answer = shopper.checkout(address=address)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def ordered(shop: Storefront, product: dict[str, Any], address: dict[str, Any], quantity: int = 1) -> Any:
    shopper = shop.shopper()
    shopper.buy(product["id"], quantity)
    return shopper, checked_out(shopper, address)


def paid(shopper: Shopper, order: dict[str, Any]) -> dict[str, Any]:
    answer = shopper.pay(order)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def refund(shop: Storefront, order: dict[str, Any], **what: Any) -> list[str]:
    """Refund; return the references of its reversals, the newest first."""
    answer = shop.ask("POST", f"/api/orders/{order['id']}/refund/", json=what)
    assert answer.status_code == 200, answer.text
    return [each["id"].replace("orret_", "rf_") for each in answer.json()["returns"]["data"]]


def test_state_tax_is_added_paid_mailed_and_recorded(shop: Storefront, bone: dict[str, Any]) -> None:
    shopper, order = ordered(shop, bone, HOME, 2)
    assert (line(order, "tax")["amount"], line(order, "tax")["description"]) == (145, "Taxes")  # 7.25 % of the goods
    assert order["amount"] == 2 * PRICE + 145 + line(order, "shipping")["amount"]
    done = paid(shopper, order)
    [charge] = shop.charged(order["id"])
    assert charge["amount"] == order["amount"]
    assert recorded(shop, order["id"]) == (order["amount"], 145)
    [mail] = eventually(lambda: shop.arrived("emails", order_id=order["id"]))
    assert "Taxes: $1.45" in mail["text"]
    page = requests.get(done["status_url"], timeout=REQUEST_TIMEOUT_S).text
    assert "Taxes" in page
    assert "$1.45" in page


def test_vat_of_the_destination_covers_shipping_too(shop: Storefront, bone: dict[str, Any]) -> None:
    _, order = ordered(shop, bone, BERLIN)
    shipping = line(order, "shipping")["amount"]
    assert line(order, "tax")["amount"] == 190 + (19 * shipping + 50) // 100


def test_discount_lowers_the_taxed_amount(shop: Storefront, bone: dict[str, Any]) -> None:
    code, shopper = unique("TAX-"), shop.shopper()
    assert shop.ask("POST", "/api/discounts/", json={"code": code, "percent_off": 20}).status_code == 201
    shopper.buy(bone["id"], 2)
    assert shopper.ask("POST", "/api/cart/discount/", json={"code": code}).status_code == 200
    order = checked_out(shopper)
    assert (line(order, "discount")["amount"], line(order, "tax")["amount"]) == (-400, 116)  # 7.25 % of 1600
    paid(shopper, order)
    assert recorded(shop, order["id"]) == (order["amount"], 116)


def test_other_shipping_method_changes_the_tax(shop: Storefront, bone: dict[str, Any]) -> None:
    shopper, order = ordered(shop, bone, NEWARK)
    dearest = max(order["shipping_methods"], key=lambda method: method["amount"])
    chosen = {"order_id": order["id"], "shipping_id": dearest["id"]}
    fault(shop, "/v1/tax/*")
    away = shopper.ask("PUT", "/api/cart/shipping/", json=chosen)
    assert (away.status_code, "Retry-After" in away.headers) == (503, True)
    assert shopper.ask("GET", f"/api/orders/{order['id']}").json()["amount"] == order["amount"]
    requests.delete(f"{shop.sandbox_url}/sandbox/faults/stripe", timeout=REQUEST_TIMEOUT_S)
    eventually(lambda: shopper.ask("PUT", "/api/cart/shipping/", json=chosen).status_code == 200)
    now = shopper.ask("GET", f"/api/orders/{order['id']}").json()
    assert line(now, "shipping")["amount"] == dearest["amount"]
    both = sum((amount * 6625 + 50_000) // 100_000 for amount in (PRICE, dearest["amount"]))
    assert line(now, "tax")["amount"] == both > line(order, "tax")["amount"]
    assert paid(shopper, now)["amount"] == now["amount"]
    assert recorded(shop, order["id"]) == (now["amount"], both)


def test_tax_code_decides_and_digital_goods_have_no_shipping(shop: Storefront, song: dict[str, Any]) -> None:
    for address, tax in ((HOME, 0), (NEWARK, 66), (BERLIN, 190)):
        shopper, order = ordered(shop, song, address)
        assert (line(order, "tax")["amount"], order["amount"]) == (tax, PRICE + tax)
    paid(shopper, order)
    assert recorded(shop, order["id"]) == (PRICE + 190, 190)
    changed = shop.ask("PUT", f"/api/products/{song['id']}", json={"tax_code": None})
    assert (changed.status_code, changed.json()["tax_code"]) == (200, None)
    _, order = ordered(shop, song, HOME)
    assert line(order, "tax")["amount"] == 73


@pytest.mark.parametrize(("code", "status"), [("books", 400), ("txcd_11111111", 422)])
def test_unknown_tax_code_is_refused(shop: Storefront, song: dict[str, Any], code: str, status: int) -> None:
    answer = shop.ask("PUT", f"/api/products/{song['id']}", json={"tax_code": code})
    assert (answer.status_code, list(answer.json()["errors"])) == (status, ["tax_code"])


def test_refunds_reverse_the_sale_to_the_cent(shop: Storefront, bone: dict[str, Any]) -> None:
    shopper, order = ordered(shop, bone, BERLIN, 3)
    paid(shopper, order)
    total, tax = recorded(shop, order["id"])
    refund(shop, order, amount=100)
    refund(shop, order, amount=777)
    references = refund(shop, order, all=True)
    reversed_ = [recorded(shop, reference) for reference in references]
    assert [amount for amount, _ in reversed_] == [877 - total, -777, -100]
    assert sum(each for _, each in reversed_) == -tax
    returned = shopper.ask("GET", f"/api/orders/{order['id']}").json()["returns"]["data"]
    shares = [line(each, "tax")["amount"] for each in returned]
    assert sum(shares) == tax


def test_outage_at_checkout_is_503_and_places_nothing(shop: Storefront, running: Shop, bone: dict[str, Any]) -> None:
    shopper = shop.shopper()
    shopper.buy(bone["id"], 1)
    fault(shop, "/v1/tax/calculations")
    answer = shopper.checkout()
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    assert answer.headers["Content-Type"] == "application/problem+json"
    orders = Operated(running).read("cart", "SELECT count(*) FROM orders WHERE cart_id = ?", shopper.cart_id)
    assert orders == 0
    requests.delete(f"{shop.sandbox_url}/sandbox/faults/stripe", timeout=REQUEST_TIMEOUT_S)
    eventually(lambda: shopper.checkout().status_code == 201)


def test_address_that_cannot_be_taxed_is_named(shop: Storefront, song: dict[str, Any]) -> None:
    shopper = shop.shopper()
    shopper.buy(song["id"], 1)
    answer = shopper.checkout(address={**HOME, "postal_code": "00000"})
    assert (answer.status_code, list(answer.json()["errors"])) == (422, ["address"])


def test_outage_after_the_payment_delays_only_the_record(shop: Storefront, bone: dict[str, Any]) -> None:
    shopper, order = ordered(shop, bone, HOME)
    fault(shop, "/v1/tax/transactions/*")
    assert paid(shopper, order)["status"] == "paid"
    eventually(lambda: shop.arrived("emails", order_id=order["id"]))
    assert taxes(shop, order["id"]) == []
    requests.delete(f"{shop.sandbox_url}/sandbox/faults/stripe", timeout=REQUEST_TIMEOUT_S)
    assert recorded(shop, order["id"]) == (order["amount"], line(order, "tax")["amount"])


def test_lost_answer_records_the_sale_once(shop: Storefront, bone: dict[str, Any]) -> None:
    shopper, order = ordered(shop, bone, HOME)
    path = "/v1/tax/transactions/create_from_calculation"
    fault(shop, path, error_rate=0, lose_answer_rate=1, times=3)
    paid(shopper, order)
    [reference] = refund(shop, order, all=True)
    assert recorded(shop, reference)[0] == -recorded(shop, order["id"])[0]


def test_reconcile_finds_and_repairs_a_lost_record(shop: Storefront, running: Shop, bone: dict[str, Any]) -> None:
    operator = Operated(running)
    shopper, order = ordered(shop, bone, HOME)
    paid(shopper, order)
    lines = operator.agrees()
    assert any("taxed orders" in each for each in lines)
    key = f"{order['id']}:tax"
    answer = operator.read("cart", "SELECT answer FROM tasks WHERE key = ?", key)
    operator.write("cart", "UPDATE tasks SET answer = ? WHERE key = ?", '{"entry": "tax_other"}', key)
    status, lines = operator.compare()
    assert status == 1
    assert any(each.startswith(f"tax unknown at Stripe: {order['id']}") for each in lines), lines
    operator.write("cart", "UPDATE tasks SET answer = ? WHERE key = ?", answer, key)
    shopper, order = ordered(shop, bone, HOME)
    fault(shop, "/v1/tax/transactions/*")
    paid(shopper, order)
    operator.write("cart", "DELETE FROM tasks WHERE key = ?", f"{order['id']}:tax")
    requests.delete(f"{shop.sandbox_url}/sandbox/faults/stripe", timeout=REQUEST_TIMEOUT_S)
    status, lines = operator.compare("--repair")
    assert any(each.startswith(f"paid, and its tax not recorded: {order['id']}") for each in lines), lines
    operator.agrees()
    assert recorded(shop, order["id"])[0] == order["amount"]

"""A shopper without an account follows the order by the link in the mail, until an operator revokes it."""

from __future__ import annotations

import re

import pytest
import requests

from launcher.shop import Shop
from tests.e2e.journeys.operated import Operated
from tests.e2e.journeys.shop import REQUEST_TIMEOUT_S, Shopper, Storefront, eventually, unique

STRANGER = {"Cart-Id": "the-cart-of-another"}


def paid_order(shop: Storefront) -> tuple[Shopper, str, str]:
    """A shopper with a paid order, its id, and the link in their mail."""
    product = shop.product(name=unique("Bone"))
    shopper = shop.shopper()
    order = shopper.order(product["id"], 2)
    assert shopper.pay(order).json()["status_url"] == order["status_url"]
    [mail] = eventually(lambda: shop.arrived("emails", to=shopper.email))
    [link] = re.findall(r"^(http\S+/orders/\S+)$", mail["text"], re.MULTILINE)
    assert link == order["status_url"]
    assert f'href="{link}"' in mail["html"]
    return shopper, order["id"], link


def get(url: str, **headers: str) -> requests.Response:
    return requests.get(url, headers=headers, timeout=REQUEST_TIMEOUT_S)


def test_link_in_the_mail_shows_the_order_and_its_parcel(shop: Storefront) -> None:
    shopper, order_id, link = paid_order(shop)
    page = get(link)
    assert page.status_code == 200
    assert "Thank you for your order" in page.text
    order = shopper.ask("GET", f"/api/orders/{order_id}").json()
    number = order["shipping"]["tracking_number"]
    assert number in page.text
    moved = requests.post(
        f"{shop.sandbox_url}/sandbox/tracks/{number}", json={"status": "TRANSIT"}, timeout=REQUEST_TIMEOUT_S
    )
    assert moved.status_code == 200
    eventually(lambda: "Your parcel is on its way" in get(link).text)
    assert "Your shipment has departed from the origin." in get(link).text


def test_token_opens_the_order_and_its_shipment_to_a_stranger(shop: Storefront) -> None:
    shopper, order_id, link = paid_order(shop)
    order, token = shopper.ask("GET", f"/api/orders/{order_id}").json(), link.partition("token=")[2]
    shipment = f"{shop.url}/api/shipments/{order['upstream_id']}"
    for url in (
        f"{shop.url}/api/orders/{order_id}",
        *(f"{shipment}/{part}" for part in ("label", "tracking", "rates/usd")),
    ):
        assert get(url, **STRANGER).status_code == 404
        assert get(f"{url}?token=wrong", **STRANGER).status_code == 404
        for opened in (get(f"{url}?token={token}"), get(url, **{"Order-Token": token})):
            assert opened.status_code == 200
            assert opened.headers["Cache-Control"] == "no-store"
    # What became of the mail may be shown meanwhile.
    seen = f"{shop.url}/api/orders/{order_id}?token={token}"
    eventually(lambda: get(seen).json() == shopper.ask("GET", f"/api/orders/{order_id}").json())
    for action in ("cancel", "refund"):
        refused = requests.post(
            f"{shop.url}/api/orders/{order_id}/{action}/?token={token}",
            headers={**STRANGER, "Order-Token": token},
            timeout=REQUEST_TIMEOUT_S,
        )
        assert refused.status_code in (400, 404), "a token only reads"


@pytest.mark.parametrize("path", ["/orders/{id}?token=wrong", "/orders/or_unknown?token=wrong", "/orders/{id}"])
def test_other_links_find_no_order(shop: Storefront, path: str) -> None:
    shopper = shop.shopper()
    order = shopper.order(shop.product()["id"])
    page = shopper.ask("GET", path.replace("{id}", order["id"]))  # with the right cart
    assert page.status_code == 404
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "We cannot find this order" in page.text


def test_revoked_link_ends_and_no_log_has_a_token(own: Shop) -> None:
    shop, operator = Storefront(own.url, own.sandbox_url), Operated(own)
    shopper, order_id, link = paid_order(shop)
    assert get(link).status_code == 200
    token = link.partition("token=")[2]
    assert get(f"{shop.url}/api/orders/{order_id}", **{"Order-Token": token}).status_code == 200
    new = operator.call("cart", "revoke_token", order_id)["status_url"]
    assert get(link).status_code == 404
    assert get(new).status_code == 200
    assert shopper.ask("GET", f"/api/orders/{order_id}").json()["status_url"] == new
    logs = "".join(path.read_text(errors="replace") for path in own.place.var_dir.joinpath("logs").rglob("*.log"))
    assert f"/api/orders/{order_id}" in logs
    assert "order token revoked" in logs
    assert re.findall(r"\bot_[\w-]+", logs) == []

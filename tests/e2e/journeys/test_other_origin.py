"""A storefront of another origin, in a browser, built on storefront/client.js."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Route

from launcher.place import ROOT
from tests.browser import FOREIGN, Tab
from tests.e2e.journeys.shop import HOME, Storefront, unique

PAGE = """<!doctype html><html lang="en"><title>Storefront</title><link rel="icon" href="data:,"><script type="module">
import { Shop, Problem } from "./client.js";
window.Shop = Shop;
window.shopUrl = "%s";
window.shop = new Shop(window.shopUrl);
window.failed = async (call) => call.then(() => null, (problem) => ({ ...problem, known: problem instanceof Problem }));
</script></html>"""


@pytest.fixture
def page_port(shop: Storefront, tmp_path: Path, serve_folder: Callable[[Path], int]) -> int:
    """The port of a storefront that is not the shop's own."""
    (tmp_path / "client.js").write_bytes((ROOT / "storefront" / "client.js").read_bytes())
    (tmp_path / "index.html").write_text(PAGE % shop.url)
    return serve_folder(tmp_path)


@pytest.fixture
def storefront(tab: Tab, page_port: int) -> Tab:
    """A storefront on another port of this machine."""
    tab.page.goto(f"http://localhost:{page_port}/")
    tab.page.wait_for_function("window.shop !== undefined")
    return tab


def customer() -> dict[str, Any]:
    return {"email": f"{unique('page')}@example.com", "phone": "+14155550123", "name": "Chloe Taylor", "address": HOME}


def test_page_of_another_origin_buys(shop: Storefront, storefront: Tab) -> None:
    product = shop.product(name=unique("Whale"), metadata={"category": unique("toys")})
    bought = storefront.run(
        """async ([category, customer]) => {
            const { data: [product] } = await shop.products({ category });
            await shop.buy(product.id, 2);
            await shop.setQuantity(product.id, 1);
            const cart = await shop.cart();
            const order = await shop.checkout(customer);
            await shop.chooseShipping(order.id, order.shipping_methods[0].id);
            const paid = await shop.pay(order.id, "tok_visa");
            const label = await shop.label(paid.upstream_id);
            const tracking = await shop.tracking(paid.upstream_id);
            const rates = await shop.rates(paid.upstream_id, paid.currency);
            return { cart, paid, label, tracking, rates, read: await shop.order(order.id), left: await shop.cart() };
        }""",
        [product["metadata"]["category"], customer()],
    )
    assert [(item["parent"], item["quantity"]) for item in bought["cart"]] == [(product["skus"]["data"][0]["id"], 1)]
    assert bought["paid"]["status"] == bought["read"]["status"] == "paid"
    assert len(shop.charged(bought["paid"]["id"])) == 1
    assert bought["label"]["label_url"] == bought["paid"]["label_url"]
    assert bought["tracking"]["tracking_number"] == bought["paid"]["shipping"]["tracking_number"]
    assert bought["rates"]["rate_items"]
    assert storefront.errors == []


def test_page_of_another_origin_buys_a_variant_with_a_discount(shop: Storefront, storefront: Tab) -> None:
    product = shop.product(
        **{"attributes": ["size"], "attributes_sku": {"size": "s"}, "price": 500},
        inventory={"type": "finite", "quantity": 5},
    )
    added = shop.ask("POST", f"/api/products/{product['id']}/skus/", json={"attributes": {"size": "m"}, "price": 700})
    small, middle = (sku["id"] for sku in added.json()["skus"]["data"])
    code = unique("CODE-")
    assert shop.ask("POST", "/api/discounts/", json={"code": code, "percent_off": 10}).status_code == 201
    found = storefront.run(
        """async ([id, small, code, customer]) => {
            await shop.buy(id, 1, { sku: small });
            await shop.buy(id, 1, { attributes: { size: "m" } });
            await shop.setQuantity(id, 3, { sku: small });
            const both = await shop.summary();
            const unknown = await failed(shop.applyDiscount("NO-SUCH-CODE"));
            await shop.applyDiscount(code);
            await shop.removeDiscount();
            const cart = await shop.remove(id, { sku: small });
            const summary = await shop.applyDiscount(code);
            const order = await shop.checkout(customer);
            const paid = await shop.pay(order.id, "tok_visa");
            const token = new URL(paid.status_url).searchParams.get("token");
            const stranger = new Shop(shopUrl, { storage: null });
            const read = await stranger.order(paid.id, { token });
            const tracking = await stranger.tracking(paid.upstream_id, { token });
            const made = stranger.cartId;
            const wrong = await failed(stranger.order(paid.id, { token: "ot_wrong" }));
            return { both, unknown, cart, summary, paid, read, tracking, made, wrong };
        }""",
        [product["id"], small, code, customer()],
    )
    assert (found["both"]["item_count"], found["both"]["subtotal"]) == (4, 3 * 500 + 700)
    assert (found["unknown"]["status"], found["wrong"]["status"]) == (404, 404)
    assert [item["parent"] for item in found["cart"]] == [middle]
    assert {name: found["summary"][name] for name in ("discount", "discount_code", "total")} == {
        **{"discount": -70, "discount_code": code, "total": 630},
    }
    assert [item["amount"] for item in found["paid"]["items"] if item["type"] == "discount"] == [-70]
    assert (found["read"]["id"], found["read"]["status"], found["made"]) == (found["paid"]["id"], "paid", None)
    assert found["tracking"]["tracking_number"] == found["paid"]["shipping"]["tracking_number"]
    assert len(storefront.errors) == 2  # the console reports each 404


def test_cart_survives_a_reload(shop: Storefront, storefront: Tab) -> None:
    product = shop.product()
    storefront.run("(id) => shop.buy(id)", product["id"])
    cart_id = storefront.run("shop.cartId")
    storefront.page.reload()
    storefront.page.wait_for_function("window.shop !== undefined")
    assert storefront.run("shop.cartId") == cart_id
    assert len(storefront.run("shop.cart()")) == 1
    storefront.run("shop.forget()")
    assert storefront.run("shop.cart()") == []


def test_calls_at_the_same_time_share_a_new_cart(shop: Storefront, storefront: Tab) -> None:
    products = [shop.product()["id"] for _ in range(3)]
    storefront.run("(ids) => Promise.all(ids.map((id) => shop.buy(id)))", products)
    assert len(storefront.run("shop.cart()")) == 3


def test_page_reads_what_went_wrong(shop: Storefront, storefront: Tab) -> None:
    product = shop.product(inventory={"type": "finite", "quantity": 1})
    found = storefront.run(
        """async ([id, customer]) => {
            const missing = await failed(shop.product("prod_nowhere"));
            const large = await failed(shop.checkout({ ...customer, name: "x".repeat(70000) }));
            const invalid = await failed(shop.checkout({ ...customer, email: "no address" }));
            const empty = await failed(shop.checkout(customer));
            await shop.buy(id);
            const order = await shop.checkout(customer);
            const declined = await failed(shop.pay(order.id, "tok_chargeDeclinedInsufficientFunds"));
            const bank = await failed(shop.pay(order.id, "tok_threeDSecure2Required"));
            return { missing, large, invalid, empty, declined, bank };
        }""",
        [product["id"], customer()],
    )
    assert {name: problem["status"] for name, problem in found.items()} == {
        **{"missing": 404, "large": 413, "invalid": 400, "empty": 409},
        **{"declined": 402, "bank": 402},
    }
    assert all(problem["known"] and problem["detail"] and problem["request_id"] for problem in found.values())
    assert list(found["invalid"]["errors"]) == ["email"]
    assert found["declined"]["decline_code"] == "insufficient_funds"
    assert found["bank"]["next_action"]
    assert found["bank"]["client_secret"]


def test_repetition_after_a_lost_answer_has_the_same_key(shop: Storefront, storefront: Tab) -> None:
    product = shop.product()
    storefront.run("shop.createCart()")
    keys = []

    def lose_the_first(route: Route) -> None:
        key = route.request.headers.get("idempotency-key")
        if key is None:  # a preflight
            route.continue_()
            return
        keys.append(key)
        if len(keys) == 1:
            assert route.fetch().status == 200
            route.abort()
        else:
            route.continue_()

    storefront.page.route("**/buy/", lose_the_first)
    items = storefront.run("(id) => shop.buy(id, 2)", product["id"])
    assert [item["quantity"] for item in items] == [2]
    assert len(keys) == 2
    assert keys[0] == keys[1]
    storefront.run("(id) => shop.buy(id, 2)", product["id"])
    assert keys[2] != keys[0]


def test_unreachable_shop_is_a_problem(storefront: Tab) -> None:
    storefront.page.route("**/api/**", lambda route: route.abort())
    problem = storefront.run("failed(shop.product('prod_1'))")
    assert (problem["status"], problem["known"]) == (0, True)


def test_aborted_call_ends_with_the_pages_reason(storefront: Tab) -> None:
    storefront.page.route("**/api/**", lambda route: None)  # never answered
    reason = storefront.run(
        """async () => {
            const ended = new AbortController();
            const call = shop.product("prod_1", { signal: ended.signal }).catch((reason) => reason);
            ended.abort("left the page");
            return call;
        }"""
    )
    assert reason == "left the page"


def test_unknown_cart_is_replaced(shop: Storefront, storefront: Tab) -> None:
    product = shop.product()
    storefront.run("(url) => localStorage.setItem(`shop:${url}:cart_id`, '~')", shop.url)  # no shop issues such an id
    assert len(storefront.run("(id) => shop.buy(id)", product["id"])) == 1
    assert storefront.run("shop.cartId").startswith("cart_")


def test_page_of_a_foreign_host_may_read_nothing(shop: Storefront, tab: Tab, page_port: int) -> None:
    tab.page.goto(f"http://www.{FOREIGN}:{page_port}/")
    tab.page.wait_for_function("window.shop !== undefined")
    read, changed = tab.run(
        """async (url) => Promise.all([
            fetch(`${url}/api/products/`).then(() => "read", (error) => error.name),
            fetch(`${url}/api/cart/`, { method: "POST" }).then(() => "changed", (error) => error.name),
        ])""",
        shop.url,
    )
    assert (read, changed) == ("TypeError", "TypeError")

"""What the storefront does when a cart, an order or a product changes behind a page, and when an answer comes late."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect

from tests.e2e.browser.pages import CUSTOMER, DELIVERY, ORDER, PAYMENT, Shopper, lose_answer, refuse
from tests.e2e.journeys.shop import eventually, unique

SHIPPING, PAID, CHECKOUT = "**/api/cart/shipping/", "**/api/cart/paid/", "**/api/cart/checkout/"
FINITE = {"type": "finite", "quantity": 5}


def _made(shopper: Shopper, **spec: Any) -> dict[str, Any]:
    """A new product with no more fields than given."""
    category = unique("c")
    answer = shopper.shop.ask("POST", "/api/products/", json={"metadata": {"category": category}, **spec})
    assert answer.status_code == 201, answer.text
    product: dict[str, Any] = answer.json()
    return product


def _bed(shopper: Shopper, *attributes: dict[str, str]) -> dict[str, Any]:
    """A new product with a SKU of each attributes."""
    skus = [{"attributes": each, "price": 4900, "inventory": FINITE} for each in attributes]
    size = {"height": 5, "length": 5, "width": 5, "weight": 5}
    return _made(shopper, name=unique("Bed "), package_dimensions=size, attributes=["colour", "size"], skus=skus)


def test_last_choice_of_delivery_is_charged(shopper: Shopper) -> None:
    page, order = shopper.page, shopper.order(shopper.product())
    first, last = [each for each in order["shipping_methods"] if each["id"] != order["selected_shipping_method"]][:2]
    held = shopper.hold(SHIPPING)
    shopper.open(f"/checkout/{order['id']}/delivery")
    with page.expect_request(SHIPPING):
        page.locator(f"input[value='{first['id']}']").check()
    page.locator(f"input[value='{last['id']}']").check()
    shopper.press("Continue to payment")
    with page.expect_request(SHIPPING) as sent:
        held[0].continue_()
    expect(page).to_have_url(DELIVERY)
    assert sent.value.post_data_json["shipping_id"] == last["id"]
    refuse(held[1])
    expect(shopper.alert()).to_contain_text("Nothing was done.")
    expect(page).to_have_url(DELIVERY)
    with page.expect_request(SHIPPING):
        shopper.press("Try again")
    expect(page.locator(f"input[value='{last['id']}']")).to_be_focused()
    shopper.press("Continue to payment")
    held[2].continue_()
    page.wait_for_url(PAYMENT)
    shopper.pay()
    page.wait_for_url(ORDER)
    chosen = next(each for each in order["shipping_methods"] if each["id"] == last["id"])
    goods = sum(each["amount"] for each in order["items"] if each["type"] != "shipping")
    assert [charge["amount"] for charge in shopper.shop.charged(order["id"])] == [goods + chosen["amount"]]


def test_changed_total_is_shown_before_it_is_charged(shopper: Shopper) -> None:
    page, order = shopper.page, shopper.reach_payment(shopper.product())
    dearest = max(order["shipping_methods"], key=lambda each: each["amount"])
    assert dearest["id"] != order["selected_shipping_method"]
    page.route(PAID, refuse)
    shopper.pay()
    expect(shopper.alert()).to_contain_text("Nothing was done.")
    page.unroute(PAID)
    choose = "async ([id, method]) => (await import('/storefront/shop.js')).chooseShipping(id, method)"
    changed = shopper.tab.run(choose, [order["id"], dearest["id"]])  # as in another tab
    shopper.press("Try again")
    expect(shopper.alert()).to_contain_text("The total has changed")
    pay = page.get_by_role("button", name=f"Pay ${changed['amount'] / 100:.2f}", exact=True)
    expect(pay).to_be_focused()
    assert shopper.shop.charged(order["id"]) == []
    pay.click()
    page.wait_for_url(ORDER)
    assert [charge["amount"] for charge in shopper.shop.charged(order["id"])] == [changed["amount"]]


def test_one_variant_is_removed_when_the_others_are_no_longer_sold(shopper: Shopper) -> None:
    product = _bed(shopper, {"colour": "sand"}, {"colour": "moss"})
    page, (sand, moss) = shopper.page, [each["id"] for each in product["skus"]["data"]]
    shopper.open("/cart")
    shopper.tab.run(
        """async ([product, ids]) => {
            const shop = await import("/storefront/shop.js");
            for (const id of ids) await shop.buy(product, { id }, 1);
        }""",
        [product, [sand, moss]],
    )
    assert shopper.shop.ask("DELETE", f"/api/products/{product['id']}/skus/{sand}/").status_code == 200
    shopper.open("/cart")
    page.get_by_role("textbox", name=f"Quantity of {product['name']}, Moss").fill("2")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Cart 3 items")).to_be_visible()
    shopper.press(f"Remove {product['name']}, Moss")
    expect(page.get_by_role("link", name="Cart 1 item")).to_be_visible()
    shopper.follow("Go to checkout")
    expect(shopper.alert().get_by_role("link", name="Change the cart")).to_be_visible()
    assert shopper.tab.errors == []


def test_kept_keys_end_when_the_cart_changes(shopper: Shopper) -> None:
    code = unique("TEN").upper()
    made = shopper.shop.ask("POST", "/api/discounts/", json={"code": code, "percent_off": 10})
    assert made.status_code == 201, made.text
    product = shopper.product(price=1000)
    page = shopper.page
    shopper.open("/cart")
    for path in ("**/buy/", CHECKOUT):
        page.route(path, lose_answer, times=1)
    found = shopper.tab.run(
        """async ([product, customer, code]) => {
            const shop = await import("/storefront/shop.js");
            const sku = product.skus.data[0];
            const goods = (order) => order.items.filter((each) => ["sku", "discount"].includes(each.type));
            const amounts = (order) => goods(order).map((each) => each.amount);
            const lost = (call) => call.then(() => null, (problem) => problem.status);
            const item = async () => (await shop.cart()).items[0];
            const found = { lost: [await lost(shop.buy(product, sku, 1))] };
            await shop.buy(product, sku, 1);
            found.repeated = (await item()).quantity;
            found.lost.push(await lost(shop.checkout(customer)));
            await shop.setQuantity(await item(), 2);
            found.changed = amounts(await shop.checkout(customer));
            return found;
        }""",
        [product, CUSTOMER, code],
    )
    assert found == {"lost": [503, 503], "repeated": 1, "changed": [2000]}
    for path in ("**/buy/", CHECKOUT, "**/discount/"):
        page.route(path, lose_answer, times=1)
    again = shopper.tab.run(
        """async ([product, customer, code]) => {
            const shop = await import("/storefront/shop.js");
            const sku = product.skus.data[0];
            const lost = (call) => call.then(() => null, (problem) => problem.status);
            const found = { lost: [await lost(shop.applyDiscount(code))] };
            await shop.removeDiscount();
            found.lost.push(await lost(shop.checkout(customer)));
            await shop.applyDiscount(code);
            const order = await shop.checkout(customer);
            found.discount = order.items.find((each) => each.type === "discount")?.amount;
            found.lost.push(await lost(shop.buy(product, sku, 1)));
            await shop.remove((await shop.cart()).items[0]);
            await shop.buy(product, sku, 1);
            found.pieces = (await shop.cart()).item_count;
            return found;
        }""",
        [product, CUSTOMER, code],
    )
    assert again == {"lost": [503, 503, 503], "discount": -200, "pieces": 1}


def test_key_is_kept_when_the_browser_refuses_storage(shopper: Shopper) -> None:
    shopper.page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw Error('refused'); } })")
    product = shopper.product()
    shopper.open(f"/product/{product['id']}")
    shopper.page.route("**/buy/", lose_answer, times=1)
    shopper.press("Add to cart")
    expect(shopper.alert()).to_be_visible()
    held = shopper.hold("**/buy/")
    with shopper.page.expect_request("**/buy/"):
        shopper.press("Try again")
    expect(shopper.page.get_by_role("button", name="Add to cart")).to_be_focused()
    held[0].continue_()
    expect(shopper.page.get_by_role("link", name="Cart 1 item")).to_be_visible()


def test_variants_need_not_have_the_same_attributes(shopper: Shopper) -> None:
    product = _bed(shopper, {"colour": "sand"}, {"colour": "sand", "size": "large"})
    page = shopper.page
    shopper.open(f"/?category={product['metadata']['category']}")
    expect(page.get_by_role("article")).to_contain_text("2 sizes")
    shopper.follow(product["name"])
    expect(page.get_by_role("radio", name="Standard")).to_be_checked()
    page.get_by_role("radio", name="Large").check()
    shopper.press("Add to cart")
    expect(page.get_by_text("(Large) is in your cart.")).to_be_visible()
    page.get_by_role("radio", name="Standard").check()
    shopper.press("Add to cart")
    expect(page.get_by_text("(Standard) is in your cart.")).to_be_visible()
    items = shopper.tab.run("async () => (await (await import('/storefront/shop.js')).cart()).items")
    assert sorted(item["parent"] for item in items) == sorted(sku["id"] for sku in product["skus"]["data"])


def test_bank_is_not_asked_again_after_another_card_was_declined(shopper: Shopper) -> None:
    shopper.reach_payment(_made(shopper, name=unique("Song "), price=300, shippable=False))
    shopper.pay("Visa ending in 3184")
    expect(shopper.heading("Your bank wants you to confirm")).to_be_visible()
    shopper.pay("Visa ending in 9995")
    expect(shopper.alert()).to_contain_text("insufficient funds")
    shopper.page.reload()
    expect(shopper.page.get_by_role("button", name=re.compile("^Pay "))).to_be_visible()
    expect(shopper.heading("Your bank wants you to confirm")).to_have_count(0)
    shopper.pay()
    shopper.page.wait_for_url(ORDER)
    expect(shopper.heading("Thank you")).to_be_visible()


def test_late_order_does_not_pull_the_shopper_back(shopper: Shopper) -> None:
    page, held = shopper.page, shopper.hold(CHECKOUT)
    shopper.put_into_cart(shopper.product())
    shopper.open("/checkout")
    shopper.press("Use the example address")
    with page.expect_request(CHECKOUT):
        shopper.press("Continue to delivery")
    shopper.follow("Change the cart")
    expect(shopper.heading("Your cart")).to_be_visible()
    held[0].continue_()
    eventually(lambda: "checkout" not in shopper.tab.run("localStorage['storefront:keys']"))  # the answer was read
    expect(shopper.heading("Your cart")).to_be_visible()
    assert shopper.path == "/cart"


def test_refused_quantity_is_set_back(shopper: Shopper) -> None:
    product = shopper.product(inventory=FINITE)
    shopper.put_into_cart(product)
    shopper.open("/cart")
    field = shopper.page.get_by_role("textbox", name=f"Quantity of {product['name']}")
    for _ in range(2):  # the same number is sent again
        field.fill("6")
        with shopper.page.expect_response(f"**/api/cart/{product['id']}/"):
            shopper.page.keyboard.press("Tab")
        expect(shopper.page.get_by_text("There are only 5")).to_be_visible()
        expect(field).to_have_value("1")


def test_last_of_two_quantities_is_kept(shopper: Shopper) -> None:
    product = shopper.product()
    url, page = f"**/api/cart/{product['id']}/", shopper.page
    shopper.put_into_cart(product)
    shopper.open("/cart")
    field = page.get_by_role("textbox", name=f"Quantity of {product['name']}")
    held = shopper.hold(url)
    for pieces in ("2", "3"):
        field.fill(pieces)
        field.blur()
    expect(field).to_have_value("3")
    with page.expect_request(url):
        held.pop(0).continue_()
    expect(page.get_by_role("link", name="Cart 2 items")).to_be_visible()
    held[0].continue_()
    expect(page.get_by_role("link", name="Cart 3 items")).to_be_visible()
    expect(field).to_have_value("3")


def test_checkout_waits_for_a_change_of_the_cart(shopper: Shopper) -> None:
    product = shopper.product()
    page = shopper.page
    shopper.put_into_cart(product)
    shopper.open("/cart")
    field = page.get_by_role("textbox", name=f"Quantity of {product['name']}")
    held = shopper.hold(f"**/api/cart/{product['id']}/")
    field.fill("2")
    field.blur()
    shopper.follow("Go to checkout")
    shopper.press("Use the example address")
    shopper.press("Continue to delivery")
    with page.expect_request(CHECKOUT):
        held[0].continue_()
    page.wait_for_url(DELIVERY)
    expect(page.get_by_role("row", name=re.compile(f"{product['name']} . 2"))).to_be_visible()

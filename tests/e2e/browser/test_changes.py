"""What the storefront does when a cart, an order or a product changes behind a page, and when an answer comes late."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.e2e.browser.pages import DELIVERY, ORDER, PAYMENT, Shopper, refuse

SHIPPING, PAID = "**/api/cart/shipping/", "**/api/cart/paid/"


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
    shopper.press("Continue to payment")
    held[2].continue_()
    page.wait_for_url(PAYMENT)
    shopper.pay()
    page.wait_for_url(ORDER)
    chosen = next(each for each in order["shipping_methods"] if each["id"] == last["id"])
    goods = sum(each["amount"] for each in order["items"] if each["type"] != "shipping")
    assert [charge["amount"] for charge in shopper.shop.charged(order["id"])] == [goods + chosen["amount"]]


def test_changed_total_is_shown_before_it_is_charged(shopper: Shopper) -> None:
    page, order = shopper.page, shopper.order(shopper.product())
    dearest = max(order["shipping_methods"], key=lambda each: each["amount"])
    assert dearest["id"] != order["selected_shipping_method"]
    shopper.open(f"/checkout/{order['id']}/payment")
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

"""What the storefront shows of variants, discount codes and the order's link."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.e2e.browser.pages import ORDER, PAYMENT, Shopper
from tests.e2e.journeys.shop import unique


def _variants(shopper: Shopper) -> dict[str, object]:
    size = {"height": 5, "length": 5, "width": 5, "weight": 5}
    spec = {
        "name": unique("Bed "),
        "metadata": {"category": unique("c")},
        "package_dimensions": size,
        "attributes": ["colour"],
        "skus": [
            {"attributes": {"colour": "sand"}, "price": 4900, "inventory": {"type": "finite", "quantity": 5}},
            {"attributes": {"colour": "moss"}, "price": 5900, "inventory": {"type": "finite", "quantity": 2}},
            {"attributes": {"colour": "navy"}, "price": 5900, "inventory": {"type": "finite", "quantity": 0}},
        ],
    }
    answer = shopper.shop.ask("POST", "/api/products/", json=spec)
    assert answer.status_code == 201, answer.text
    product: dict[str, object] = answer.json()
    return product


def test_variant_is_chosen_and_bought(shopper: Shopper) -> None:
    product = _variants(shopper)
    shopper.open(f"/product/{product['id']}")
    shopper.page.get_by_role("radio", name="Navy").check()
    expect(shopper.page.get_by_role("button", name="Sold out")).to_be_disabled()
    shopper.page.get_by_role("radio", name="Moss").check()
    expect(shopper.page.get_by_text("$59.00", exact=True)).to_be_visible()
    expect(shopper.page.get_by_text("Only 2 left", exact=True)).to_be_visible()
    shopper.page.reload()
    expect(shopper.page.get_by_role("radio", name="Moss")).to_be_checked()
    shopper.press("Add to cart")
    expect(shopper.page.get_by_text("in your cart.")).to_be_visible()
    shopper.page.get_by_role("radio", name="Sand").check()
    shopper.press("Add to cart")
    expect(shopper.page.get_by_role("link", name="Cart 2 items")).to_be_visible()
    shopper.open("/cart")
    shopper.press(f"Remove {product['name']}, Sand")
    expect(shopper.page.get_by_role("link", name="Cart 1 item")).to_be_visible()
    shopper.check_out()
    expect(shopper.page.get_by_role("row", name="moss")).to_be_visible()


def test_discount_code_is_used_and_removed(shopper: Shopper) -> None:
    code = unique("TEN").upper()
    made = shopper.shop.ask("POST", "/api/discounts/", json={"code": code, "percent_off": 10})
    assert made.status_code == 201, made.text
    shopper.put_into_cart(shopper.product(price=1000))
    shopper.open("/cart")
    field = shopper.page.get_by_label("Discount code")
    field.fill("NO-SUCH-CODE")
    shopper.press("Apply")
    expect(field).to_have_accessible_description("We do not know this code. Check its spelling.")
    expect(field).to_be_focused()
    field.fill(code)
    shopper.press("Apply")
    expect(shopper.page.get_by_text("-$1.00")).to_be_visible()
    shopper.press("Remove the discount code")
    expect(shopper.page.get_by_label("Discount code")).to_be_visible()
    shopper.page.get_by_label("Discount code").fill(code)
    shopper.press("Apply")
    expect(shopper.page.get_by_text("-$1.00")).to_be_visible()
    shopper.check_out()
    expect(shopper.page.get_by_text("-$1.00")).to_be_visible()
    shopper.press("Continue to payment")
    shopper.page.wait_for_url(PAYMENT)
    shopper.pay()
    shopper.page.wait_for_url(ORDER)
    expect(shopper.page.get_by_text("-$1.00")).to_be_visible()


def test_link_to_the_order_opens_it_on_any_device(shopper: Shopper) -> None:
    shopper.reach_payment(shopper.product())
    shopper.pay()
    shopper.page.wait_for_url(ORDER)
    shopper.follow("This order on any device")
    expect(shopper.page.get_by_role("heading", level=1)).to_be_visible()
    assert "/orders/" in shopper.page.url

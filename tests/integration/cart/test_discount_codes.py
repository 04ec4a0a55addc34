"""The discount codes themselves: kept at the provider, read here, given to carts, applied at checkout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cart.checkout import Checkout
from cart.discounts.codes import MAX_SINGLE_READS, DiscountCodes
from cart.rules.discount import Discount, Terms
from cart.rules.order import CONFIRMING, PAID, PAYING, Order
from cart.showing import Showing
from cart.store.unit_of_work import CartStore
from chassis.db.engine import Database
from chassis.records import SetAside
from contracts.errors import Conflict, InvalidRequest, NotFound, ProviderFailure, Unavailable
from tests.discounts import made_code, with_code
from tests.orders import made_order
from tests.unit.cart.test_checkout import CUSTOMER, Products, Shipping

NOW = 1000


class Provider:
    """A provider of discount codes, in memory, with one code per page.

    Attributes:
        asks: called before each answer.
        found, pages: the ids of the codes that were read one by one, and the number of pages that were read.
    """

    def __init__(self) -> None:
        self.codes: dict[str, Any] = {}
        self.answers: dict[str, Discount] = {}
        self.asks: Callable[[], Any] = lambda: None
        self.found: list[str] = []
        self.pages = 0

    def create(self, terms: Terms, key: str) -> Discount:
        self.asks()
        if key not in self.answers:
            self.answers[key] = made = Discount(f"promo_{key}", terms, True, NOW + len(self.codes))
            self.codes[made.id] = made
        return self.answers[key]

    def withdraw(self, discount_id: str) -> None:
        self.asks()
        self.codes[discount_id] = made_code(discount_id, active=False)

    def find(self, discount_id: str) -> Discount | None:
        self.asks()
        self.found.append(discount_id)
        return self.codes.get(discount_id)

    def page(self, after: str | None) -> tuple[list[Any], str | None]:
        names = list(self.codes)
        self.pages += 1
        start = names.index(after) + 1 if after else 0
        found = [self.codes[name] for name in names[start : start + 1]]
        self.asks()
        return found, names[start] if len(names) > start + 1 else None


class Desk:
    """The codes, a cart with two SKUs, and its checkout."""

    def __init__(self, database: Database) -> None:
        self.now = float(NOW)
        self.store = store = CartStore(database, lambda: self.now)
        self.provider, self.products, self.shipping = Provider(), Products(), Shipping()
        self.codes = DiscountCodes(store, self.provider, lambda: self.now)
        self.showing = Showing(store, self.products, self.codes)
        self.checkout = Checkout(store, self.products, self.shipping, False, self.codes)
        offer = {"inventory": {"type": "infinite"}, "currency": "usd"}
        for name in "ab":
            store.carts.add("cart_1", f"prod_{name}", {**offer, "sku": f"sku_{name}"}, 2, name)  # 1000 and 1400 cents

    def summary(self) -> dict[str, Any]:
        return self.showing.summary("cart_1")

    def apply(self, code: str) -> dict[str, Any]:
        before = self.summary()
        self.codes.apply("cart_1", code, before["subtotal"], before["currency"], None)
        return self.summary()

    def order(self) -> Any:
        return self.checkout.place("cart_1", CUSTOMER, f"key {self.now}")

    @property
    def only_order(self) -> Order:
        [order] = self.store.orders.page(None, None, 10, None)[0]
        return order


@pytest.fixture
def desk(database: Callable[[str], Database]) -> Desk:
    return Desk(database("cart"))


SPEC = {"code": "Summer", "percent_off": 25.5}


def test_made_code_is_shown_and_applies_at_once(desk: Desk) -> None:
    made = desk.codes.create({**SPEC, "max_redemptions": 3, "expires_at": NOW + 1}, "k1")
    assert made == {
        "id": "promo_k1",
        "object": "discount",
        "active": True,
        "amount_off": None,
        "code": "Summer",
        "created": NOW,
        "currency": None,
        "expires_at": NOW + 1,
        "max_redemptions": 3,
        "minimum_amount": None,
        "percent_off": 25.5,
        "times_redeemed": 0,
    }
    assert desk.codes.page(10, None)["data"] == [made]
    shown = desk.apply("SUMMER")
    assert (shown["subtotal"], shown["discount"], shown["total"]) == (2400, -612, 1788)
    assert (shown["discount_code"], shown["item_count"], shown["problems"]) == ("Summer", 4, [])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"percent_off": None}, "percent_off"),
        ({"percent_off": 33.333}, "percent_off"),
        ({"percent_off": 100.5}, "percent_off"),
        ({"amount_off": 100, "currency": "usd"}, "percent_off"),
        ({"percent_off": None, "amount_off": 100}, "currency"),
        ({"minimum_amount": 100}, "currency"),
        ({"currency": "usd"}, "currency"),
        ({"minimum_amount": 100, "currency": "xxx"}, "currency"),
        ({"minimum_amount": 105, "currency": "isk"}, "minimum_amount"),
        ({"expires_at": NOW}, "expires_at"),
    ],
)
def test_contradicting_terms_are_refused_by_name(desk: Desk, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        desk.codes.create({**SPEC, **changes}, "k1")
    assert list(refusal.value.facts["errors"]) == [field]
    assert desk.provider.codes == {}


def test_withdrawn_code_is_gone_and_can_be_made_again(desk: Desk) -> None:
    desk.codes.create(SPEC, "k1")
    desk.apply("Summer")
    for _ in range(2):
        assert desk.codes.withdraw("SUMMER")["deleted"] is True
    with pytest.raises(NotFound):
        desk.apply("Summer")
    assert desk.summary()["problems"] == [{"parent": "Summer", "detail": "There is no discount code Summer."}]
    with pytest.raises(Conflict, match="Remove it from the cart"):
        desk.order()
    desk.codes.create({**SPEC, "code": "summer"}, "k2")
    assert desk.apply("Summer")["discount"] == -612
    assert [each["active"] for each in desk.codes.page(10, None)["data"]] == [True, False]


def test_repeated_creation_does_not_revive_a_withdrawn_code(desk: Desk) -> None:
    desk.codes.create(SPEC, "k1")
    desk.codes.withdraw("Summer")
    desk.now += 1
    assert desk.codes.create(SPEC, "k1")["active"] is False
    with pytest.raises(NotFound):
        desk.apply("Summer")


def test_repeated_withdrawal_spares_the_expired_code_of_that_name(desk: Desk) -> None:
    desk.codes.create({**SPEC, "expires_at": NOW + 10}, "k1")
    desk.apply("Summer")
    order = desk.order()
    desk.now = NOW + 10.0
    desk.codes.create(SPEC, "k2")
    for _ in range(2):
        assert desk.codes.withdraw("Summer")["id"] == "promo_k2"
    with pytest.raises(NotFound):
        desk.apply("Summer")
    desk.store.discounts.redeem(order)  # raises nothing: an order that was placed in time can still be paid


def test_code_that_never_existed_cannot_be_withdrawn(desk: Desk) -> None:
    with pytest.raises(NotFound):
        desk.codes.withdraw("Winter")


def test_list_continues_after_a_cursor_and_an_id(desk: Desk) -> None:
    for number in range(3):
        desk.store.discounts.put(made_code(f"promo_{number}", code=f"C{number}"), 1.0)
    first = desk.codes.page(2, None)
    assert ([each["code"] for each in first["data"]], first["total_count"], first["has_more"]) == (
        ["C2", "C1"],
        3,
        True,
    )
    for after in (first["next_cursor"], "promo_1"):
        last = desk.codes.page(2, after)
        assert ([each["code"] for each in last["data"]], last["next_cursor"]) == (["C0"], None)
    for wrong in ("promo_9", "c1.x"):
        with pytest.raises(InvalidRequest):
            desk.codes.page(2, wrong)


def test_provider_without_codes_says_so(desk: Desk) -> None:
    desk.codes.create(SPEC, "k1")
    bare = DiscountCodes(desk.store, None)
    with pytest.raises(Conflict, match="provider keeps no discount codes"):
        bare.create(SPEC, "k1")
    with pytest.raises(NotFound):
        bare.apply("cart_1", "Summer", 2400, "usd", None)
    bare.refresh(None)


# Checkout


def test_order_fixes_the_discount_of_its_checkout(desk: Desk) -> None:
    desk.codes.create({"code": "Ten", "amount_off": 1000, "currency": "usd", "minimum_amount": 2400}, "k1")
    desk.apply("ten")
    order = desk.order()
    assert [(line.kind, line.amount, line.parent) for line in order.all_lines] == [
        ("sku", 1000, "sku_a"),
        ("sku", 1400, "sku_b"),
        ("discount", -1000, "Ten"),
        ("tax", 0, None),
        ("shipping", 300, "rate_1"),
    ]
    assert (order.amount, order.discount, order.code) == (1700, "promo_k1", "Ten")
    stored = desk.store.orders.get(order.id)
    assert (stored.amount, stored.discount, stored.code) == (1700, "promo_k1", "Ten")


def test_checkout_with_another_code_is_another_order(desk: Desk) -> None:
    plain = desk.order()
    desk.codes.create(SPEC, "k1")
    desk.apply("Summer")
    desk.now += 1
    discounted = desk.order()
    assert discounted.id != plain.id
    assert desk.order().id == discounted.id
    desk.store.discounts.remove("cart_1")
    desk.now += 1
    assert desk.order().id == plain.id


def use_up(desk: Desk) -> None:
    desk.store.discounts.redeem(desk.only_order)


def expire(desk: Desk) -> None:
    desk.now = NOW + 10.0


def sell_out(desk: Desk) -> None:
    desk.products.short = {"sku_a"}


@pytest.mark.parametrize("change", [use_up, expire, sell_out])
def test_repeated_checkout_is_not_refused_what_its_order_has(desk: Desk, change: Callable[[Desk], None]) -> None:
    desk.codes.create({**SPEC, "max_redemptions": 1, "expires_at": NOW + 10}, "k1")
    desk.apply("Summer")
    first = desk.order()
    desk.store.orders.update(first.id, None, lambda order: setattr(order, "status", CONFIRMING))
    change(desk)
    desk.now += 1
    assert desk.order().id == first.id
    desk.store.carts.remove("cart_1", "prod_b")
    with pytest.raises(Conflict):  # another order needs another piece and redemption
        desk.order()


def test_code_held_by_the_carts_own_payment_is_no_problem(desk: Desk) -> None:
    desk.codes.create({**SPEC, "max_redemptions": 1}, "k1")
    shown = desk.apply("Summer")
    order = desk.order()
    desk.store.discounts.redeem(order)
    for status in (PAYING, CONFIRMING):
        desk.store.orders.update(order.id, None, lambda order, status=status: setattr(order, "status", status))
        assert desk.summary() == shown
        with pytest.raises(Conflict, match="used up"):
            desk.codes.amount("cart_2", "Summer", 1000, "usd")
    desk.store.orders.update(order.id, None, lambda order: setattr(order, "status", PAID))
    assert [each["parent"] for each in desk.summary()["problems"]] == ["Summer"]


def test_code_of_another_currency_is_refused(desk: Desk) -> None:
    desk.codes.create({"code": "Ten", "amount_off": 1000, "currency": "eur"}, "k1")
    with pytest.raises(Conflict, match="in eur"):
        desk.apply("Ten")
    assert desk.summary()["discount_code"] is None


def test_cart_that_fell_below_the_minimum_is_not_checked_out(desk: Desk) -> None:
    desk.codes.create({"code": "Ten", "amount_off": 1000, "currency": "usd", "minimum_amount": 2400}, "k1")
    desk.apply("Ten")
    desk.store.carts.remove("cart_1", "prod_b")
    assert [each["parent"] for each in desk.summary()["problems"]] == ["Ten"]
    with pytest.raises(Conflict, match=r"\$24.00 or more"):
        desk.order()


def test_order_between_nothing_and_the_minimum_is_refused(desk: Desk) -> None:
    desk.codes.create({"code": "All", "percent_off": 100}, "k1")
    desk.apply("All")
    desk.shipping.create = lambda *asked: {  # type: ignore[method-assign]
        "object_id": "shp", "methods": [{"id": "r", "amount": 20, "currency": "usd", "description": "M"}],
        "selected": "r",
    }  # fmt: skip
    with pytest.raises(Conflict, match="too small to be charged"):
        desk.order()


def test_emptied_cart_loses_its_code(desk: Desk) -> None:
    desk.codes.create(SPEC, "k1")
    desk.apply("Summer")
    desk.store.carts.clear("cart_1")
    assert desk.summary() == {
        "items": [], "item_count": 0, "currency": None, "subtotal": 0, "discount": 0, "discount_code": None,
        "total": 0, "problems": [],
    }  # fmt: skip


def test_summary_leaves_out_what_cannot_be_bought(desk: Desk) -> None:
    desk.codes.create(SPEC, "k1")
    desk.apply("Summer")
    del desk.products.prices["sku_b"]
    shown = desk.summary()
    assert (shown["subtotal"], shown["discount"], len(shown["items"])) == (1000, -255, 2)
    assert [each["parent"] for each in shown["problems"]] == ["sku_b"]
    desk.products.prices["sku_b"] = (700, "eur")
    shown = desk.summary()
    assert (shown["subtotal"], [each["parent"] for each in shown["problems"]]) == (1000, ["sku_b"])


def test_code_is_replaced_once_per_key(desk: Desk) -> None:
    desk.codes.create(SPEC, "k1")
    desk.codes.create({**SPEC, "code": "Winter"}, "k2")
    desk.store.discounts.apply("cart_1", "Summer", "once")
    desk.store.discounts.apply("cart_1", "Winter", "other")
    desk.store.discounts.apply("cart_1", "Summer", "once")  # a late repetition
    assert desk.store.discounts.of_cart("cart_1") == "Winter"


# Reading the provider's codes


def test_codes_of_the_dashboard_are_read(desk: Desk) -> None:
    desk.provider.codes = {"promo_1": made_code(), "promo_2": SetAside("promo_2", "?"), "promo_3": made_code("promo_3")}
    desk.codes.refresh(None)
    assert desk.apply("Summer")["discount"] == -240
    desk.provider.codes = {"promo_1": made_code(active=False), "promo_3": made_code("promo_3", active=False)}
    desk.now += 1
    desk.codes.refresh("promo_1")
    desk.codes.refresh("promo_3")
    with pytest.raises(NotFound):
        desk.apply("Summer")


def test_changed_terms_are_a_reason_to_read_only_their_codes(desk: Desk) -> None:
    codes = {f"promo_{terms}": replace(made_code(f"promo_{terms}"), terms_id=terms) for terms in ("a", "b")}
    unknown = made_code("promo_0")  # as the release before stored it
    desk.provider.codes = {**codes, "promo_a2": replace(codes["promo_a"], id="promo_a2"), "promo_0": unknown}
    desk.codes.refresh(None)
    desk.provider.found.clear()
    desk.codes.refresh_terms("a")
    assert (desk.provider.found, desk.provider.pages) == (["promo_0", "promo_a", "promo_a2"], 4)
    desk.store.discounts.withdraw("promo_0", NOW)
    desk.codes.refresh_terms("c")
    assert len(desk.provider.found) == 3


def test_list_is_read_when_a_code_cannot_be(desk: Desk) -> None:
    long_id = 500 * "a"
    desk.provider.codes = {f"promo_{n}": replace(made_code(f"promo_{n}"), terms_id=long_id) for n in (1, 2)}
    desk.codes.refresh(None)
    gone = [ProviderFailure("promo_1 cannot be read.")]

    def fails_once() -> None:
        if gone:
            raise gone.pop()

    desk.provider.asks = fails_once
    desk.provider.codes = {"promo_1": SetAside("promo_1", "?"), "promo_2": made_code("promo_2", active=False)}
    desk.now += 1
    desk.codes.refresh_terms(long_id)
    assert [each["active"] for each in desk.codes.page(10, None)["data"]] == [False, False]


def test_list_is_read_when_many_codes_share_their_terms(desk: Desk) -> None:
    many = [replace(made_code(f"promo_{number}"), terms_id="a") for number in range(MAX_SINGLE_READS + 1)]
    desk.provider.codes = {each.id: each for each in many}
    desk.codes.refresh(None)
    before = desk.provider.pages
    desk.codes.refresh_terms("a")
    assert (desk.provider.found, desk.provider.pages - before) == ([], len(many))


def test_code_that_the_provider_no_longer_lists_is_withdrawn(desk: Desk) -> None:
    desk.provider.codes = {"promo_1": made_code()}
    desk.codes.refresh(None)
    desk.provider.codes = {}
    desk.now += 1
    desk.codes.refresh(None)
    with pytest.raises(NotFound):
        desk.apply("Summer")


@pytest.mark.parametrize("later_s", [1, 100])
def test_list_read_before_a_withdrawal_does_not_undo_it(desk: Desk, later_s: int) -> None:
    desk.codes.create(SPEC, "k1")

    def withdraws() -> None:
        desk.provider.asks = lambda: None
        desk.now += later_s
        desk.codes.withdraw("Summer")

    desk.provider.asks = withdraws
    desk.codes.refresh(None)
    with pytest.raises(NotFound):
        desk.apply("Summer")


@pytest.mark.parametrize(
    ("found", "subject"), [({}, "promo_1"), ({}, None), ({"promo_1": SetAside("promo_1", "?")}, None)]
)
def test_missing_code_stays_if_it_was_read_since(desk: Desk, found: dict[str, Any], subject: str | None) -> None:
    def reads_again() -> None:
        desk.now += 100
        desk.store.discounts.put(made_code(), desk.now)

    desk.provider.codes, desk.provider.asks = {"promo_0": made_code("promo_0", code="Winter"), **found}, reads_again
    desk.codes.refresh(subject)
    desk.provider.asks = lambda: None
    assert desk.apply("Summer")["discount"] == -240


def test_code_read_by_a_wrong_clock_is_read_again(desk: Desk) -> None:
    for number in range(4):
        desk.store.discounts.put(made_code(f"promo_{number}", code=f"C{number}"), NOW + 3600)
    desk.provider.codes = {
        "promo_1": made_code("promo_1", active=False, code="C1"),
        "promo_2": SetAside("promo_2", "?"),
        "promo_3": made_code("promo_3", code="C3"),
    }
    desk.codes.refresh("promo_0")
    assert [each["active"] for each in desk.codes.page(10, None)["data"]] == [True, True, True, False]
    desk.codes.refresh(None)
    assert [each["active"] for each in desk.codes.page(10, None)["data"]] == [True, False, False, False]
    desk.provider.codes = {}
    desk.now += 1
    desk.codes.refresh(None)
    with pytest.raises(NotFound):
        desk.apply("C3")


def test_codes_stay_usable_while_the_provider_is_away(desk: Desk) -> None:
    desk.codes.create(SPEC, "k1")

    def away() -> None:
        raise Unavailable("away")

    desk.provider.asks = away
    with pytest.raises(Unavailable):
        desk.codes.refresh(None)
    assert desk.apply("Summer")["discount"] == -612


def test_reading_again_keeps_the_redemptions(desk: Desk) -> None:

    desk.provider.codes = {"promo_1": made_code(max_redemptions=1)}
    desk.codes.refresh(None)
    desk.store.discounts.redeem(with_code(made_order()))
    desk.now += 1
    desk.codes.refresh(None)
    with pytest.raises(Conflict, match="used up"):
        desk.apply("Summer")

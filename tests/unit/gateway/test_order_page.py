"""The page of an order: what it shows, to whom, and what it must never load, run or reveal."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import falcon.testing
import pytest

from cart.rules.order import FULFILLED, PAID, RETURNED, Order, Return, ShippingMethod
from cart.rules.order_token import new_token
from cart.rules.price import SKU, TAX, Line
from cart.rules.public_order import public
from chassis.settings import Settings
from contracts.errors import Conflict, NotFound, Unavailable
from gateway import limits
from gateway.api import Gateway
from gateway.pages.order import order_view
from gateway.pages.rendering import page
from tests.orders import CUSTOMER, made_order

TOKEN = new_token()
ADMIN = "a-key-of-the-shop-for-tests"
DAY_S = 86_400
PAID_AT = 1_795_294_035  # 21 November 2026
FIRST_CLASS = ShippingMethod("rate_1", 346, "usd", "First-Class Package", {"date": "2026-11-26", "type": "exact"})
LINES = (
    Line(SKU, 160, "usd", "Squeaky whale", "sku_1", 2),
    Line(TAX, 0, "usd", "Taxes (included)"),
)
VOID = {"meta", "link", "br"}


class Page(HTMLParser):
    """The text, tags and attributes of well-formed HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def order(status: str = PAID, lines: tuple[Line, ...] = LINES, **changes: Any) -> Order:
    values: dict[str, Any] = {
        "created": PAID_AT - 60,
        "shipment": "shp_1",
        "methods": (FIRST_CLASS,),
        "method_id": "rate_1",
        "charge": "ch_1",
        "times": {} if status in ("created", "canceled") else {PAID: PAID_AT},
        "token": TOKEN,
        **changes,
    }
    return made_order(1, status, lines=lines, **values)


def tracking(*statuses: str, **step: Any) -> dict[str, Any]:
    history = [
        {
            "status": status,
            "status_details": f"Details of {status}.",
            "status_date": f"2026-11-2{day}T20:27:17Z",
            "location": {"city": "Chicago", "state": "IL", "zip": "60611", "country": "US"},
            **step,
        }
        for day, status in enumerate(statuses, 2)
    ]
    return {"tracking_status": history[-1] if history else None, "tracking_history": history}


def shown(given: Order, track: dict[str, Any] | None = None) -> Page:
    return Page(page("order.html", Settings.load(), order_view(public(given, "http://shop.example"), track)))


class Services:
    """Answers the gateway's calls in place of the services; an exception is raised."""

    def __init__(self, **answers: Any) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.answers = answers

    def call(self, service: str, verb: str, args: tuple[Any, ...], *_: Any) -> Any:
        self.calls.append((f"{service}.{verb}", *args))
        answer = self.answers[verb]
        if isinstance(answer, Exception):
            raise answer
        return answer


Ask = Callable[..., falcon.testing.Result]


def gateway(services: Services, **settings: Any) -> Ask:
    app = Gateway(replace(Settings.load(), **settings), services)  # type: ignore[arg-type]

    def ask(path: str, method: str = "GET", **headers: str) -> falcon.testing.Result:
        path, _, query = path.partition("?")
        return falcon.testing.simulate_request(app, method, path, query_string=query, headers=headers)

    return ask


def found(**answers: Any) -> Services:
    return Services(**{"order": public(order(), "http://shop.example"), "tracking": tracking(), **answers})


def test_page_shows_what_was_bought_and_paid() -> None:
    text = shown(order()).text
    for part in (
        *("or_1", "21 November 2026", "Squeaky whale $0.80 each 2 $1.60", "Taxes (included) $0.00"),
        *("Shipping First-Class Package $3.46", "Total $5.06 USD", "Paid on 21 November 2026"),
        *(
            "Payment reference ch_1",
            "Chloe Taylor",
            "1092 Indian Summer Ct",
            "San Jose, CA 95122 US",
            "Expected 26 November 2026",
        ),
    ):
        assert part in text


@pytest.mark.parametrize(
    ("currency", "amount", "text"),
    [("jpy", 1234, "¥1,234"), ("kwd", 1230, "1.230 KWD"), ("isk", 150_000, "1,500.00 ISK"), ("eur", 5, "€0.05")],
)
def test_amounts_have_the_decimals_of_their_currency(currency: str, amount: int, text: str) -> None:
    given = order(lines=(Line(SKU, amount, currency, "Ball", "sku_1", 1),), currency=currency, methods=())
    assert f"Total {text}" in shown(given).text


def test_page_shows_refunds_and_what_stays_paid() -> None:
    part = Return("rf_1", 100, PAID_AT + DAY_S, "re_1")
    text = shown(order(returns=(part,), amount_returned=100)).text
    assert "Refunded 22 November 2026 \N{MINUS SIGN}$1.00" in text
    assert "Paid after refunds $4.06" in text


def test_page_says_that_a_pending_refund_is_on_its_way() -> None:
    whole = Return("rf_1", 506, PAID_AT + DAY_S, "re_1", pending=True)
    given = order(RETURNED, times={PAID: 1, RETURNED: 2}, returns=(whole,), amount_returned=506)
    text = shown(given).text
    assert "Your order is being refunded $5.06 are on their way to you." in text
    assert "Refund on its way 22 November 2026 \N{MINUS SIGN}$5.06" in text


def test_discount_is_shown_as_negative() -> None:
    given = order(lines=(*LINES, Line("discount", -50, "usd", "WELCOME")))
    assert "Discount WELCOME \N{MINUS SIGN}$0.50" in shown(given).text


def test_money_that_pays_no_order_yet_is_confirmed() -> None:
    unfilled = {**public(order("created"), ""), "payment": {"status": "taken", "failure": None}}
    assert order_view(unfilled, None)["title"] == "We have your payment"


@pytest.mark.parametrize(
    ("given", "track", "title"),
    [
        (order("created", charge=None), None, "Your order is waiting for its payment"),
        (order("confirming", waits_for="processing"), None, "Your bank is processing your payment"),
        (order("created", failure={"detail": "No funds."}), None, "No funds. You can pay again."),
        (order("canceled", charge=None), None, "Your order was canceled"),
        (order(), tracking("PRE_TRANSIT"), "Thank you for your order"),
        (order(), tracking("TRANSIT"), "Your parcel is on its way"),
        (order(FULFILLED, times={PAID: 1, FULFILLED: 2}), None, "Your parcel is on its way"),
        (order(FULFILLED, times={PAID: 1, FULFILLED: 2}), tracking("DELIVERED"), "Your parcel was delivered"),
        (order(), tracking("RETURNED"), "Your parcel is coming back to us"),
        (order(), tracking("FAILURE"), "Your parcel could not be delivered"),
        (order(RETURNED, times={PAID: 1, RETURNED: 2}), tracking("DELIVERED"), "Your order was refunded"),
        (order(shipment=None, methods=(), method_id=None), None, "Thank you for your order"),
    ],
)
def test_headline_says_where_the_order_is(given: Order, track: dict[str, Any] | None, title: str) -> None:
    assert title in shown(given, track).text


@pytest.mark.parametrize(
    ("given", "track", "steps"),
    [
        (order("created"), None, "Ordered* Paid Shipped Delivered"),
        (order(), tracking("PRE_TRANSIT"), "Ordered Paid* Shipped Delivered"),
        (order(FULFILLED, times={PAID: 1, FULFILLED: 2}), tracking("TRANSIT"), "Ordered Paid Shipped* Delivered"),
        (order(FULFILLED, times={PAID: 1, FULFILLED: 2}), tracking("DELIVERED"), "Ordered Paid Shipped Delivered*"),
        (order("canceled"), None, "Ordered Canceled*"),
        (order(RETURNED, times={PAID: 1, RETURNED: 2}), None, "Ordered Paid Refunded*"),
        (order(shipment=None, methods=(), method_id=None), None, "Ordered Paid*"),
    ],
)
def test_steps_mark_the_current_one(given: Order, track: dict[str, Any] | None, steps: str) -> None:
    view = order_view(public(given, ""), track)
    assert " ".join(each["name"] + "*" * (each["state"] == "current") for each in view["steps"]) == steps


def test_parcels_steps_are_the_newest_first() -> None:
    text = shown(order(), tracking("PRE_TRANSIT", "TRANSIT", "DELIVERED")).text
    assert "Delivered 24 November 2026, 20:27 UTC Chicago, IL, US Details of DELIVERED." in text
    assert text.index("Details of DELIVERED") < text.index("Details of TRANSIT") < text.index("Details of PRE_TRANSIT")


@pytest.mark.parametrize(
    ("states", "title", "current"),
    [
        (("DELIVERED", "DELIVERED"), "Your parcels were delivered", "Delivered"),
        (("DELIVERED", "TRANSIT"), "Your parcels are on their way", "Shipped"),
        (("PRE_TRANSIT", "DELIVERED"), "Your parcels are on their way", "Shipped"),
        (("DELIVERED", "RETURNED"), "One of your parcels is coming back to us", "Shipped"),
        (("DELIVERED", "FAILURE"), "One of your parcels could not be delivered", "Shipped"),
        (("PRE_TRANSIT", None), "Your parcels are on their way", "Shipped"),
    ],
)
def test_order_of_two_parcels_shows_both(states: tuple[str, str | None], title: str, current: str) -> None:
    numbers = ("92051", "92052")
    parcels = [{"tracking_number": each, "status": None} for each in numbers]
    parcels[1]["status"] = states[1]  # the event about the first may not be handled yet
    track = {**tracking(states[0]), "parcels": parcels}
    given = {
        **public(order(FULFILLED, times={PAID: 1, FULFILLED: 2}, tracking_number="92051", carrier="USPS"), ""),
        "labels": [{"label_url": "https://labels.example.com", "tracking_number": each} for each in numbers],
    }
    view = order_view(given, track)
    text = Page(page("order.html", Settings.load(), view)).text
    assert title in text
    assert "Tracking numbers USPS 92051" in text
    assert "USPS 92052" in text
    assert [each["name"] for each in view["steps"] if each["state"] == "current"] == [current]


def test_number_of_a_label_that_was_given_back_stays() -> None:
    given = {**public(order(tracking_number="92051", carrier="USPS"), ""), "labels": []}
    assert order_view(given, None)["parcel"]["numbers"] == [{"number": "92051", "state": None}]


def test_returned_order_shows_a_parcel_only_while_it_has_labels() -> None:
    given = public(order(RETURNED, times={PAID: 1, RETURNED: 2}, tracking_number="92051", carrier="USPS"), "")
    labels = [{"label_url": "https://labels.example.com", "tracking_number": "92051"}]
    assert order_view({**given, "labels": labels}, None)["parcel"]["numbers"] == [{"number": "92051", "state": None}]
    text = Page(page("order.html", Settings.load(), order_view({**given, "labels": []}, None))).text
    assert "Your address" in text
    for word in ("Delivery", "parcel", "92051"):
        assert word not in text


@pytest.mark.parametrize("step", [{"status": None}, {"status_date": None}, {"status_date": "soon"}, {"location": None}])
def test_incomplete_step_of_a_parcel_is_shown(step: dict[str, Any]) -> None:
    assert "Details of TRANSIT." in shown(order(), tracking("TRANSIT", **step)).text


def test_digital_order_shows_no_delivery() -> None:
    for status in (PAID, FULFILLED):
        times = {PAID: PAID_AT} if status == PAID else {PAID: PAID_AT, FULFILLED: PAID_AT + 2}
        text = shown(order(status, shipment=None, methods=(), method_id=None, times=times)).text
        assert "Thank you for your order" in text
        for word in ("Delivery", "parcel", "Shipped"):
            assert word not in text


def test_unpaid_order_is_no_receipt() -> None:
    assert "Receipt" in shown(order()).text
    for unpaid in (order("created", charge=None), order("canceled", charge=None)):
        text = shown(unpaid).text
        assert "What you ordered" in text
        assert "Receipt" not in text
        assert "Paid on" not in text


def test_receipt_names_the_seller() -> None:
    sold = "Sold by Wally's, 965 Mission St, San Francisco, CA 94103, US"
    assert sold in shown(order()).text


def test_nothing_that_was_typed_becomes_markup() -> None:
    evil = '<script>alert(1)</script><img src=x onerror="x">'
    customer = replace(CUSTOMER, name=evil, address=replace(CUSTOMER.address, line1=evil, city=evil))
    given = order(lines=(Line(SKU, 1, "usd", evil, "sku_1", 1),))
    given.customer = customer
    html = shown(given, tracking("TRANSIT", status_details=evil, location={"city": evil}))
    assert html.named("script") == html.named("img") == []
    assert html.text.count(evil) == 6


def test_page_needs_no_script_style_or_other_host() -> None:
    html = shown(order(), tracking("TRANSIT"))
    assert not {tag for tag, _ in html.tags} & {"script", "style", "img", "iframe", "form", "object", "svg"}
    assert not {name for _, attributes in html.tags for name in attributes if name == "style" or name.startswith("on")}
    urls = [value for _, each in html.tags for name, value in each.items() if name in ("href", "src")]
    assert all(re.match(r"(/pages/|mailto:)", url or "") for url in urls)
    assert not re.search(r"url\(|@import|//", Path("gateway/pages/order.css").read_text(encoding="utf-8"))


def test_page_is_structured_for_screen_readers() -> None:
    html = shown(order(), tracking("TRANSIT"))
    assert html.named("html") == [{"lang": "en"}]
    assert len(html.named("h1")) == len(html.named("main")) == 1
    ids = [each["id"] for _, each in html.tags if "id" in each]
    assert len(ids) == len(set(ids))
    assert {each["aria-labelledby"] for _, each in html.tags if "aria-labelledby" in each} <= set(ids)
    assert all("scope" in each for each in html.named("th"))
    assert [each["aria-current"] for each in html.named("li") if "aria-current" in each] == ["step"]


def test_bearer_of_the_token_gets_the_page() -> None:
    services = found()
    answer = gateway(services)(f"/orders/or_1?token={TOKEN}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "Squeaky whale" in answer.text
    assert TOKEN not in answer.text
    assert services.calls == [("cart.order", "or_1", None, TOKEN)]  # without a tracking number, no carrier is asked


def test_page_works_with_a_slash_and_foreign_parameters() -> None:
    assert gateway(found())(f"/orders/or_1/?utm_source=mail&token={TOKEN}").status_code == 200


def test_page_is_private_and_strict() -> None:
    ask = gateway(found())
    for answer in (ask(f"/orders/or_1?token={TOKEN}"), ask("/orders/or_1"), ask("/orders/or_1", "POST")):
        headers = answer.headers
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-robots-tag"] == "noindex, nofollow"
        assert headers["x-content-type-options"] == "nosniff"
        policy = dict(each.strip().split(" ", 1) for each in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == "'none'"
        assert policy["style-src"] == "'self'"
        assert "unsafe" not in headers["content-security-policy"]


def test_unknown_order_and_wrong_token_look_the_same() -> None:
    ask = gateway(found(order=NotFound("There is no order or_1.")))
    pages = [ask("/orders/or_1?token=wrong"), ask("/orders/or_2?token=wrong"), ask("/orders/or_1"), ask("/orders/a.b")]
    assert {answer.status_code for answer in pages} == {404}
    assert {answer.headers["content-type"] for answer in pages} == {"text/html; charset=utf-8"}
    assert len({answer.text for answer in pages}) == 1
    assert "We cannot find this order" in Page(pages[0].text).text
    assert "or_1" not in pages[0].text


@pytest.mark.parametrize(
    ("failure", "status"), [(Unavailable("down", {"retry_after": 3}), 503), (RuntimeError("a secret"), 500)]
)
def test_failure_of_the_shop_is_a_page(failure: Exception, status: int) -> None:
    answer = gateway(found(order=failure))(f"/orders/or_1?token={TOKEN}")
    assert answer.status_code == status
    text = Page(answer.text).text
    assert answer.headers["x-request-id"] in text
    assert "secret" not in text
    assert answer.headers.get("retry-after") == ("3" if status == 503 else None)


@pytest.mark.parametrize("failure", [Unavailable("down"), Conflict("no label"), NotFound("no shipment")])
def test_page_is_shown_without_its_carrier(failure: Exception) -> None:
    given = public(order(tracking_number="9205", carrier="USPS"), "")
    services = found(order=given, tracking=failure)
    answer = gateway(services)(f"/orders/or_1?token={TOKEN}")
    assert answer.status_code == 200
    assert "cannot be shown at the moment" in Page(answer.text).text
    assert services.calls[1] == ("shipping.tracking", "shp_1")


def test_admin_key_and_cart_do_not_open_the_page() -> None:
    ask = gateway(found(), admin_api_keys=(ADMIN,))
    assert ask("/orders/or_1", Authorization=f"Bearer {ADMIN}").status_code == 404
    assert ask("/orders/or_1", **{"Cart-Id": "cart_1"}).status_code == 404


def test_stylesheet_is_cached_and_named_by_its_content() -> None:
    ask = gateway(found())
    [link] = shown(order()).named("link")
    answer = ask(link["href"] or "")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=3600"
    assert "prefers-color-scheme: dark" in answer.text
    assert "@media print" in answer.text
    assert ask("/pages/order.html").status_code == ask("/pages/..%2Forder.css").status_code == 404


def test_guesses_of_tokens_are_limited_per_address() -> None:
    services = found(order=NotFound("There is no order or_1."))
    ask = gateway(services, rate_limits=True)
    statuses = [ask("/orders/or_1?token=wrong").status_code for _ in range(limits.ORDER_TOKEN.quota + 1)]
    assert statuses == [404] * limits.ORDER_TOKEN.quota + [429]
    services.answers["order"] = public(order(), "")
    calls = len(services.calls)
    refused = ask("/api/orders/or_1", **{"Order-Token": TOKEN})
    assert refused.status_code == 429, "otherwise a guess that is right would still be answered"
    assert refused.headers["ratelimit-policy"] == '"order-token";q=30;w=60'
    assert ask(f"/api/shipments/shp_1/label?token={TOKEN}").status_code == 429
    assert len(services.calls) == calls
    assert ask("/api/orders/or_1", **{"Cart-Id": "cart_1"}).status_code == 200


def test_right_tokens_are_not_counted_as_guesses() -> None:
    ask = gateway(found(), rate_limits=True)
    assert {ask("/orders/or_1?token=x").status_code for _ in range(limits.ORDER_TOKEN.quota + 5)} == {200}


def test_order_token_opens_order_label_tracking_and_rates() -> None:
    services = found(label={}, rates={}, check_shipment={"allowed": True})
    ask = gateway(services, cart_id_required=True, cart_id_secrets=("s" * 32,), admin_api_keys=(ADMIN,))
    for path in ("orders/or_1", "shipments/shp_1/label", "shipments/shp_1/tracking", "shipments/shp_1/rates/usd"):
        assert ask(f"/api/{path}").status_code == 400, "a cart must be named without a token"
        for answer in (ask(f"/api/{path}?token={TOKEN}"), ask(f"/api/{path}?token=no", **{"Order-Token": TOKEN})):
            assert answer.status_code == 200
    shop = {call for call in services.calls if call[0].startswith("cart.")}
    assert shop == {("cart.order", "or_1", None, TOKEN), ("cart.check_shipment", None, "shp_1", False, TOKEN)}


def test_cart_and_admin_need_no_token() -> None:
    services = found()
    ask = gateway(services, admin_api_keys=(ADMIN,))
    ask("/api/orders/or_1", **{"Cart-Id": "cart_1"})
    ask("/api/orders/or_1?token=x", **{"Cart-Id": "cart_1"})
    ask("/api/orders/or_1?token=x", Authorization=f"Bearer {ADMIN}")
    assert [call[1:] for call in services.calls] == [("or_1", "cart_1"), ("or_1", "cart_1", "x"), ("or_1", None)]


def test_tokens_appear_in_no_log(capsys: pytest.CaptureFixture[str]) -> None:
    secret = "ot_a-token-in-no-log"
    for services in (found(), found(order=NotFound("no")), found(order=Unavailable("down")), found(order=KeyError())):
        ask = gateway(services)
        ask(f"/orders/or_1?token={secret}")
        ask(f"/api/orders/or_1?token={secret}")
        ask("/api/orders/or_1", **{"Order-Token": secret})
        ask(f"/api/orders/or_1?token={secret}&token={secret}")
    printed = "".join(capsys.readouterr())
    assert printed.count('"event":"request"') == 16
    assert secret not in printed

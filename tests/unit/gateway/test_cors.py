"""CORS: which origins may call, change something, and use credentials."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chassis.settings import Settings
from gateway import cors
from launcher.place import ROOT

SHOP = "https://shop.example"
HERE = "http://localhost:3000"
SETTINGS = replace(Settings.load(ROOT / "config.yml"), cors_origins=frozenset({SHOP}), cors_localhost=False)
SANDBOX = replace(SETTINGS, cors_origins=frozenset(), cors_localhost=True)
TEST_MODE = replace(
    SETTINGS, cors_origins=frozenset(), stripe=replace(SETTINGS.stripe, live=True), stripe_publishable_key="pk_test_1"
)
CLOSED = replace(SANDBOX, cors_localhost=False)


def environ(origin: str | None, method: str = "GET", **headers: str) -> dict[str, Any]:
    """The environment of a request from a page of `origin`."""
    named = {} if origin is None else {"HTTP_ORIGIN": origin}
    return {"REQUEST_METHOD": method, **named, **headers}


@pytest.mark.parametrize(
    "origin",
    [HERE, "http://localhost", "https://localhost:8443", "http://127.0.0.1:5173", "http://[::1]:3000"],
)
def test_sandbox_admits_pages_of_this_machine(origin: str) -> None:
    found = dict(cors.headers(environ(origin), SANDBOX))
    assert found["access-control-allow-origin"] == origin
    assert "access-control-allow-credentials" not in found


@pytest.mark.parametrize(
    "origin",
    [
        *("http://localhost.evil.example", "http://evil.example:3000", "http://127.0.0.1.evil.example", "null", ""),
        *("http://localhost:3000,http://localhost:3000", "file://localhost", "http://localhost:3000/", "LOCALHOST"),
        *("http://127.0.0.10", "http://[::1"),
    ],
)
def test_sandbox_admits_no_other_page(origin: str) -> None:
    assert cors.headers(environ(origin), SANDBOX) == [("vary", "Origin")]
    assert not cors.may_change(environ(origin, "POST"), SANDBOX)


def test_listed_origin_may_use_credentials() -> None:
    found = dict(cors.headers(environ(SHOP), SETTINGS))
    assert found["access-control-allow-origin"] == SHOP
    assert found["access-control-allow-credentials"] == "true"
    assert cors.may_change(environ(SHOP, "POST", HTTP_COOKIE="cart_id=cart_1"), SETTINGS)


@pytest.mark.parametrize("origin", [HERE, "https://shop.example.evil.example", "http://shop.example", None])
def test_unlisted_origin_is_not_admitted(origin: str | None) -> None:
    assert cors.headers(environ(origin), SETTINGS) == [("vary", "Origin")]
    assert not cors.may_change(environ(origin, "POST"), SETTINGS)


def test_unlisted_page_may_not_use_the_cookie() -> None:
    assert cors.may_change(environ(HERE, "POST"), SANDBOX)
    assert not cors.may_change(environ(HERE, "POST", HTTP_COOKIE="cart_id=cart_1"), SANDBOX)


def test_without_origins_nothing_varies() -> None:
    assert cors.headers(environ(HERE), CLOSED) == []
    assert not cors.may_change(environ(HERE, "POST"), CLOSED)


def test_only_a_preflight_of_an_admitted_page_is_one() -> None:
    asks = {"HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PUT"}
    assert cors.is_preflight(environ(SHOP, "OPTIONS", **asks), SETTINGS)
    assert not cors.is_preflight(environ(SHOP, "OPTIONS"), SETTINGS)
    assert not cors.is_preflight(environ(SHOP, "POST", **asks), SETTINGS)
    assert not cors.is_preflight(environ(HERE, "OPTIONS", **asks), SETTINGS)
    assert not cors.is_preflight(environ(None, "OPTIONS", **asks), SETTINGS)


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        (f"{SHOP}/checkout?order=1", SETTINGS),
        (f"{SHOP}", SETTINGS),
        ("http://127.0.0.1:8000/checkout", SETTINGS),  # PUBLIC_URL
        (f"{HERE}/back", SANDBOX),
        ("https://localhost/back", SANDBOX),
        ("https://own.example/back", replace(CLOSED, public_url="https://own.example")),
        ("https://own.example/back", replace(CLOSED, public_url="https://own.example:443")),
        ("http://192.168.1.5:8000/back", replace(SANDBOX, public_url="http://192.168.1.5:8000")),
        ("http://localhost:8000/order/or_1", TEST_MODE),
        ("http://127.0.0.1:8000/order/or_1", TEST_MODE),
    ],
)
def test_bank_may_send_the_shopper_back_to_the_shop(url: str, settings: Settings) -> None:
    assert cors.may_return(url, settings)


@pytest.mark.parametrize(
    "url",
    [
        *("https://evil.example/", "https://shop.example.evil.example/", "https://shop.example:444/", f"{HERE}/"),
        *("http://shop.example/", "https://shop.example\\.evil.example/", "https://shop.example@evil.example/", "//x"),
    ],
)
def test_bank_may_not_send_the_shopper_elsewhere(url: str) -> None:
    assert not cors.may_return(url, SETTINGS)


@pytest.mark.parametrize("key", ["", "pk_live_1"])
def test_return_over_http_needs_the_sandbox_or_test_mode(key: str) -> None:
    live = replace(TEST_MODE, stripe_publishable_key=key)
    assert not cors.may_return("http://127.0.0.1:8000/", live)


def test_return_over_http_in_test_mode_stays_on_this_machine() -> None:
    elsewhere = replace(TEST_MODE, public_url="http://192.168.1.5:8000")
    assert not cors.may_return("http://192.168.1.5:8000/", elsewhere)
    assert not cors.may_return("https://evil.example/", elsewhere)

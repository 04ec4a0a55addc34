"""Pages of other origins in a real browser: cookies, preflights, and answers that they can read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser import FOREIGN, Tab
from tests.integration.gateway.asking import Running

CALL = """async ([url, options]) => {
    try {
        const answer = await fetch(url, options);
        return { status: answer.status, body: await answer.json(), id: answer.headers.get("X-Request-ID") };
    } catch (error) {
        return { failed: error.name };
    }
}"""
KEY = "an-admin-key-of-24-letters"


@pytest.fixture
def page_port(tmp_path: Path, serve_folder: Callable[[Path], int]) -> int:
    (tmp_path / "index.html").write_text("<!doctype html><title>A page</title>")
    return serve_folder(tmp_path)


def call(tab: Tab, gateway: Running, method: str, path: str, **options: Any) -> dict[str, Any]:
    """Let the page of a tab send a request; returns what it could read."""
    found: dict[str, Any] = tab.run(CALL, [f"http://localhost:{gateway.port}{path}", {"method": method, **options}])
    return found


def test_listed_page_uses_the_cookie(new_gateway: Callable[..., Running], tab: Tab, page_port: int) -> None:
    gateway = new_gateway(CORS_ORIGINS=f"http://localhost:{page_port}", ADMIN_API_KEYS=KEY)
    tab.page.goto(f"http://localhost:{page_port}/")
    made = call(tab, gateway, "POST", "/api/cart/", credentials="include")
    assert made["status"] == 201
    assert made["id"]
    read = call(tab, gateway, "GET", "/api/cart/", credentials="include")
    assert read["body"]["args"] == [made["body"]["cart_id"]]
    # With preflights, and with a route that needs a key.
    headers = {"Cart-Id": "cart_2", "Content-Type": "application/json", "Idempotency-Key": "k"}
    bought = call(tab, gateway, "POST", "/api/cart/prod_1/buy/", headers=headers, body='{"quantity": 1}')
    assert bought["body"]["args"][:2] == ["cart_2", "prod_1"]
    refused = call(tab, gateway, "GET", "/api/orders/", headers={"X-Request-ID": "mine"})
    assert (refused["status"], refused["body"]["request_id"]) == (401, "mine")
    admin = call(tab, gateway, "GET", "/api/orders/", headers={"Authorization": f"Bearer {KEY}"})
    assert admin["status"] == 200


def test_unlisted_page_of_this_machine_has_no_cookie(
    new_gateway: Callable[..., Running], tab: Tab, page_port: int
) -> None:
    gateway = new_gateway()
    tab.page.goto(f"http://localhost:{page_port}/")
    assert call(tab, gateway, "POST", "/api/cart/")["status"] == 201
    assert call(tab, gateway, "POST", "/api/cart/", credentials="include") == {"failed": "TypeError"}
    # The browser keeps the cookie of that answer all the same, and may not use it.
    assert call(tab, gateway, "DELETE", "/api/cart/", credentials="include") == {"failed": "TypeError"}
    assert call(tab, gateway, "GET", "/api/cart/")["body"]["args"] == ["default"]


def test_unlisted_page_of_another_host_reads_nothing(
    new_gateway: Callable[..., Running], tab: Tab, page_port: int
) -> None:
    gateway = new_gateway()
    tab.page.goto(f"http://www.{FOREIGN}:{page_port}/")
    for method in ("GET", "POST", "DELETE"):
        assert call(tab, gateway, method, "/api/cart/") == {"failed": "TypeError"}

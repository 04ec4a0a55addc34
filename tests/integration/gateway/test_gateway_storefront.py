"""The demo storefront over HTTP: its pages, its files, and what else its paths answer."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest

from gateway.static_files import STOREFRONT, content_security_policy
from tests.integration.gateway.asking import Running, assert_problem

INDEX = (STOREFRONT / "index.html").read_bytes()


@pytest.mark.parametrize("path", ["/", "/?category=toys&q=a", "/cart", "/product/prod_1?sku=sku_1", "/order/or_1/"])
def test_page_is_the_index_with_a_strict_policy(shop: Running, path: str) -> None:
    answer = shop.ask("GET", path)
    assert (answer.status, answer.raw) == (200, INDEX)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == content_security_policy()
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-cache"


def test_every_file_of_the_storefront_is_served(shop: Running) -> None:
    files = [path for path in STOREFRONT.rglob("*") if path.suffix in (".js", ".css", ".svg")]
    assert len(files) > 50
    for path in files:
        answer = shop.ask("GET", f"/storefront/{path.relative_to(STOREFRONT).as_posix()}")
        assert (answer.status, answer.raw) == (200, path.read_bytes())
        assert answer.headers["content-length"] == str(path.stat().st_size)


def test_unchanged_file_is_answered_304(shop: Running) -> None:
    first = shop.ask("GET", "/storefront/app.js")
    again = shop.ask("GET", "/storefront/app.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.raw) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert "content-length" not in again.headers


def test_head_has_the_headers_of_get(shop: Running) -> None:
    head, get = (shop.ask(verb, "/storefront/style.css") for verb in ("HEAD", "GET"))
    assert (head.status, head.raw) == (200, b"")
    for name in ("content-length", "content-type", "etag"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize("path", ["/", "/cart", "/storefront/app.js"])
def test_other_verb_is_refused(shop: Running, path: str) -> None:
    for verb in ("POST", "PUT", "DELETE"):
        refused = shop.ask(verb, path, body={})
        assert_problem(refused, 405)
        assert refused.headers["allow"] == "GET, HEAD, OPTIONS"
    options = shop.ask("OPTIONS", path)
    assert (options.status, options.headers["allow"]) == (200, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/nothing",
            "/index.html",
            "/storefront/",
            "/storefront/nothing.js",
            "/storefront/../config.yml",
            "/checkouts",
        ),
        *(f"/storefront/{quote('../config.yml', safe='')}", "/storefront/..%5cconfig.yml", "//cart", "/order/a/b"),
    ],
)
def test_unknown_path_is_the_apis_problem(shop: Running, path: str) -> None:
    assert_problem(shop.ask("GET", path), 404)


def test_storefront_can_be_switched_off(new_gateway: Callable[..., Running]) -> None:
    plain = new_gateway(STOREFRONT="false", GATEWAY_WORKERS="1")
    for path in ("/", "/storefront/app.js"):
        assert_problem(plain.ask("GET", path), 404)

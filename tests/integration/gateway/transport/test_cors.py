"""CORS over HTTP: preflights, the headers of every answer, and refusals that a page can read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.gateway.asking import Answer, assert_problem
from tests.integration.gateway.transport.local import GET, Local, answer_on, connect, exchange, running

PAGE = "https://shop.example"
ADMIN_KEY = "an-admin-key-of-24-letters"
PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Headers": "cart-id,content-type"}


@pytest.fixture(scope="module")
def shop() -> Iterator[Local]:
    """A gateway that lists one origin, needs admin keys and limits its callers."""
    listed = frozenset({PAGE})
    with running(
        cors_origins=listed, cors_localhost=False, admin_api_keys=(ADMIN_KEY,), rate_limits=True, receive_timeout=1.0
    ) as local:
        yield local


def preflight(shop: Local, path: str, method: str, **headers: str) -> Answer:
    return shop.ask("OPTIONS", path, headers={**PREFLIGHT, "Access-Control-Request-Method": method, **headers})


@pytest.mark.parametrize(
    ("path", "verbs"),
    [
        ("/api/cart/prod_1/", "PUT, DELETE, OPTIONS"),
        ("/api/cart/prod_1/buy", "POST, OPTIONS"),
        ("/api/products/", "GET, HEAD, POST, OPTIONS"),
    ],
)
def test_preflight_names_the_verbs_of_the_route(shop: Local, path: str, verbs: str) -> None:
    answer = preflight(shop, path, "PUT")
    assert answer.status == 200
    assert answer.raw == b""
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-allow-methods"] == verbs
    assert answer.headers["vary"] == "Origin"
    assert answer.headers["access-control-max-age"] == "7200"
    allowed = answer.headers["access-control-allow-headers"]
    assert allowed == (
        "Cart-Id, Order-Token, Idempotency-Key, X-Request-ID, Content-Type, Authorization, If-None-Match, Prefer"
    )


def test_preflight_needs_no_admin_key_and_opens_nothing(shop: Local) -> None:
    assert preflight(shop, "/api/orders/", "GET").status == 200
    body = {"to_email": "a@example.com", "subject": "s", "content": "c"}
    for key in ({}, {"Authorization": "Bearer wrong-wrong-wrong-wrong-wrong"}):
        answer = shop.ask("POST", "/api/notifications/email/", body, {"Origin": PAGE, **key})
        assert_problem(answer, 403 if key else 401)
        assert answer.headers["access-control-allow-origin"] == PAGE
    assert not any(call[1] == "send_email" for call in shop.services.calls)


def test_preflight_counts_against_no_limit(shop: Local) -> None:
    def left() -> int:
        answer = shop.ask("GET", "/api/products/prod_1/", headers={"Origin": PAGE})
        return int(answer.headers["ratelimit"].partition("r=")[2].partition(";")[0])

    before = left()
    for _ in range(20):
        answer = preflight(shop, "/api/cart/", "POST")
        assert "ratelimit" not in answer.headers
    assert left() >= before - 2
    for _ in range(20):
        preflight(shop, "/api/cart/", "POST", Origin="https://other.example")
    assert left() <= before - 20


def test_preflight_of_another_origin_admits_nothing(shop: Local) -> None:
    answer = preflight(shop, "/api/cart/", "POST", Origin="https://other.example")
    assert answer.headers["vary"] == "Origin"
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_preflight_of_an_unknown_path_is_404(shop: Local) -> None:
    assert_problem(preflight(shop, "/api/nothing/", "GET"), 404)


def test_page_of_a_listed_origin_may_change_and_read(shop: Local) -> None:
    answer = shop.ask("POST", "/api/cart/", headers={"Origin": PAGE, "Sec-Fetch-Site": "cross-site"})
    assert answer.status == 201
    assert answer.headers["access-control-allow-origin"] == PAGE
    exposed = "X-Request-ID, Idempotent-Replayed, Retry-After, Link, ETag, Location, RateLimit, RateLimit-Policy"
    assert answer.headers["access-control-expose-headers"] == exposed
    assert_problem(shop.ask("POST", "/api/cart/", headers={"Origin": "https://other.example"}), 403)


def test_answer_without_an_origin_varies_by_it(shop: Local) -> None:
    assert shop.ask("GET", "/api/products/prod_1/").headers["vary"] == "Origin"


HEAD = GET + b"Host: shop\r\nOrigin: " + PAGE.encode() + b"\r\n"
BODY = b"POST /api/cart/checkout/ HTTP/1.1\r\nHost: shop\r\nOrigin: " + PAGE.encode() + b"\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (HEAD + b"X-Long: " + b"x" * 20_000 + b"\r\n\r\n", 431),
        (HEAD + b"".join(b"X-%d: 1\r\n" % place for place in range(120)) + b"\r\n", 431),
        (HEAD + b"Host: twice\r\n\r\n", 400),
        (HEAD + b"Content-Length: many\r\n\r\n", 400),
        (BODY + b"Content-Length: 70000\r\n\r\n", 413),
        (BODY + b"Transfer-Encoding: chunked\r\n\r\nno\r\n", 400),
        (BODY + b"Content-Type: text/csv\r\nContent-Length: 1\r\n\r\nx", 415),
        (BODY + b"Content-Length: 100\r\n\r\n{", 408),
        (HEAD + b"X-More: 1\r\n", 408),
        (BODY.replace(b"/api/cart/checkout/", b"/health/live/") + b"\r\n", 405),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
def test_page_can_read_every_refusal(shop: Local, sent: bytes, status: int) -> None:
    answer = exchange(shop, sent)
    assert_problem(answer, status)
    assert answer.headers["access-control-allow-origin"] == PAGE


def test_refusal_of_the_next_request_has_its_own_origin(shop: Local) -> None:
    with connect(shop) as connection:
        connection.sendall(HEAD + b"\r\n")
        assert "access-control-allow-origin" in answer_on(connection).headers
        connection.sendall(b"no HTTP\r\n\r\n")
        refused = answer_on(connection)
    assert_problem(refused, 400)
    assert "access-control-allow-origin" not in refused.headers

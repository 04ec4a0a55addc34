"""Every answer has the documented form: failures, problem bodies, request ids and verbs, without internal details."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from nameko.exceptions import IncorrectSignature, MethodNotFound, RemoteError

from contracts import errors as failures
from contracts.errors import ShopError
from gateway import errors
from tests.integration.gateway.asking import HEX32, Running, assert_problem
from tests.integration.gateway.routes import CHANGES, CHECKOUT, ROUTES, Route

GET_ROUTES = [route for route in ROUTES if route.method == "GET"]
FAILING = [route for route in ROUTES if "_1" in route.path]


def _is_kind(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, ShopError) and thing is not ShopError


@pytest.mark.parametrize(
    ("kind", "status", "name", "retry_after", "facts"),
    [
        ("InvalidRequest", 400, "invalid-request", None, {"errors": {"quality": ["too many"]}}),
        (
            "PaymentDeclined",
            402,
            "payment-declined",
            None,
            {"code": "card_declined", "decline_code": "insufficient_funds"},
        ),
        (
            "PaymentActionRequired",
            402,
            "payment-action-required",
            None,
            {"client_secret": "pi_1_secret_2", "next_action": {"type": "redirect_to_url"}},
        ),
        ("NotFound", 404, "not-found", None, {}),
        ("Conflict", 409, "conflict", None, {}),
        ("KeyInProgress", 409, "idempotency-key-in-progress", "1", {}),
        ("KeyReused", 422, "idempotency-key-reused", None, {"errors": {"Idempotency-Key": ["was used"]}}),
        ("Refused", 422, "refused", None, {"errors": {"address": ["unknown"]}}),
        ("ProviderFailure", 502, "provider-failure", "5", {}),
        ("Unavailable", 503, "unavailable", "7", {}),
        ("OutcomeUnknown", 504, "outcome-unknown", "1", {}),
        ("DeadlineExceeded", 504, "deadline-exceeded", "2", {}),
    ],
)
def test_each_kind_of_failure_has_its_answer(
    shop: Running, kind: str, status: int, name: str, retry_after: str | None, facts: dict[str, Any]
) -> None:
    answer = shop.ask("GET", f"/api/products/fail-{kind}/")
    problem = assert_problem(answer, status)
    assert problem["type"] == f"urn:shop:problem:{name}"
    assert problem["detail"] == f"This is {kind}."
    assert answer.headers.get("retry-after") == retry_after
    standard = {"type", "title", "status", "detail", "request_id"}
    assert {key: value for key, value in problem.items() if key not in standard} == facts


@pytest.mark.parametrize("route", FAILING, ids=str)
def test_every_route_reports_a_failure(shop: Running, route: Route) -> None:
    path = (
        route.path.replace("prod_1", "fail-Conflict").replace("or_1", "fail-Conflict").replace("shp_1", "fail-Conflict")
    )
    assert_problem(shop.ask(route.method, path, route.body), 409)


def test_bug_is_logged_and_hidden_from_the_caller(shop: Running) -> None:
    answer = shop.ask("GET", "/api/products/fail-bug/", headers={"X-Request-ID": "bug.1"})
    problem = assert_problem(answer, 500)
    assert set(problem) == {"type", "title", "status", "detail", "request_id"}
    assert b"secret" not in answer.raw
    assert b"KeyError" not in answer.raw
    assert b"raceback" not in answer.raw
    assert "the secret of the service" in shop.logged("bug.1", "bug")["exception"]


@pytest.mark.parametrize("spelled", ["quality", "quantity"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/api/cart/{}/buy/"), ("PUT", "/api/cart/{}/")])
def test_error_names_quantity_as_the_caller_spelled_it(shop: Running, method: str, path: str, spelled: str) -> None:
    problem = assert_problem(shop.ask(method, path.format("fail-InvalidRequest"), {spelled: 5}), 400)
    assert problem["errors"] == {spelled: ["too many"]}


@pytest.mark.parametrize(
    "error",
    [
        MethodNotFound("sing"),
        IncorrectSignature("x"),
        RemoteError("KeyError", "secret"),
        ShopError("x"),
        RecursionError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_unexpected_error_is_answered_500(error: Exception) -> None:
    answer = errors.answer(error, "r1")
    assert (answer.status, b"secret" in answer.body) == (500, False)


@pytest.mark.parametrize("kind", [kind for kind in vars(failures).values() if _is_kind(kind)])
def test_every_shop_error_has_a_status(kind: type[ShopError]) -> None:
    assert kind in errors.KINDS


def test_late_call_fails_at_its_deadline(short_deadline_shop: Running) -> None:
    answer = short_deadline_shop.ask("GET", "/api/products/hang-40/")
    assert_problem(answer, 504)
    assert 1400 < short_deadline_shop.logged(answer.headers["x-request-id"])["ms"] < 30_000  # RPC_TIMEOUT is 1.5 s


def test_checkout_and_payment_have_longer_deadlines(short_deadline_shop: Running) -> None:
    with ThreadPoolExecutor(4) as pool:
        # CHECKOUT_TIMEOUT is 4 s, PAY_TIMEOUT 9 s.
        checkout = pool.submit(short_deadline_shop.ask, "POST", "/api/cart/checkout/", {**CHECKOUT, "name": "hang-1.6"})
        late_checkout = pool.submit(
            short_deadline_shop.ask, "POST", "/api/cart/checkout/", {**CHECKOUT, "name": "hang-40"}
        )
        payment = pool.submit(
            short_deadline_shop.ask, "POST", "/api/cart/paid/", {"order_id": "hang-5", "cart": "tok_visa"}
        )
        late_payment = pool.submit(
            short_deadline_shop.ask, "POST", "/api/cart/paid/", {"order_id": "hang-40", "cart": "tok_visa"}
        )
        assert checkout.result().status == 201
        assert payment.result().status == 200
        assert_problem(late_checkout.result(), 504)
        assert_problem(late_payment.result(), 504)


UNKNOWN_PATHS = [
    "/",
    "/api",
    "/api/",
    "/api/product/",
    "/api/products//",
    "//api/products/",
    "/api//products/",
    "/api/products/prod_1//",
    "/api/products/prod_1/prices/",
    "/api/cart/prod_1/sell/",
    "/api/shipments/shp_1/",
    "/api/shipments/shp_1/rates/",
    "/API/products/",
    "/api/products/prod_1/.",
    "/v1/api/products/",
    "/vEVIL/api/products/prod_1/",
    "/favicon.ico",
    "/metrics",
    "/openapi.yaml",
    "/doc/",
    "/" + "x" * 5000,
    "/%00",
    "/%FF",
]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
@pytest.mark.parametrize("path", UNKNOWN_PATHS, ids=lambda path: path[:40])
def test_unknown_path_is_answered_404(shop: Running, method: str, path: str) -> None:
    answer = shop.ask(method, path)
    assert_problem(answer, 404)
    assert b"documentation" not in answer.raw


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND", "BREW"])
@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES} | {"/health/live/", "/health/ready/"}))
def test_unsupported_verb_is_answered_with_allowed_verbs(shop: Running, path: str, method: str) -> None:
    verbs = {route.method for route in ROUTES if route.path == path} or {"GET"}
    if method in verbs or (method == "CONNECT"):
        return  # tested elsewhere; CONNECT never reaches an application
    answer = shop.ask(method, path, {} if method != "TRACE" else None)
    assert_problem(answer, 405)
    allowed = {verb.strip() for verb in answer.headers["allow"].split(",")}
    assert allowed == verbs | {"OPTIONS"} | ({"HEAD"} if "GET" in verbs else set())


@pytest.mark.parametrize("route", [*GET_ROUTES, Route("GET", "/health/live/", "", ())], ids=str)
def test_head_is_get_without_its_body(shop: Running, route: Route) -> None:
    head, get = shop.ask("HEAD", route.path), shop.ask("GET", route.path)
    assert head.status == get.status == 200
    assert head.raw == b""
    for name in ("content-type", "content-length"):
        assert head.headers[name] == get.headers[name]
    assert head.headers["x-request-id"]


def test_head_of_unknown_path_is_404_without_a_body(shop: Running) -> None:
    answer = shop.ask("HEAD", "/nowhere/")
    assert (answer.status, answer.raw) == (404, b"")


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_options_lists_the_verbs_of_a_route(shop: Running, route: Route) -> None:
    answer = shop.ask("OPTIONS", route.path)
    assert answer.status == 200
    assert route.method in answer.headers["allow"]
    assert answer.headers["allow"] == shop.ask("BREW", route.path).headers["allow"]
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("valid", ["a", "A-z.0_9", "x" * 128])
def test_valid_request_id_is_kept(shop: Running, valid: str) -> None:
    answer = shop.ask("GET", "/api/products/prod_1/", headers={"X-Request-ID": valid})
    assert answer.headers["x-request-id"] == valid
    assert answer.json["request_id"] == valid
    assert shop.logged(valid)["status"] == 200


@pytest.mark.parametrize("invalid", ["", " ", "x" * 129, "a b", "a/b", "a;b", "ü", "a,b", '"'])
def test_invalid_request_id_is_replaced(shop: Running, invalid: str) -> None:
    answer = shop.ask("GET", "/api/products/prod_1/", headers={"X-Request-ID": invalid.encode("latin-1")})  # type: ignore[dict-item]
    assert HEX32.fullmatch(answer.headers["x-request-id"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/health/live/"),
        ("GET", "/nowhere/"),
        ("PATCH", "/api/cart/"),
        ("POST", "/api/products/"),
        ("GET", "/health/ready/"),
    ],
)
def test_every_answer_has_a_request_id(shop: Running, method: str, path: str) -> None:
    assert shop.ask(method, path, headers={"X-Request-ID": "mine"}).headers["x-request-id"] == "mine"


def test_request_is_logged_once_without_secrets(shop: Running) -> None:
    secrets = {"Authorization": "Bearer s3cret-key", "Cart-Id": "cart-s3cret", "Cookie": "cart_id=s3cret"}
    body = {"order_id": "or_s3cret", "cart": "tok_s3cret"}
    answer = shop.ask("POST", "/api/cart/paid/?email=s3cret", body, {**secrets, "X-Request-ID": "logged.1"})
    assert answer.status == 200
    line = shop.logged("logged.1")
    assert line["service"] == "gateway"
    assert (line["method"], line["path"], line["status"]) == ("POST", "/api/cart/paid/", 200)
    assert line["ms"] > 0
    assert "s3cret" not in shop.log.read_text()


def test_an_answer_is_utf_8(shop: Running) -> None:
    answer = shop.ask("PUT", "/api/products/prod_1/", {**CHANGES, "name": "Wällé 🦴"})
    assert "Wällé 🦴".encode() in answer.raw


def test_liveness_answers_ok(shop: Running) -> None:
    assert shop.ask("GET", "/health/live").json == {"status": "ok"}

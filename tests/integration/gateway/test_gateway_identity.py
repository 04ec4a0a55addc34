"""The gateway finds the cart of a request and protects the admin routes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import falcon.testing
import pytest

from chassis.rpc.client import RpcClient
from chassis.settings import Settings
from gateway.api import Gateway
from tests.integration.gateway.asking import ROOT, Running, assert_problem, signed
from tests.integration.gateway.conftest import Doubles
from tests.integration.gateway.routes import ROUTES, Route

# Expressions, because no file may contain a literal that looks like a secret.
SECRETS = ("first" * 8, "second" * 8)
SECOND = "the-second-key-kept-as-digest"
KEYS = ("the-first-key-of-this-shop", f"sha256:{hashlib.sha256(SECOND.encode()).hexdigest()}")
ADMIN_ROUTES = [route for route in ROUTES if route.admin]
PUBLIC_ROUTES = [route for route in ROUTES if not route.admin]
[NEW_CART] = [route for route in ROUTES if str(route) == "POST /api/cart/"]
CART_ROUTES = [route for route in ROUTES if "default" in route.args]

Ask = Callable[..., falcon.testing.Result]


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings.load(ROOT / "config.yml")


@pytest.fixture
def app(settings: Settings, client: RpcClient, doubles: Doubles) -> Callable[..., Ask]:
    """A function that creates a gateway in this process, with other settings, on the doubles of the services."""

    def make(**other: Any) -> Ask:
        gateway = Gateway(replace(settings, **{"cart_id_secrets": SECRETS, **other}), client)

        def ask(route: Route, **headers: str) -> falcon.testing.Result:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            return falcon.testing.simulate_request(gateway, route.method, route.path, json=route.body, headers=sent)

        return ask

    return make


def cart_of(result: falcon.testing.Result) -> str | None:
    """Return the cart in the call of the service."""
    call = result.json
    return call["args"][1] if call["verb"] == "order" else call["args"][0]


@pytest.mark.parametrize("route", CART_ROUTES, ids=str)
def test_the_header_names_the_cart(app: Callable[..., Ask], route: Route) -> None:
    assert cart_of(app()(route, Cart_Id="cart_A.b-9")) == "cart_A.b-9"


@pytest.mark.parametrize("route", CART_ROUTES, ids=str)
def test_the_cookie_names_the_cart_when_no_header_does(app: Callable[..., Ask], route: Route) -> None:
    ask = app()
    assert cart_of(ask(route, Cookie="a=1; cart_id=cart_b; c=2")) == "cart_b"
    assert cart_of(ask(route, Cookie='x; =; cart_id="cart_b"')) == "cart_b"
    assert cart_of(ask(route, Cookie="cart_id=cart_b", Cart_Id="cart_a")) == "cart_a"
    assert cart_of(ask(route, Cookie="my_cart_id=cart_b")) == "default"


@pytest.mark.parametrize("route", CART_ROUTES, ids=str)
@pytest.mark.parametrize("bad", ["", "a b", "../x", "x" * 101, "-x", "a,b", "a/b", "ü", "a\x00"])
def test_malformed_cart_id_is_refused(app: Callable[..., Ask], route: Route, bad: str) -> None:
    result = app()(route, Cart_Id=bad)
    assert result.status_code == 400
    assert set(result.json["errors"]) == {"Cart-Id"}


@pytest.mark.parametrize("route", CART_ROUTES, ids=str)
def test_cart_id_is_required_when_configured(app: Callable[..., Ask], route: Route) -> None:
    ask = app(cart_id_required=True)
    assert set(ask(route).json["errors"]) == {"Cart-Id"}
    issued = signed("cart_a", SECRETS[0])
    assert cart_of(ask(route, Cart_Id=issued)) == issued
    assert cart_of(ask(route, Cookie=f"cart_id={issued}")) == issued
    assert ask(route, Cookie=f"cart_id={issued}", Cart_Id="alice").status_code == 400  # the header wins


def forged(issued: str) -> list[str]:
    """Return ids that no shop issued, derived from an issued one."""
    unsigned, _, signature = issued.rpartition(".")
    other = "A" if signature[-1] != "A" else "Q"
    stranger = signed("cart_a", "stranger" * 8).rpartition(".")[2]
    return [
        *("alice", "default", unsigned, f"{unsigned}.", f"{unsigned}.{signature[:-1]}", f"{unsigned}.{signature}x"),
        *(f"{unsigned}.{signature[:-1]}{other}", f"cart_b.{signature}", f"{unsigned}.{stranger}", f"x.{issued}"),
    ]


@pytest.mark.parametrize("bad", forged(signed("cart_a", SECRETS[0])))
def test_unissued_cart_id_is_refused_when_required(app: Callable[..., Ask], bad: str) -> None:
    result = app(cart_id_required=True)(CART_ROUTES[0], Cart_Id=bad)
    assert result.status_code == 400
    assert set(result.json["errors"]) == {"Cart-Id"}
    assert cart_of(app()(CART_ROUTES[0], Cart_Id=bad.removesuffix("."))) == bad.removesuffix(
        "."
    )  # the sandbox accepts any


def test_second_secret_verifies_and_first_signs(app: Callable[..., Ask]) -> None:
    old = signed("cart_a", SECRETS[1])
    assert cart_of(app(cart_id_required=True)(CART_ROUTES[0], Cart_Id=old)) == old
    alone = app(cart_id_required=True, cart_id_secrets=SECRETS[:1])
    assert alone(CART_ROUTES[0], Cart_Id=old).status_code == 400
    create = next(route for route in ROUTES if route.call == "cart.create")
    made = app()(create)
    assert made.json["cart_id"] == signed("cart_stub", SECRETS[0])
    assert made.headers["set-cookie"].startswith(f"cart_id={made.json['cart_id']};")


def test_required_cart_ids_need_a_secret(settings: Settings, client: RpcClient) -> None:
    with pytest.raises(ValueError, match="CART_ID_SECRET"):
        Gateway(replace(settings, cart_id_required=True, cart_id_secrets=()), client)


ROUTES_WITHOUT_CART = [
    route for route in PUBLIC_ROUTES if route not in CART_ROUTES and not route.call.startswith("shipping.")
]


@pytest.mark.parametrize("route", ROUTES_WITHOUT_CART, ids=str)
def test_route_without_cart_needs_no_cart_id(app: Callable[..., Ask], route: Route) -> None:
    assert app(cart_id_required=True)(route).status_code == route.status


def test_new_cart_sets_a_cookie(shop: Running) -> None:
    answer = shop.ask("POST", "/api/cart/")
    assert answer.status == 201
    assert answer.json["cart_id"] == "cart_stub"
    assert answer.headers["set-cookie"] == "cart_id=cart_stub; Path=/; HttpOnly; SameSite=Lax"


@pytest.mark.parametrize("headers", [{"X-Forwarded-Proto": "https"}, {"Forwarded": "for=1.2.3.4;proto=https"}], ids=str)
def test_cookie_is_secure_behind_a_trusted_proxy_only(
    app: Callable[..., Ask], shop: Running, headers: dict[str, str]
) -> None:
    ask = app(trusted_proxies=(ip_network("127.0.0.0/8"),))
    assert (
        ask(NEW_CART, **{name.replace("-", "_"): value for name, value in headers.items()})
        .headers["set-cookie"]
        .endswith("; Secure")
    )
    assert not shop.ask("POST", "/api/cart/", headers=headers).headers["set-cookie"].endswith("; Secure")


@pytest.mark.parametrize("route", ADMIN_ROUTES, ids=str)
def test_an_admin_route_needs_a_key(app: Callable[..., Ask], route: Route) -> None:
    ask = app(admin_api_keys=KEYS)
    for headers in ({}, {"Authorization": "Basic dTpw"}, {"Authorization": "Bearer "}, {"Authorization": KEYS[0]}):
        result = ask(route, **headers)
        assert result.status_code == 401
        assert result.headers["content-type"] == "application/problem+json"
        assert result.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("route", ADMIN_ROUTES, ids=str)
@pytest.mark.parametrize(
    "key", ["wrong", KEYS[0] + "x", KEYS[0][:-1], KEYS[0].upper(), ",".join(KEYS), KEYS[1], "\xff"]
)
def test_an_admin_route_refuses_a_wrong_key(app: Callable[..., Ask], route: Route, key: str) -> None:
    assert app(admin_api_keys=KEYS)(route, Authorization=f"Bearer {key}").status_code == 403


@pytest.mark.parametrize("route", ADMIN_ROUTES, ids=str)
def test_an_admin_route_takes_each_of_the_keys(app: Callable[..., Ask], route: Route) -> None:
    ask = app(admin_api_keys=KEYS)
    assert ask(route, Authorization=f"Bearer {KEYS[0]}").status_code == route.status
    assert ask(route, Authorization=f"bearer   {SECOND}").status_code == route.status


@pytest.mark.parametrize("route", PUBLIC_ROUTES, ids=str)
def test_a_public_route_needs_no_key(app: Callable[..., Ask], route: Route) -> None:
    ask = app(admin_api_keys=KEYS)
    assert ask(route).status_code == route.status
    assert ask(route, Authorization="Bearer wrong").status_code == route.status


@pytest.mark.parametrize("route", ADMIN_ROUTES, ids=str)
def test_an_admin_route_is_open_on_the_sandbox_without_keys(app: Callable[..., Ask], route: Route) -> None:
    assert app()(route).status_code == route.status


@pytest.mark.parametrize("route", [route for route in ADMIN_ROUTES if route.takes_body], ids=str)
def test_admin_key_is_checked_before_the_body(app: Callable[..., Ask], route: Route) -> None:
    assert app(admin_api_keys=KEYS)(replace(route, body=["wrong"])).status_code == 401


def test_an_admin_reads_every_order_and_a_shopper_their_own(app: Callable[..., Ask]) -> None:
    route = next(route for route in ROUTES if route.call == "cart.order")
    ask = app(admin_api_keys=KEYS, cart_id_required=True)
    assert cart_of(ask(route, Authorization=f"Bearer {KEYS[0]}")) is None
    issued = signed("cart_a", SECRETS[0])
    assert cart_of(ask(route, Authorization="Bearer wrong", Cart_Id=issued)) == issued
    assert ask(route, Authorization="Bearer wrong").status_code == 400
    assert cart_of(app()(route, Authorization="Bearer anything")) == "default"


def test_an_admin_cancels_any_order_and_a_shopper_their_own(app: Callable[..., Ask]) -> None:
    route = next(route for route in ROUTES if route.call == "cart.cancel")
    ask = app(admin_api_keys=KEYS, cart_id_required=True)
    assert cart_of(ask(route, Authorization=f"Bearer {KEYS[0]}", Idempotency_Key="k")) is None
    issued = signed("cart_a", SECRETS[0])
    assert cart_of(ask(route, Authorization="Bearer wrong", Cart_Id=issued, Idempotency_Key="k")) == issued
    assert ask(route, Authorization="Bearer wrong").status_code == 400


@pytest.mark.parametrize("name", ["rates/usd", "label", "tracking"])
def test_shipment_is_shown_only_to_its_cart_and_admins(app: Callable[..., Ask], name: str) -> None:
    def read(ask: Ask, **headers: str) -> int:
        # The double of `cart.check_shipment` fails for a cart with the name `fail-NotFound`.
        return ask(Route("GET", f"/api/shipments/shp_1/{name}/", "", ()), **headers).status_code

    ask = app(admin_api_keys=KEYS)
    assert read(ask, Cart_Id="cart_a") == 200
    assert read(ask, Cart_Id="fail-NotFound") == 404
    assert read(ask, Cart_Id="fail-NotFound", Authorization="Bearer wrong") == 404
    assert read(ask, Cart_Id="fail-NotFound", Authorization=f"Bearer {KEYS[0]}") == 200
    assert read(app(), Cart_Id="fail-NotFound") == 404
    assert read(app(admin_api_keys=KEYS, cart_id_required=True)) == 400


def test_a_token_needs_no_cart(app: Callable[..., Ask]) -> None:
    route = next(route for route in ROUTES if route.call == "cart.order")
    ask, issued = app(cart_id_required=True), signed("cart_a", SECRETS[0])
    assert ask(route, Order_Token="ot_1").json["args"] == ["or_1", None, "ot_1"]
    assert ask(route, Order_Token="ot_1", Cart_Id="not issued").json["args"] == ["or_1", None, "ot_1"]
    assert ask(route, Order_Token="ot_1", Cart_Id=issued).json["args"] == ["or_1", issued, "ot_1"]
    assert ask(route, Order_Token="", Cart_Id=issued).json["args"] == ["or_1", issued]


def test_tokens_are_in_no_log_of_a_running_gateway(shop: Running) -> None:
    token = "ot_in-no-log"
    answers = [
        shop.ask("GET", f"/api/orders/or_1?token={token}"),
        shop.ask("GET", "/api/shipments/shp_1/label", headers={"Order-Token": token}),
        shop.ask("GET", f"/orders/fail-NotFound?token={token}"),
        shop.ask("GET", f"/orders/fail-Unavailable?token={token}"),
        shop.ask("POST", f"/orders/or_1?token={token}"),
        shop.ask("GET", f"/orders/{'x' * 9000}?token={token}"),
    ]
    assert [answer.status for answer in answers] == [200, 200, 404, 503, 405, 414]
    for answer in answers:
        assert shop.logged(answer.headers["x-request-id"])["status"] == answer.status
    assert token not in shop.log.read_text()


def test_real_money_needs_admin_keys(settings: Settings, client: RpcClient) -> None:
    live = replace(
        settings,
        stripe=replace(settings.stripe, live=True, key="real"),
        stripe_webhook_secret="",
        amqp_uri="amqp://u:word@broker//",
    )
    with pytest.raises(ValueError, match="ADMIN_API_KEYS"):
        Gateway(live, client)
    Gateway(replace(live, admin_api_keys=KEYS), client)


def test_gateway_reads_its_keys_from_the_environment(new_gateway: Callable[..., Running]) -> None:
    keys = ("one-of-the-keys-of-this-shop", "two-of-the-keys-of-this-shop")
    running = new_gateway(
        ADMIN_API_KEYS=", ".join(keys), CART_ID_REQUIRED="true", CART_ID_SECRET=SECRETS[0], GATEWAY_WORKERS="1"
    )
    assert_problem(running.ask("GET", "/api/orders/"), 401)
    assert_problem(
        running.ask("GET", "/api/orders/", headers={"Authorization": "Bearer one-of-the-keys-of-another"}), 403
    )
    assert running.ask("GET", "/api/orders/", headers={"Authorization": f"Bearer {keys[1]}"}).status == 200
    assert_problem(running.ask("GET", "/api/cart/"), 400)

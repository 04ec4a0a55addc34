"""Which cart a request is about, and who may use the admin routes."""

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
from tests.integration.gateway.asking import ROOT, Running, is_problem, signed
from tests.integration.gateway.conftest import Doubles
from tests.integration.gateway.routes import ROUTES, Route

# Built here: no file may contain what looks like a secret.
SECRETS = ("first" * 8, "second" * 8)
SECOND = "the-second-key-kept-as-digest"
KEYS = ("the-first-key-of-this-shop", f"sha256:{hashlib.sha256(SECOND.encode()).hexdigest()}")
ADMIN = [route for route in ROUTES if route.admin]
PUBLIC = [route for route in ROUTES if not route.admin]
[NEW_CART] = [route for route in ROUTES if str(route) == "POST /api/cart/"]
OF_A_CART = [route for route in ROUTES if "default" in route.args]

Ask = Callable[..., falcon.testing.Result]


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings.load(ROOT / "config.yml")


@pytest.fixture
def app(settings: Settings, client: RpcClient, doubles: Doubles) -> Callable[..., Ask]:
    """Makes the application with other settings, in this process, on the real services' doubles."""

    def make(**other: Any) -> Ask:
        gateway = Gateway(replace(settings, **{"cart_id_secrets": SECRETS, **other}), client)

        def ask(route: Route, **headers: str) -> falcon.testing.Result:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            return falcon.testing.simulate_request(gateway, route.method, route.path, json=route.body, headers=sent)

        return ask

    return make


def cart_of(result: falcon.testing.Result) -> str | None:
    """The cart that the service was asked about."""
    told = result.json
    return told["args"][1] if told["verb"] == "order" else told["args"][0]


@pytest.mark.parametrize("route", OF_A_CART, ids=str)
def test_the_header_names_the_cart(app: Callable[..., Ask], route: Route) -> None:
    assert cart_of(app()(route, Cart_Id="cart_A.b-9")) == "cart_A.b-9"


@pytest.mark.parametrize("route", OF_A_CART, ids=str)
def test_the_cookie_names_the_cart_when_no_header_does(app: Callable[..., Ask], route: Route) -> None:
    ask = app()
    assert cart_of(ask(route, Cookie="a=1; cart_id=cart_b; c=2")) == "cart_b"
    assert cart_of(ask(route, Cookie='x; =; cart_id="cart_b"')) == "cart_b"
    assert cart_of(ask(route, Cookie="cart_id=cart_b", Cart_Id="cart_a")) == "cart_a"
    assert cart_of(ask(route, Cookie="my_cart_id=cart_b")) == "default"


@pytest.mark.parametrize("route", OF_A_CART, ids=str)
@pytest.mark.parametrize("bad", ["", "a b", "../x", "x" * 101, "-x", "a,b", "a/b", "ü", "a\x00"])
def test_what_cannot_be_a_cart_is_refused(app: Callable[..., Ask], route: Route, bad: str) -> None:
    result = app()(route, Cart_Id=bad)
    assert result.status_code == 400
    assert set(result.json["errors"]) == {"Cart-Id"}


@pytest.mark.parametrize("route", OF_A_CART, ids=str)
def test_a_cart_must_be_named_when_the_shop_says_so(app: Callable[..., Ask], route: Route) -> None:
    ask = app(cart_id_required=True)
    assert set(ask(route).json["errors"]) == {"Cart-Id"}
    issued = signed("cart_a", SECRETS[0])
    assert cart_of(ask(route, Cart_Id=issued)) == issued
    assert cart_of(ask(route, Cookie=f"cart_id={issued}")) == issued
    assert ask(route, Cookie=f"cart_id={issued}", Cart_Id="alice").status_code == 400  # the header wins


def forged(issued: str) -> list[str]:
    """Ids that no shop issued, derived from an issued one."""
    unsigned, _, signature = issued.rpartition(".")
    other = "A" if signature[-1] != "A" else "Q"
    stranger = signed("cart_a", "stranger" * 8).rpartition(".")[2]
    return [
        *("alice", "default", unsigned, f"{unsigned}.", f"{unsigned}.{signature[:-1]}", f"{unsigned}.{signature}x"),
        *(f"{unsigned}.{signature[:-1]}{other}", f"cart_b.{signature}", f"{unsigned}.{stranger}", f"x.{issued}"),
    ]


@pytest.mark.parametrize("bad", forged(signed("cart_a", SECRETS[0])))
def test_unissued_cart_id_is_refused_when_required(app: Callable[..., Ask], bad: str) -> None:
    result = app(cart_id_required=True)(OF_A_CART[0], Cart_Id=bad)
    assert result.status_code == 400
    assert set(result.json["errors"]) == {"Cart-Id"}
    assert cart_of(app()(OF_A_CART[0], Cart_Id=bad.removesuffix("."))) == bad.removesuffix(
        "."
    )  # the sandbox accepts any


def test_second_secret_verifies_and_first_signs(app: Callable[..., Ask]) -> None:
    old = signed("cart_a", SECRETS[1])
    assert cart_of(app(cart_id_required=True)(OF_A_CART[0], Cart_Id=old)) == old
    alone = app(cart_id_required=True, cart_id_secrets=SECRETS[:1])
    assert alone(OF_A_CART[0], Cart_Id=old).status_code == 400
    create = next(route for route in ROUTES if route.call == "cart.create")
    made = app()(create)
    assert made.json["cart_id"] == signed("cart_stub", SECRETS[0])
    assert made.headers["set-cookie"].startswith(f"cart_id={made.json['cart_id']};")


def test_required_cart_ids_need_a_secret(settings: Settings, client: RpcClient) -> None:
    with pytest.raises(ValueError, match="CART_ID_SECRET"):
        Gateway(replace(settings, cart_id_required=True, cart_id_secrets=()), client)


OF_NO_CART = [route for route in PUBLIC if route not in OF_A_CART and not route.call.startswith("shipping.")]


@pytest.mark.parametrize("route", OF_NO_CART, ids=str)
def test_no_cart_is_asked_for_where_none_is_needed(app: Callable[..., Ask], route: Route) -> None:
    assert app(cart_id_required=True)(route).status_code == route.status


def test_a_new_cart_is_kept_by_the_browser(shop: Running) -> None:
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


@pytest.mark.parametrize("route", ADMIN, ids=str)
def test_an_admin_route_needs_a_key(app: Callable[..., Ask], route: Route) -> None:
    ask = app(admin_api_keys=KEYS)
    for headers in ({}, {"Authorization": "Basic dTpw"}, {"Authorization": "Bearer "}, {"Authorization": KEYS[0]}):
        result = ask(route, **headers)
        assert result.status_code == 401
        assert result.headers["content-type"] == "application/problem+json"
        assert result.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("route", ADMIN, ids=str)
@pytest.mark.parametrize(
    "key", ["wrong", KEYS[0] + "x", KEYS[0][:-1], KEYS[0].upper(), ",".join(KEYS), KEYS[1], "\xff"]
)
def test_an_admin_route_refuses_a_wrong_key(app: Callable[..., Ask], route: Route, key: str) -> None:
    assert app(admin_api_keys=KEYS)(route, Authorization=f"Bearer {key}").status_code == 403


@pytest.mark.parametrize("route", ADMIN, ids=str)
def test_an_admin_route_takes_each_of_the_keys(app: Callable[..., Ask], route: Route) -> None:
    ask = app(admin_api_keys=KEYS)
    assert ask(route, Authorization=f"Bearer {KEYS[0]}").status_code == route.status
    assert ask(route, Authorization=f"bearer   {SECOND}").status_code == route.status


@pytest.mark.parametrize("route", PUBLIC, ids=str)
def test_a_public_route_needs_no_key(app: Callable[..., Ask], route: Route) -> None:
    ask = app(admin_api_keys=KEYS)
    assert ask(route).status_code == route.status
    assert ask(route, Authorization="Bearer wrong").status_code == route.status


@pytest.mark.parametrize("route", ADMIN, ids=str)
def test_an_admin_route_is_open_on_the_sandbox_without_keys(app: Callable[..., Ask], route: Route) -> None:
    assert app()(route).status_code == route.status


@pytest.mark.parametrize("route", [route for route in ADMIN if route.takes_body], ids=str)
def test_a_key_is_asked_for_before_the_body_is_read(app: Callable[..., Ask], route: Route) -> None:
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
def test_shipment_is_for_its_cart_and_for_admins(app: Callable[..., Ask], name: str) -> None:
    def read(ask: Ask, **headers: str) -> int:
        # The double of `cart.check_shipment` fails for the cart of that name.
        return ask(Route("GET", f"/api/shipments/shp_1/{name}/", "", ()), **headers).status_code

    ask = app(admin_api_keys=KEYS)
    assert read(ask, Cart_Id="cart_a") == 200
    assert read(ask, Cart_Id="fail-NotFound") == 404
    assert read(ask, Cart_Id="fail-NotFound", Authorization="Bearer wrong") == 404
    assert read(ask, Cart_Id="fail-NotFound", Authorization=f"Bearer {KEYS[0]}") == 200
    assert read(app(), Cart_Id="fail-NotFound") == 404
    assert read(app(admin_api_keys=KEYS, cart_id_required=True)) == 400


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


def test_the_running_gateway_takes_its_keys_from_the_environment(another: Callable[..., Running]) -> None:
    keys = ("one-of-the-keys-of-this-shop", "two-of-the-keys-of-this-shop")
    running = another(
        ADMIN_API_KEYS=", ".join(keys), CART_ID_REQUIRED="true", CART_ID_SECRET=SECRETS[0], GATEWAY_WORKERS="1"
    )
    is_problem(running.ask("GET", "/api/orders/"), 401)
    is_problem(running.ask("GET", "/api/orders/", headers={"Authorization": "Bearer one-of-the-keys-of-another"}), 403)
    assert running.ask("GET", "/api/orders/", headers={"Authorization": f"Bearer {keys[1]}"}).status == 200
    is_problem(running.ask("GET", "/api/cart/"), 400)

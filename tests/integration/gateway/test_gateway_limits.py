"""Rate limits and the delay after wrong admin keys: what they count, for which client, and the answer."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import falcon.testing
import pytest

from chassis.rpc.client import RpcClient
from chassis.settings import Settings
from gateway import auth, limit_storage, limits
from gateway.api import Gateway
from gateway.auth import WrongKeys
from gateway.limit_storage import BoundedMemory
from gateway.limits import Limit
from tests.integration.gateway.asking import ROOT
from tests.integration.gateway.conftest import Doubles
from tests.integration.gateway.routes import CHECKOUT, CHOICE, PAYMENT

# An expression, because no file may contain a literal that looks like a key.
KEY = "-".join(("not", "a", "key", "of", "this", "shop", "at", "all"))
ADDRESS = "192.0.2.1"
# The most that four requests may take while Redis is silent: one timeout of 0.1 s, on a slow machine.
SILENCE_S = 3.0
Ask = Callable[..., falcon.testing.Result]


@pytest.fixture(scope="module")
def settings() -> Settings:
    return replace(Settings.load(ROOT / "config.yml"), rate_limits=True)


@pytest.fixture
def small_quotas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set every quota to 3, and the quota of all requests to 100."""
    for name, limit in vars(limits).items():
        if isinstance(limit, Limit):
            quota = 100 if limit in (limits.ADDRESS, limits.ADDRESS_WRITE) else 3
            monkeypatch.setattr(limits, name, replace(limit, quota=quota, window=3600))
    monkeypatch.setattr(limits, "TABLE", tuple(each for each in vars(limits).values() if isinstance(each, Limit)))


@pytest.fixture
def app(settings: Settings, client: RpcClient, doubles: Doubles) -> Callable[..., Ask]:
    """A function that creates a gateway in this process, with other settings, on the doubles of the services."""

    def make(**other: Any) -> Ask:
        gateway = Gateway(replace(settings, **other), client)

        def ask(method: str, path: str, body: Any = None, address: str = ADDRESS, **headers: str) -> Any:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            content = {"body": body} if isinstance(body, bytes) else {"json": body}
            return falcon.testing.simulate_request(
                gateway, method, path, headers=sent, extras={"REMOTE_ADDR": address}, **content
            )

        return ask

    return make


def assert_limited(answer: Any, name: str, quota: int = 3) -> None:
    """Assert that `answer` is a complete 429 answer of the limit `name`."""
    assert answer.status_code == 429, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["type"] == "urn:shop:problem:rate-limited"
    wait = int(answer.headers["retry-after"])
    assert wait >= 1
    assert re.fullmatch(rf'"{name}";q={quota};w=\d+', answer.headers["ratelimit-policy"])
    assert answer.headers["ratelimit"] == f'"{name}";r=0;t={wait}'


PAY = ("POST", "/api/cart/paid/", PAYMENT)
CHOOSE = ("PUT", "/api/cart/shipping/", CHOICE)
CANCEL = ("POST", "/api/orders/or_1/cancel/", None)
# The limit, a request that it counts, and the headers of the n-th request. No other limit applies first.
COUNTED: list[tuple[str, tuple[str, str, Any], Callable[[int], dict[str, str]]]] = [
    ("address-cart", ("POST", "/api/cart/", None), lambda _: {}),
    ("address-checkout", ("POST", "/api/cart/checkout/", CHECKOUT), lambda n: {"Cart_Id": f"cart{n}"}),
    ("address-shipping", CHOOSE, lambda n: {"Cart_Id": f"cart{n}"}),
    ("address-shipping", ("POST", *CHOOSE[1:]), lambda n: {"Cart_Id": f"cart{n}"}),
    ("address-payment", PAY, lambda n: {"Cart_Id": f"cart{n}"}),
    ("cart-buy", ("POST", "/api/cart/prod_1/buy/", {"quality": 1}), lambda n: {"Cart_Id": "c"}),
    ("cart-checkout", ("POST", "/api/cart/checkout/", CHECKOUT), lambda n: {"Cart_Id": "c", "address": f"192.0.2.{n}"}),
    ("cart-shipping", CHOOSE, lambda n: {"Cart_Id": "c", "address": f"192.0.2.{n}"}),
    ("cart-payment", PAY, lambda n: {"Cart_Id": "c", "address": f"192.0.2.{n}"}),
    ("order-cancel", CANCEL, lambda n: {"Cart_Id": "c", "address": f"192.0.2.{n}"}),
]


@pytest.mark.usefixtures("small_quotas")
@pytest.mark.parametrize(("name", "request_", "headers"), COUNTED, ids=[case[0] for case in COUNTED])
def test_request_beyond_the_quota_is_429(app: Callable[..., Ask], name: str, request_: Any, headers: Any) -> None:
    ask = app()
    answers = [ask(*request_, **headers(number)) for number in range(4)]
    assert [answer.status_code < 300 for answer in answers] == [True, True, True, False]
    assert_limited(answers[3], name)
    assert re.fullmatch(r'"[a-z-]+";r=\d+;t=\d+', answers[0].headers["ratelimit"])


@pytest.mark.usefixtures("small_quotas")
def test_limit_counts_refused_requests(app: Callable[..., Ask]) -> None:
    ask = app()
    bad = [ask("POST", "/api/cart/checkout/", {"no": "field"}, Cart_Id="c") for _ in range(4)]
    assert [answer.status_code for answer in bad] == [400, 400, 400, 429]


@pytest.mark.usefixtures("small_quotas")
def test_ipv6_network_is_one_client(app: Callable[..., Ask]) -> None:
    ask = app()
    answers = [ask("POST", "/api/cart/", address=f"2001:db8::{number}") for number in range(1, 5)]
    assert_limited(answers[3], "address-cart")
    assert ask("POST", "/api/cart/", address="2001:db8:0:1::1").status_code == 201


@pytest.mark.usefixtures("small_quotas")
def test_shared_cart_counts_per_address(app: Callable[..., Ask]) -> None:
    ask = app()
    for _ in range(3):
        assert ask("POST", "/api/cart/prod_1/buy/", {"quality": 1}).status_code == 200
    assert_limited(ask("POST", "/api/cart/prod_1/buy/", {"quality": 1}), "cart-buy")
    assert ask("POST", "/api/cart/prod_1/buy/", {"quality": 1}, address="192.0.2.2").status_code == 200


def test_all_requests_of_an_address_are_limited(app: Callable[..., Ask], monkeypatch: pytest.MonkeyPatch) -> None:
    few = replace(limits.ADDRESS, quota=3)
    monkeypatch.setattr(limits, "ADDRESS", few)
    monkeypatch.setattr(limits, "TABLE", (few, *limits.TABLE[1:]))
    ask = app()
    for path in ("/api/cart/", "/nowhere", "/api/products/"):
        assert ask("GET", path).status_code in (200, 404)
    assert_limited(ask("GET", "/api/cart/"), "address")
    for _ in range(5):
        assert ask("GET", "/health/live/").status_code == 200


def test_files_of_the_storefront_have_a_limit_of_their_own(
    app: Callable[..., Ask], monkeypatch: pytest.MonkeyPatch
) -> None:
    few, files = replace(limits.ADDRESS, quota=2), replace(limits.ADDRESS_FILE, quota=5)
    monkeypatch.setattr(limits, "ADDRESS", few)
    monkeypatch.setattr(limits, "ADDRESS_FILE", files)
    monkeypatch.setattr(limits, "TABLE", (few, files, limits.ADDRESS_WRITE))
    ask = app(storefront=True)
    read = [ask("GET", path).status_code for path in ("/", "/storefront/app.js", "/cart", "/product/p")]
    assert read == [200] * 4
    assert ask("GET", "/storefront/app.js", If_None_Match="*").status_code == 304
    assert_limited(ask("GET", "/storefront/style.css"), "address-file", 5)
    assert ask("GET", "/api/cart/").status_code == 200
    assert ask("POST", "/storefront/app.js").status_code == 405  # not a read: of the other limit
    assert_limited(ask("GET", "/storefront/none.js"), "address", 2)


@pytest.mark.usefixtures("small_quotas")
@pytest.mark.parametrize("provider", ["stripe", "shippo", "twilio", "sendgrid"])
def test_signed_webhooks_are_never_limited(app: Callable[..., Ask], provider: str) -> None:
    ask = app()
    path = f"/api/webhooks/{provider}/"
    refused = [ask("POST", path, b"fail-signature") for _ in range(4)]
    assert [answer.status_code for answer in refused] == [400, 400, 400, 429]
    assert_limited(refused[3], "webhook-signature")
    for _ in range(101):
        assert ask("POST", path, b"signed").status_code == 200
    # The service rejects a signed event: the provider gets this answer each time it sends the event.
    assert ask("POST", path, b"fail-InvalidRequest").status_code == 400


@pytest.mark.usefixtures("small_quotas")
def test_admin_key_has_its_own_limit(app: Callable[..., Ask]) -> None:
    ask = app(admin_api_keys=(KEY, KEY + "2"))
    answers = [ask("POST", "/api/cart/", Authorization=f"Bearer {KEY}") for _ in range(4)]
    assert_limited(answers[3], "admin")
    assert ask("POST", "/api/cart/", Authorization=f"Bearer {KEY}2").status_code == 201
    assert ask("POST", "/api/cart/").status_code == 201


def test_limits_are_off_unless_switched_on(app: Callable[..., Ask]) -> None:
    ask = app(rate_limits=False)
    answers = [ask("POST", "/api/cart/") for _ in range(limits.ADDRESS_CART.quota + 1)]
    assert {answer.status_code for answer in answers} == {201}
    assert "ratelimit" not in answers[0].headers


def test_pay_names_the_payer_of_the_shared_cart(app: Callable[..., Ask]) -> None:
    """The double does not return the context, so the tests of the cart service cover its use."""
    request = type("Request", (), {"env": {}})
    visit = type("Visit", (), {"client_address": "2001:db8::1"})
    request.env = {"shop.visit": visit}  # type: ignore[attr-defined]
    assert limits.payer(request, "default") == "default@2001:db8::/64"  # type: ignore[arg-type]
    assert limits.payer(request, "cart_a") == "cart_a"  # type: ignore[arg-type]


# Counters


class Clock:
    """A monotonic clock that only the test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_counters_are_bounded() -> None:
    clock = Clock()
    memory = BoundedMemory(max_counters=100, clock=clock)
    for number in range(1000):
        assert memory.acquire_sliding_window_entry(f"key{number}", 1, 60)
    assert len(memory) == 100
    assert not memory.acquire_sliding_window_entry("key999", 1, 60)


def test_window_slides() -> None:
    clock = Clock()
    memory = BoundedMemory(clock=clock)
    clock.now = 1200.0  # the start of a 60 s window
    assert [memory.acquire_sliding_window_entry("k", 4, 60) for _ in range(5)] == [True] * 4 + [False]
    clock.now += 60 + 30  # half of the previous window still counts
    assert [memory.acquire_sliding_window_entry("k", 4, 60) for _ in range(3)] == [True, True, False]
    clock.now += 120
    assert memory.get_sliding_window("k", 60)[::2] == (0, 0)


def test_parallel_hits_are_all_counted() -> None:
    memory = BoundedMemory()
    granted: list[bool] = []

    def hit() -> None:
        granted.extend(memory.acquire_sliding_window_entry("k", 500, 3600) for _ in range(200))

    threads = [threading.Thread(target=hit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert granted.count(True) == 500


@pytest.mark.no_cover
def test_limit_check_uses_little_cpu(settings: Settings) -> None:
    """One check costs less than 0.5 ms. The test measures CPU time, so other processes do not matter."""
    counters = limits.Limits(settings)
    started = time.process_time()
    for number in range(10_000):
        counters.hit(limits.ADDRESS, f"192.0.{number % 250}.1")
    counters.left(limits.ADDRESS, "192.0.2.1")
    assert (time.process_time() - started) / 10_000 < 0.0005


# Redis


class FakeRedis:
    """A double of Redis that implements the commands of the library and grants every script.

    Some machines that run the tests have no Redis.
    """

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.commands: list[bytes] = []
        self.grants = True
        self.silent = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            while head := lines.readline():
                words = []
                for _ in range(int(head[1:])):
                    length = int(lines.readline()[1:])
                    words.append(lines.read(length + 2)[:-2])
                self.commands.append(words[0].upper())
                if self.silent:
                    continue
                connection.sendall(self._answer(words))

    def _answer(self, words: list[bytes]) -> bytes:
        command = words[0].upper()
        if command == b"HELLO":
            return b"*2\r\n$5\r\nproto\r\n:2\r\n"
        if command == b"PING":
            return b"+PONG\r\n"
        if command in (b"EVALSHA", b"EVAL"):
            if len(words) == 8 or (command == b"EVALSHA" and len(words) - 3 - int(words[2]) == 3):
                return b":1\r\n" if self.grants else b"$-1\r\n"
            return b"*4\r\n:0\r\n:0\r\n:3\r\n:120000\r\n"
        return b"+OK\r\n"

    def stop(self) -> None:
        self.socket.close()


@pytest.fixture
def redis() -> Iterator[FakeRedis]:
    server = FakeRedis()
    yield server
    server.stop()


def test_redis_counts_for_all_processes(redis: FakeRedis, app: Callable[..., Ask]) -> None:
    ask = app(rate_limit_url=f"redis://127.0.0.1:{redis.port}")
    assert ask("GET", "/api/cart/").status_code == 200
    assert redis.commands.count(b"EVALSHA") >= 2
    redis.grants = False
    assert ask("GET", "/api/cart/").status_code == 429


def test_silent_redis_delays_one_request_briefly(
    redis: FakeRedis, app: Callable[..., Ask], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limit_storage, "REDIS_RETRY_S", 0.05)
    few = replace(limits.ADDRESS_CART, quota=3)
    monkeypatch.setattr(limits, "ADDRESS_CART", few)
    monkeypatch.setattr(limits, "TABLE", tuple(few if each.name == few.name else each for each in limits.TABLE))
    ask = app(rate_limit_url=f"redis://127.0.0.1:{redis.port}")
    assert ask("GET", "/api/cart/").status_code == 200
    asked = redis.commands.count(b"EVALSHA")
    redis.silent = True
    began = time.monotonic()
    answers = [ask("POST", "/api/cart/") for _ in range(4)]
    assert time.monotonic() - began < SILENCE_S
    assert [answer.status_code for answer in answers] == [201, 201, 201, 429]  # the gateway counts in memory meanwhile
    assert redis.commands.count(b"EVALSHA") == asked + 1  # the other requests did not ask Redis
    redis.silent = False
    deadline = time.monotonic() + 30
    while redis.commands.count(b"EVALSHA") < asked + 2:
        assert time.monotonic() < deadline
        ask("GET", "/api/cart/")
        time.sleep(0.02)
    output = capsys.readouterr().out
    assert output.count("redis does not answer") <= 1


# Wrong admin keys


def test_sixth_wrong_key_is_delayed(app: Callable[..., Ask], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(auth.WrongKeys.__init__, "__defaults__", (clock,))
    ask = app(admin_api_keys=(KEY,), rate_limits=False)

    def key(text: str, path: str = "/api/orders/", address: str = ADDRESS) -> Any:
        return ask("GET", path, Authorization=f"Bearer {text}", address=address)

    assert [key(f"wrong{number}").status_code for number in range(5)] == [403] * 5
    for delay in (1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300):
        for text in ("wrong", KEY):  # the delay applies to wrong and right keys
            refused = key(text)
            assert refused.headers["retry-after"] == str(delay)
            assert_limited(refused, "wrong-admin-keys", quota=5)
        assert ask("GET", "/api/cart/").status_code == 200  # a request without a key has no delay
        assert key(KEY, address="192.0.2.2").status_code == 200
        clock.now += delay
        if delay != 300 or clock.now < 2000:
            assert key("wrong").status_code == 403
    clock.now += 300
    assert key(KEY).status_code == 200
    assert [key(f"wrong{number}").status_code for number in range(5)] == [403] * 5  # the count starts again


@pytest.mark.parametrize(
    "path", ["/api/orders/or_1/", "/api/cart/", "/api/products/", "/api/shipments/shp_1/label/", "/nowhere"]
)
def test_wrong_keys_count_on_every_route(app: Callable[..., Ask], path: str) -> None:
    ask = app(admin_api_keys=(KEY,), rate_limits=False)
    for _ in range(5):
        assert ask("GET", path, Authorization="Bearer wrong").status_code != 429
    assert ask("GET", path, Authorization="Bearer wrong").status_code == 429
    assert ask("GET", "/api/orders/", Authorization=f"Bearer {KEY}").status_code == 429
    assert ask("GET", "/health/live/", Authorization="Bearer wrong").status_code == 200


def test_long_key_is_wrong_without_a_comparison(app: Callable[..., Ask], monkeypatch: pytest.MonkeyPatch) -> None:
    ask = app(admin_api_keys=(KEY,), rate_limits=False)
    monkeypatch.setattr(auth.hmac, "compare_digest", lambda *_: pytest.fail("compared"))
    assert ask("GET", "/api/orders/", Authorization=f"Bearer {'x' * 5000}").status_code == 403


def test_addresses_of_wrong_keys_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "MAX_ADDRESSES", 100)
    clock = Clock()
    wrong_keys = WrongKeys(clock)
    for number in range(1000):
        wrong_keys.wrong(f"address{number}")
    assert len(wrong_keys) == 100
    for _ in range(6):
        wrong_keys.wrong(ADDRESS)
    assert wrong_keys.delay(ADDRESS) == 2
    clock.now += auth.WRONG_KEYS_KEPT_S + 1
    wrong_keys.wrong(ADDRESS)
    assert wrong_keys.delay(ADDRESS) == 0


def test_delay_blocks_no_worker_thread(app: Callable[..., Ask]) -> None:
    assert "sleep" not in Path(auth.__file__).read_text(encoding="utf-8")

"""Gateway processes start, refuse to start, drain, restart workers, and survive the loss of services and broker."""

from __future__ import annotations

import http.client
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import amqp
import pytest

from chassis.rpc.client import RpcClient
from launcher.ports import free_port
from tests.integration.gateway.asking import ROOT, Running, assert_problem, environment
from tests.integration.gateway.conftest import Doubles
from tests.integration.gateway.routes import HELD
from tests.rabbit_node import RabbitNode

OK = {"status": "ok", "database": "ok"}
LOST = {"status": "unavailable", "database": "unknown"}
SERVICES = ("products", "cart", "shipping", "notifications")


def until(condition: Callable[[], Any], seconds: float) -> float:
    """Wait until `condition()` is true and return the elapsed seconds. Fail after `seconds`."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "the condition was not met in time"
        time.sleep(0.05)
    return time.monotonic() - started


def status(running: Running, path: str = "/api/products/prod_1/", timeout: float = 30.0) -> int:
    """Return the status of a GET, or 0 without an answer."""
    try:
        return running.ask("GET", path, timeout=timeout).status
    except OSError:
        return 0


# --- Starting


def refusal(**settings: str) -> str:
    """Return the message of a gateway that refuses to start."""
    result = subprocess.run(
        [sys.executable, "-m", "gateway"],
        cwd=ROOT,
        env=environment("amqp://user:word@127.0.0.1:1//", **settings),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1, result
    assert result.stdout == ""
    assert result.stderr.startswith("gateway: ")
    assert result.stderr.count("\n") == 1, "one sentence"
    return result.stderr


@pytest.mark.parametrize("reuse", [False, True], ids=["plain", "shared"])
def test_port_in_use_is_reported_in_one_sentence(reuse: bool) -> None:
    with socket.socket() as taken:
        if reuse:  # as the workers of another gateway do
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert str(port) in refusal(GATEWAY_PORT=str(port))


@pytest.mark.parametrize("name", ["STRIPE_API_KEY", "SHIPPO_API_KEY", "SENDGRID_API_KEY"])
def test_missing_admin_keys_error_hides_the_real_key(name: str) -> None:
    key = "-".join(["a", "real", "key"])
    settings = {
        name: key,
        "GATEWAY_PORT": str(free_port()),
        "ALLOW_SANDBOX_PAYMENTS": "true",
        "MAIL_FROM": "a@b.example",
        "CART_ID_REQUIRED": "false",
    }
    message = refusal(**settings)
    assert "ADMIN_API_KEYS" in message
    assert key not in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATEWAY_PORT", "web"),
        ("GATEWAY_PORT", "0"),
        ("GATEWAY_PORT", "65536"),
        ("GATEWAY_WORKERS", "0"),
        ("GATEWAY_WORKERS", "-1"),
        ("GATEWAY_LEAVE_SECONDS", "61"),
        ("GATEWAY_HOST", "256.1.1.1"),
        ("RPC_TIMEOUT", "soon"),
        ("CART_ID_REQUIRED", "perhaps"),
    ],
)
def test_wrong_setting_is_reported_in_one_sentence(name: str, value: str) -> None:
    message = refusal(**{"GATEWAY_PORT": str(free_port()), name: value})
    assert value in message


# --- Stopping


def test_sigterm_finishes_open_requests_and_refuses_new_ones(
    new_gateway: Callable[..., Running], doubles: Doubles
) -> None:
    running = new_gateway(RPC_TIMEOUT="100")
    release = doubles.control / "sigterm"

    def held() -> int:
        calls = doubles.control / HELD
        return len(calls.read_text().splitlines()) if calls.exists() else 0

    def closed() -> bool:
        try:
            running.ask("GET", "/health/live/", timeout=5)
        except OSError as error:
            return re.search("refused|reset", str(error)) is not None
        return False

    before = held()
    idle = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    idle.request("GET", "/health/live/")
    idle.getresponse().read()
    with ThreadPoolExecutor(30) as pool:
        calls = [pool.submit(running.ask, "GET", f"/api/products/hold-{release.name}/", timeout=100) for _ in range(30)]
        try:
            until(lambda: held() - before == 30, 60)
            running.process.send_signal(signal.SIGTERM)
            until(closed, 60)
            assert not any(call.done() for call in calls)
        finally:
            release.touch()
        assert [call.result().status for call in calls] == [200] * 30
    assert running.process.wait(timeout=30) == 0
    assert not running.lines("bug")
    idle.close()


def test_leaving_gateway_is_not_live_and_still_serves(new_gateway: Callable[..., Running]) -> None:
    running = new_gateway(GATEWAY_LEAVE_SECONDS="60", GATEWAY_WORKERS="1")
    running.process.send_signal(signal.SIGTERM)
    until(lambda: status(running, "/health/live/") == 503, 30)
    assert running.ask("GET", "/health/live/").headers["retry-after"] == "1"
    assert running.ask("GET", "/api/products/prod_1/").status == 200
    running.kill()


def test_gateway_stops_after_the_leave_period(new_gateway: Callable[..., Running]) -> None:
    running = new_gateway(GATEWAY_LEAVE_SECONDS="1")
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(timeout=60) == 0


def test_repeated_sigint_finishes_open_requests(new_gateway: Callable[..., Running], doubles: Doubles) -> None:
    running = new_gateway(RPC_TIMEOUT="100", GATEWAY_WORKERS="1")
    release = doubles.control / "sigint"
    [worker] = running.workers()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(running.ask, "GET", f"/api/products/hold-{release.name}/", timeout=100)
        try:
            until(
                lambda: (doubles.control / HELD).exists() and release.name in (doubles.control / HELD).read_text(), 60
            )
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):  # Ctrl-C in a terminal signals both processes
                os.kill(worker, number)
                running.process.send_signal(number)
            until(lambda: status(running, "/health/live/", 5) == 0, 60)
            assert not call.done()
        finally:
            release.touch()
        assert call.result().status == 200
    assert running.process.wait(timeout=30) == 0


def test_sigterm_does_not_wait_for_a_stalled_caller(new_gateway: Callable[..., Running]) -> None:
    running = new_gateway(PAY_TIMEOUT="1", RPC_TIMEOUT="1", CHECKOUT_TIMEOUT="1")
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as stalled:
        stalled.sendall(b"POST /api/cart/prod_1/buy/ HTTP/1.1\r\nHost: shop\r\nContent-Length: 15\r\n\r\n{")
        time.sleep(0.3)
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(timeout=40)  # the limit is the longest call and 3 s, not the stay of the caller


# --- Many connections


def test_idle_connections_do_not_block_new_ones(new_gateway: Callable[..., Running]) -> None:
    running = new_gateway(GATEWAY_WORKERS="1")
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most if 0 <= most < 4096 else 4096, most))
    idle = []
    try:
        for _ in range(1200):  # more than the default of the server and the usual limit of open files
            connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
            connection.request("GET", "/health/live/")
            connection.getresponse().read()
            idle.append(connection)
        assert status(running) == 200
    finally:
        for connection in idle:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))


# --- Killed processes


def test_a_killed_worker_is_replaced_while_the_other_serves(new_gateway: Callable[..., Running]) -> None:
    running = new_gateway()
    before = running.workers()
    assert len(before) == 2
    os.kill(before[0], signal.SIGKILL)
    until(lambda: len(set(running.workers()) - set(before)) == 1, 60)
    until(lambda: all(status(running) == 200 for _ in range(6)), 60)
    assert running.process.poll() is None


def test_workers_do_not_outlive_the_process_that_started_them(new_gateway: Callable[..., Running]) -> None:
    running = new_gateway()
    workers = running.workers()
    running.process.kill()
    running.process.wait(timeout=20)
    until(lambda: not any(is_alive(pid) for pid in workers), 30)
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", running.port))


def is_alive(pid: int) -> bool:
    """Return whether the process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# --- Readiness


def ready(running: Running) -> tuple[int, dict[str, Any]]:
    """Return the status of the readiness answer, and its parts."""
    time.sleep(1.05)  # the gateway caches an answer for one second
    answer = running.ask("GET", "/health/ready/")
    if answer.status == 503:
        assert_problem(answer, 503)
        assert answer.headers["retry-after"]
    return answer.status, answer.json["parts"]


@pytest.fixture
def set_health(doubles: Doubles) -> Iterator[Callable[[str, str], None]]:
    """A function that changes the answer of `health` in a double."""
    changed = []

    def say(service: str, what: str) -> None:
        changed.append(doubles.control / service)
        changed[-1].write_text(what)

    yield say
    for path in changed:
        path.unlink(missing_ok=True)


def test_readiness_reports_every_part(shop: Running) -> None:
    until(lambda: ready(shop) == (200, {"broker": {"status": "ok"}, **dict.fromkeys(SERVICES, OK)}), 60)


def test_readiness_reports_a_missing_database(shop: Running, set_health: Callable[[str, str], None]) -> None:
    set_health("shipping", "no database")
    lacking = {"shipping": {"status": "ok", "database": "unavailable"}}
    until(lambda: ready(shop) == (503, {"broker": {"status": "ok"}, **dict.fromkeys(SERVICES, OK), **lacking}), 60)


def test_readiness_answers_in_time_when_all_services_hang(
    shop: Running, set_health: Callable[[str, str], None]
) -> None:
    for name in SERVICES:
        set_health(name, "hang")
    time.sleep(1.05)
    started = time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: shop.ask("GET", "/health/ready/"), range(10)))
    assert time.monotonic() - started < 24  # each worker asks at most twice, 2 s each; in sequence it takes a minute
    for answer in answers:
        assert answer.status == 503
        assert [answer.json["parts"][name] for name in SERVICES] == [LOST] * 4


# --- Loss of a service and of the broker


def test_killed_service_is_reported_and_used_after_restart(
    shop: Running, short_deadline_shop: Running, doubles: Doubles, client: RpcClient, node: RabbitNode
) -> None:
    doubles.kill("cart")
    try:
        started = time.monotonic()
        answer = short_deadline_shop.ask("GET", "/api/cart/")
        assert_problem(answer, 504)
        assert answer.headers["retry-after"]
        assert time.monotonic() - started < 30
        lost = {"broker": {"status": "ok"}, **dict.fromkeys(SERVICES, OK), "cart": LOST}
        until(lambda: ready(shop) == (503, lost), 60)
        assert status(shop) == 200, "the other services still answer"
        # A service that never started has no queue, so the gateway answers at once.
        with amqp.Connection(host=f"127.0.0.1:{node.port}") as connection:
            connection.channel().queue_delete("rpc-cart")
        answer = shop.ask("GET", "/api/cart/")
        assert_problem(answer, 503)  # not 504: the gateway did not wait for the deadline
        assert answer.headers["retry-after"]
    finally:
        doubles.start("cart")
        doubles.wait(client)
    assert status(shop, "/api/cart/") == 200
    until(lambda: ready(shop)[0] == 200, 60)


def test_gateway_fails_fast_and_reconnects_after_broker_loss(
    new_gateway: Callable[..., Running], doubles: Doubles, client: RpcClient, node: RabbitNode
) -> None:
    running = new_gateway()
    workers = running.workers()
    seen: list[tuple[float, float, int]] = []  # start, duration, status
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            started = time.monotonic()
            code = status(running)
            seen.append((started, time.monotonic() - started, code))
            time.sleep(0.02)

    load = [threading.Thread(target=ask) for _ in range(8)]
    for thread in load:
        thread.start()
    try:
        until(lambda: len(seen) > 40, 60)
        lost = time.monotonic()
        node.stop()
        time.sleep(1.0)
        code, parts = ready(running)
        assert code == 503
        assert parts["broker"] == {"status": "unavailable"}
        assert running.ask("GET", "/health/live/").status == 200
        restarted = time.monotonic()
        node.start()
        doubles.wait(client)
        # Each worker reconnects automatically, the second perhaps shortly after the first.
        until(lambda: [code for _, _, code in seen[-40:]] == [200] * 40, 60)
        back = time.monotonic()
        until(lambda: sum(when > back for when, _, _ in list(seen)) > 40, 60)
    finally:
        stop.set()
        for thread in load:
            thread.join(timeout=40)
    # Requests in progress when the broker stopped may be lost.
    assert {code for when, took, code in seen if when + took < lost} == {200}
    meanwhile = [(took, code) for when, took, code in seen if lost + 0.5 < when < restarted]
    assert meanwhile
    assert {code for _, code in meanwhile} <= {503, 504}
    assert max(took for took, _ in meanwhile) < 8
    assert {code for when, _, code in seen if when > back} == {200}
    assert running.workers() == workers, "no process was restarted"
    assert not running.lines("bug")
    until(lambda: ready(running)[0] == 200, 60)

"""The processes: how they start and refuse to, drain, come back, and live through the loss of what they stand on."""

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
from tests.integration.gateway.asking import ROOT, Running, environment, is_problem
from tests.integration.gateway.conftest import Doubles
from tests.integration.gateway.routes import HELD
from tests.rabbit_node import RabbitNode

OK = {"status": "ok", "database": "ok"}
LOST = {"status": "unavailable", "database": "unknown"}
SERVICES = ("products", "cart", "shipping", "notifications")


def until(condition: Callable[[], Any], seconds: float) -> float:
    """Wait until `condition()`; how long it took. Fails after `seconds`."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not come in time"
        time.sleep(0.05)
    return time.monotonic() - began


def status(running: Running, path: str = "/api/products/prod_1/", timeout: float = 30.0) -> int:
    """The status of a GET; 0 when there is no answer."""
    try:
        return running.ask("GET", path, timeout=timeout).status
    except OSError:
        return 0


# --- Starting


def refused(**settings: str) -> str:
    """What the gateway says as it refuses to start."""
    got = subprocess.run(
        [sys.executable, "-m", "gateway"],
        cwd=ROOT,
        env=environment("amqp://user:word@127.0.0.1:1//", **settings),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert got.returncode == 1, got
    assert got.stdout == ""
    assert got.stderr.startswith("gateway: ")
    assert got.stderr.count("\n") == 1, "one sentence"
    return got.stderr


@pytest.mark.parametrize("reuse", [False, True], ids=["plain", "shared"])
def test_a_port_in_use_is_said_in_one_sentence(reuse: bool) -> None:
    with socket.socket() as taken:
        if reuse:  # as another gateway's workers hold it
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert str(port) in refused(GATEWAY_PORT=str(port))


@pytest.mark.parametrize("name", ["STRIPE_API_KEY", "SHIPPO_API_KEY", "SENDGRID_API_KEY"])
def test_a_real_key_without_admin_keys_is_said_in_one_sentence_and_not_shown(name: str) -> None:
    key = "-".join(["a", "real", "key"])
    settings = {
        name: key,
        "GATEWAY_PORT": str(free_port()),
        "ALLOW_SANDBOX_PAYMENTS": "true",
        "MAIL_FROM": "a@b.example",
        "CART_ID_REQUIRED": "false",
    }
    said = refused(**settings)
    assert "ADMIN_API_KEYS" in said
    assert key not in said


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
def test_a_wrong_setting_is_said_in_one_sentence(name: str, value: str) -> None:
    said = refused(**{"GATEWAY_PORT": str(free_port()), name: value})
    assert value in said


# --- Stopping


def test_sigterm_finishes_what_is_in_flight_and_takes_nothing_new(
    another: Callable[..., Running], doubles: Doubles
) -> None:
    running = another(RPC_TIMEOUT="100")
    go = doubles.control / "sigterm"

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
        calls = [pool.submit(running.ask, "GET", f"/api/products/hold-{go.name}/", timeout=100) for _ in range(30)]
        try:
            until(lambda: held() - before == 30, 60)
            running.process.send_signal(signal.SIGTERM)
            until(closed, 60)
            assert not any(call.done() for call in calls)
        finally:
            go.touch()
        assert [call.result().status for call in calls] == [200] * 30
    assert running.process.wait(timeout=30) == 0
    assert not running.lines("bug")
    idle.close()


def test_leaving_gateway_says_so_and_still_serves(another: Callable[..., Running]) -> None:
    running = another(GATEWAY_LEAVE_SECONDS="60", GATEWAY_WORKERS="1")
    running.process.send_signal(signal.SIGTERM)
    until(lambda: status(running, "/health/live/") == 503, 30)
    assert running.ask("GET", "/health/live/").headers["retry-after"] == "1"
    assert running.ask("GET", "/api/products/prod_1/").status == 200
    running.kill()


def test_gateway_stops_after_it_has_left(another: Callable[..., Running]) -> None:
    running = another(GATEWAY_LEAVE_SECONDS="1")
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(timeout=60) == 0


def test_sigint_finishes_what_is_in_flight_even_twice(another: Callable[..., Running], doubles: Doubles) -> None:
    running = another(RPC_TIMEOUT="100", GATEWAY_WORKERS="1")
    go = doubles.control / "sigint"
    [worker] = running.workers()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(running.ask, "GET", f"/api/products/hold-{go.name}/", timeout=100)
        try:
            until(lambda: (doubles.control / HELD).exists() and go.name in (doubles.control / HELD).read_text(), 60)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):  # as Ctrl-C in a terminal reaches both
                os.kill(worker, number)
                running.process.send_signal(number)
            until(lambda: status(running, "/health/live/", 5) == 0, 60)
            assert not call.done()
        finally:
            go.touch()
        assert call.result().status == 200
    assert running.process.wait(timeout=30) == 0


def test_sigterm_does_not_wait_for_a_caller_who_never_ends(another: Callable[..., Running]) -> None:
    running = another(PAY_TIMEOUT="1", RPC_TIMEOUT="1", CHECKOUT_TIMEOUT="1")
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as stalled:
        stalled.sendall(b"POST /api/cart/prod_1/buy/ HTTP/1.1\r\nHost: shop\r\nContent-Length: 15\r\n\r\n{")
        time.sleep(0.3)
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(timeout=40)  # the longest call and 3 s, and not for as long as the caller stays


# --- Many connections


def test_idle_connections_do_not_keep_others_out(another: Callable[..., Running]) -> None:
    running = another(GATEWAY_WORKERS="1")
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most if 0 <= most < 4096 else 4096, most))
    idle = []
    try:
        for _ in range(1200):  # more than the server's own default, and than a process may usually have files
            connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
            connection.request("GET", "/health/live/")
            connection.getresponse().read()
            idle.append(connection)
        assert status(running) == 200
    finally:
        for connection in idle:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))


# --- Processes that fall


def test_a_killed_worker_is_replaced_while_the_other_serves(another: Callable[..., Running]) -> None:
    running = another()
    before = running.workers()
    assert len(before) == 2
    os.kill(before[0], signal.SIGKILL)
    until(lambda: len(set(running.workers()) - set(before)) == 1, 60)
    until(lambda: all(status(running) == 200 for _ in range(6)), 60)
    assert running.process.poll() is None


def test_workers_do_not_outlive_the_process_that_started_them(another: Callable[..., Running]) -> None:
    running = another()
    workers = running.workers()
    running.process.kill()
    running.process.wait(timeout=20)
    until(lambda: not any(lives(pid) for pid in workers), 30)
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", running.port))


def lives(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# --- Readiness


def ready(running: Running) -> tuple[int, dict[str, Any]]:
    """The status of the readiness, and its parts."""
    time.sleep(1.05)  # an answer is kept for a second
    answer = running.ask("GET", "/health/ready/")
    if answer.status == 503:
        is_problem(answer, 503)
        assert answer.headers["retry-after"]
    return answer.status, answer.json["parts"]


@pytest.fixture
def said(doubles: Doubles) -> Iterator[Callable[[str, str], None]]:
    """Makes a double's `health` say something else."""
    changed = []

    def say(service: str, what: str) -> None:
        changed.append(doubles.control / service)
        changed[-1].write_text(what)

    yield say
    for path in changed:
        path.unlink(missing_ok=True)


def test_ready_says_every_part(shop: Running) -> None:
    until(lambda: ready(shop) == (200, {"broker": {"status": "ok"}, **dict.fromkeys(SERVICES, OK)}), 60)


def test_ready_says_which_database_is_missing(shop: Running, said: Callable[[str, str], None]) -> None:
    said("shipping", "no database")
    lacking = {"shipping": {"status": "ok", "database": "unavailable"}}
    until(lambda: ready(shop) == (503, {"broker": {"status": "ok"}, **dict.fromkeys(SERVICES, OK), **lacking}), 60)


def test_ready_answers_in_time_when_all_services_hang(shop: Running, said: Callable[[str, str], None]) -> None:
    for name in SERVICES:
        said(name, "hang")
    time.sleep(1.05)
    began = time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: shop.ask("GET", "/health/ready/"), range(10)))
    assert time.monotonic() - began < 24  # each worker asks at most twice, 2 s each; one by one it would be a minute
    for answer in answers:
        assert answer.status == 503
        assert [answer.json["parts"][name] for name in SERVICES] == [LOST] * 4


# --- Services and broker that go and come


def test_a_killed_service_is_missed_in_time_and_back_by_itself(
    shop: Running, hasty: Running, doubles: Doubles, client: RpcClient, node: RabbitNode
) -> None:
    doubles.kill("cart")
    try:
        began = time.monotonic()
        answer = hasty.ask("GET", "/api/cart/")
        is_problem(answer, 504)
        assert answer.headers["retry-after"]
        assert time.monotonic() - began < 30
        lost = {"broker": {"status": "ok"}, **dict.fromkeys(SERVICES, OK), "cart": LOST}
        until(lambda: ready(shop) == (503, lost), 60)
        assert status(shop) == 200, "the others are not concerned"
        # A service that has never been there has no queue: that is known at once.
        with amqp.Connection(host=f"127.0.0.1:{node.port}") as connection:
            connection.channel().queue_delete("rpc-cart")
        answer = shop.ask("GET", "/api/cart/")
        is_problem(answer, 503)  # and not 504: nobody waited for a deadline
        assert answer.headers["retry-after"]
    finally:
        doubles.start("cart")
        doubles.wait(client)
    assert status(shop, "/api/cart/") == 200
    until(lambda: ready(shop)[0] == 200, 60)


def test_a_broker_that_goes_under_load_fails_fast_and_is_found_again(
    another: Callable[..., Running], doubles: Doubles, client: RpcClient, node: RabbitNode
) -> None:
    running = another()
    workers = running.workers()
    seen: list[tuple[float, float, int]] = []  # when, how long, which status
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            began = time.monotonic()
            code = status(running)
            seen.append((began, time.monotonic() - began, code))
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
        comes = time.monotonic()
        node.start()
        doubles.wait(client)
        # Each worker stands up again by itself, the second perhaps a moment after the first.
        until(lambda: [code for _, _, code in seen[-40:]] == [200] * 40, 60)
        back = time.monotonic()
        until(lambda: sum(when > back for when, _, _ in list(seen)) > 40, 60)
    finally:
        stop.set()
        for thread in load:
            thread.join(timeout=40)
    # What was under way just then may have been lost with the broker.
    assert {code for when, took, code in seen if when + took < lost} == {200}
    meanwhile = [(took, code) for when, took, code in seen if lost + 0.5 < when < comes]
    assert meanwhile
    assert {code for _, code in meanwhile} <= {503, 504}
    assert max(took for took, _ in meanwhile) < 8
    assert {code for when, _, code in seen if when > back} == {200}
    assert running.workers() == workers, "no process was restarted"
    assert not running.lines("bug")
    until(lambda: ready(running)[0] == 200, 60)

"""HTTP to a provider: every wait ends by the deadline of the call, and environment settings apply."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import requests

from chassis import deadline
from chassis.providers.guard import never_sent
from chassis.providers.http_session import DeadlinePassed, HeldBack, ProviderSession, last_look
from contracts.errors import Unavailable
from launcher.place import ROOT
from tests.scripted_server import Scripted, ScriptedServer


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    yield
    deadline.begin(None)


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_silent_provider_ends_at_the_read_timeout(silent: str) -> None:
    began = time.monotonic()
    with pytest.raises(requests.exceptions.ReadTimeout), ProviderSession(connect=1.0, read=0.3) as session:
        session.get(silent)
    assert 0.25 < time.monotonic() - began < 30


def test_longer_timeout_of_an_sdk_is_ignored(silent: str) -> None:
    began = time.monotonic()
    with pytest.raises(requests.exceptions.ReadTimeout), ProviderSession(connect=1.0, read=0.3) as session:
        session.get(silent, timeout=60)
    assert time.monotonic() - began < 30


def test_deadline_of_the_call_ends_the_wait_first(silent: str) -> None:
    began = time.monotonic()
    deadline.begin(time.monotonic() + 2.0 + deadline.DEADLINE_MARGIN_S)
    with pytest.raises(requests.exceptions.ReadTimeout), ProviderSession(connect=3.0, read=60.0) as session:
        session.get(silent)
    assert 1.9 < time.monotonic() - began < 30


def test_unaccepted_connection_ends_at_the_connect_timeout() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]  # they fill the backlog: the next connection gets no answer
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        began = time.monotonic()
        with pytest.raises(requests.exceptions.ConnectTimeout), ProviderSession(connect=0.4, read=60.0) as session:
            session.get(f"http://127.0.0.1:{full.getsockname()[1]}")
        assert time.monotonic() - began < 30
        for each in waiting:
            each.close()


def test_last_look_precedes_the_first_byte_of_the_request() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ProviderSession(connect=1.0, read=0.3) as session:
        server.settimeout(2)
        reached: list[socket.socket] = []

        def look() -> bool:
            reached.append(server.accept()[0])  # the connection is open
            reached[0].setblocking(False)
            with pytest.raises(BlockingIOError):
                reached[0].recv(1)
            return True

        with pytest.raises(requests.exceptions.ReadTimeout), last_look(look):
            session.post(f"http://127.0.0.1:{server.getsockname()[1]}", data=b"body")
        assert len(reached) == 1
        assert reached[0].recv(4) == b"POST"
        reached[0].close()


def test_unwanted_request_is_not_sent_and_is_no_failure(scripted: ScriptedServer) -> None:
    def away() -> bool:
        raise Unavailable("no database")

    with ProviderSession(connect=10.0, read=10.0) as session:
        for look in (lambda: False, away) * 4:
            with pytest.raises(HeldBack) as held, last_look(look):
                session.post(scripted.url, data=b"body")
            assert never_sent(held.value)
        assert scripted.asked == []
        assert not session.guard.down
        looks: list[int] = []
        with last_look(lambda: not looks.append(1)):  # type: ignore[func-returns-value]
            for _ in range(2):  # on a new connection, and on a reused one
                session.post(scripted.url, data=b"body")
        session.post(scripted.url, data=b"body")
        assert (len(scripted.asked), len(looks)) == (3, 2)


def test_request_without_time_left_is_not_sent(scripted: ScriptedServer) -> None:
    deadline.begin(time.monotonic() + deadline.DEADLINE_MARGIN_S / 2)
    with pytest.raises(DeadlinePassed), ProviderSession(connect=1.0, read=1.0) as session:
        session.post(scripted.url, data=b"money")
    assert scripted.asked == []


def test_bare_send_uses_the_proxy_of_the_environment(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted.answers = [Scripted(200, b'"from the proxy"')]
    monkeypatch.setenv("HTTP_PROXY", scripted.url)
    with ProviderSession(connect=10.0, read=10.0) as session:
        bare = session.send(requests.Request("GET", "http://provider.invalid/v1/charges").prepare())
        assert bare.json() == "from the proxy"
        assert session.get("http://provider.invalid/v1/charges").json() == "from the proxy"
    assert [path for _, path, _, _ in scripted.asked] == ["http://provider.invalid/v1/charges"] * 2


def test_no_proxy_is_respected(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ProviderSession(connect=10.0, read=10.0) as session:
        assert session.send(requests.Request("GET", scripted.url).prepare()).status_code == 200


def test_the_certificates_of_the_environment_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/our-own-authority.pem")

    class Adapter(requests.adapters.HTTPAdapter):
        def send(self, request: requests.PreparedRequest, *_: object, **options: object) -> requests.Response:  # type: ignore[override]
            seen.append(options["verify"])
            raise requests.exceptions.ConnectionError

    session = ProviderSession(connect=1.0, read=1.0)
    session.mount("https://", Adapter())
    request = requests.Request("GET", "https://provider.invalid/").prepare()
    with pytest.raises(requests.exceptions.ConnectionError):
        session.send(request)
    with pytest.raises(requests.exceptions.ConnectionError):
        session.send(request, verify=False)  # an explicit value wins
    assert seen == ["/etc/our-own-authority.pem", False]


DRIP = """
import eventlet

eventlet.monkey_patch()
import socket, sys, threading, time
import requests
from chassis.providers.http_session import ProviderSession

taken = socket.create_server(("127.0.0.1", 0))

def drip():
    connection, _ = taken.accept()
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 1000\\r\\n\\r\\n")
    for _ in range(1000):
        connection.sendall(b"x")
        time.sleep(0.1)

threading.Thread(target=drip, daemon=True).start()
try:
    ProviderSession(connect=0.2, read=0.5).get(f"http://127.0.0.1:{taken.getsockname()[1]}/")
except requests.exceptions.RequestException:
    sys.exit(7)
"""


def test_slowly_dripping_answer_times_out() -> None:
    """Under eventlet, as in a service: each byte comes in time, but the whole answer would take 100 s."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", DRIP], cwd=ROOT, timeout=80)
    assert done.returncode == 7


def test_many_threads_share_one_session(scripted: ScriptedServer) -> None:
    scripted.answers = [Scripted(200, b"{}")]
    failures: list[Exception] = []
    with ProviderSession(connect=10.0, read=20.0) as session:

        def ask() -> None:
            try:
                for _ in range(10):
                    assert session.get(scripted.url).json() == {}
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=ask) for _ in range(16)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(timeout=60)
    assert failures == []
    assert len(scripted.asked) == 160

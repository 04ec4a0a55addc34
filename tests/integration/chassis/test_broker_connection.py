"""A broker that goes silent or trickles bytes while a process connects. Each try times out; a later one succeeds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chassis.rpc import link
from chassis.rpc.client import RpcClient
from launcher.place import ROOT
from tests.integration.chassis.amqp_proxy import FrameProxy
from tests.integration.chassis.running import Service, until

SHORT_CONNECT_TIMEOUT_S = 0.5  # in place of CONNECT_TIMEOUT_S
# Start, Tune, Open-Ok, channel, exchange, reply queue, binding, the channel for consumer counts.
SET_UP_FRAMES = 8


@pytest.fixture
def short_connect_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "CONNECT_TIMEOUT_S", SHORT_CONNECT_TIMEOUT_S)


@pytest.mark.usefixtures("short_connect_timeout")
@pytest.mark.parametrize("frames", range(SET_UP_FRAMES))
def test_broker_silent_after_any_frame_is_tried_again(uri: str, stubs: dict[str, Service], frames: int) -> None:
    with FrameProxy(uri, frames=frames) as proxy:
        client = RpcClient(proxy.uri, name="silent broker").start()
        try:
            until(lambda: proxy.connections >= 3, what="a third try")
            assert not client.connected
            proxy.frames = None
            assert client.link.wait(30)
            assert client.call(stubs["echo"].name, "one", [frames], timeout=30) == frames
        finally:
            client.stop()


@pytest.mark.usefixtures("short_connect_timeout")
@pytest.mark.parametrize("frames", [0, 2, 5])
def test_broker_that_trickles_bytes_is_tried_again(uri: str, frames: int) -> None:
    with FrameProxy(uri, frames=frames, trickle=0.1) as proxy:
        client = RpcClient(proxy.uri, name="slow broker").start()
        try:
            until(lambda: proxy.connections >= 3, what="a third try")
            assert not client.connected
        finally:
            client.stop()


def test_service_process_survives_a_broker_that_goes_silent(uri: str, tmp_path: Path, client: RpcClient) -> None:
    """The timeout also works among greenlets, which a service uses instead of threads."""
    with FrameProxy(uri, frames=3) as proxy:
        service = Service(proxy.uri, "echo_service", tmp_path).start()
        try:
            until(lambda: proxy.connections >= 2, 120, "a second try")
            proxy.frames = None
            service.answering(client)
            lost = [line for line in service.log if line.get("event") == "broker lost"]
            assert lost
            assert "TimeoutError" in lost[0]["error"]
        finally:
            service.stop()


TLS = """
import socket, sys, threading, time
if sys.argv[1] == "greenlets":
    import eventlet; eventlet.monkey_patch()
from chassis.rpc.broker_connection import connect
listener = socket.create_server(("127.0.0.1", 0))
def trickle():
    peer, _ = listener.accept()
    peer.recv(1)
    peer.sendall(bytes([22, 3, 3, 64, 0, 2, 0, 63, 252]))  # a ServerHello of 16 KiB begins
    while True:
        time.sleep(0.1)
        peer.sendall(b"x")
threading.Thread(target=trickle, daemon=True).start()
began = time.monotonic()
try:
    connect(f"amqps://127.0.0.1:{listener.getsockname()[1]}//", "tls", 1.0)
except TimeoutError:
    print("timeout", time.monotonic() - began < 10)
"""


@pytest.mark.parametrize("how", ["threads", "greenlets"])
def test_tls_handshake_that_trickles_ends_at_the_deadline(how: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", TLS, how]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.stdout == "timeout True\n", ran.stderr

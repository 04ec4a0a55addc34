"""The broker: a given one is checked first, a private one leaves no trace, and a service waits for its broker."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import kombu
import psutil
import pytest

from launcher import broker, processes, rabbitmq
from launcher.after_broker import address
from launcher.place import ROOT
from launcher.ports import free_port
from launcher.runtime_dir import RuntimeDir
from launcher.shop import Shop

pytestmark = pytest.mark.timeout(600)


def test_refusal_of_a_silent_broker_omits_its_password() -> None:
    uri = f"amqp://user:{'pass' + 'word'}@127.0.0.1:{free_port()}//"
    assert broker.refusal(uri) == "connection refused"


def test_address_defaults_to_the_port_of_its_scheme() -> None:
    assert address("amqp://u:p@rabbit:28000//") == ("rabbit", 28000)
    assert address("amqp://rabbit/shop") == ("rabbit", 5672)
    assert address("amqps://rabbit/shop") == ("rabbit", 5671)


def test_private_broker_is_closed_to_others_and_leaves_no_trace(tmp_path: Path) -> None:
    shop = Shop.on_free_ports(tmp_path / "100% var; dir", parts="broker")
    shop.start()
    try:
        assert broker.refusal(shop.amqp_uri) is None
        assert broker.refusal(re.sub(":[0-9a-f]{48}@", ":wrong@", shop.amqp_uri)) == broker.WRONG_USER
        assert broker.refusal(_as_guest(shop.amqp_uri)) == broker.WRONG_USER
        password = re.findall(":([0-9a-f]{48})@", shop.amqp_uri)[0]
        assert _command_lines_with(password) == []
        assert _open_to_others(shop.place.var_dir) == []
        listening = set()
        for process in processes.marked(shop.runtime.id):
            # RabbitMQ runs short-lived processes that measure the free disk space.
            with contextlib.suppress(psutil.NoSuchProcess):
                listening |= {(process.name(), address) for address in _listens_at(process)}
        assert {"epmd", "beam.smp"} <= {name for name, _ in listening}
        assert {address for _, address in listening} <= {"127.0.0.1", "::1"}
        assert (shop.place.var_dir / "shop.json").stat().st_mode & 0o777 == 0o600
        assert shop.start() is False  # it is running already
    finally:
        assert shop.stop() is True
    assert processes.marked(shop.runtime.id) == []
    assert not shop.runtime.path.exists()
    assert not (shop.place.var_dir / "shop.json").exists()
    assert shop.stop() is False


def _command_lines_with(secret: str) -> list[str]:
    """Return the names of the processes whose command line contains `secret`."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if secret in " ".join(process.cmdline()):
                found.append(process.name())
    return found


def _open_to_others(folder: Path) -> list[Path]:
    """Return the paths in `folder` whose mode lets other users read or change them."""
    return [path for path in (folder, *folder.rglob("*")) if not path.is_symlink() and path.stat().st_mode & 0o077]


def test_every_copy_has_its_own_broker_user(tmp_path: Path) -> None:
    users = []
    for name in ("one", "other"):
        runtime = RuntimeDir(tmp_path / name)
        runtime.prepare()
        users.append(rabbitmq.Credentials.of(runtime))
        assert rabbitmq.Credentials.of(runtime) == users[-1]
        assert (tmp_path / name / "rabbitmq" / "credentials").stat().st_mode & 0o777 == 0o600
        runtime.remove()
    assert users[0].user != users[1].user
    assert users[0].password != users[1].password
    assert users[0].password not in repr(users[0])


def test_broker_with_the_guest_user_is_upgraded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The upgrade keeps the queues and their messages."""
    brokers: list[broker.Broker] = []
    choose = broker.choose
    monkeypatch.setattr(broker, "choose", lambda *args: brokers.append(choose(*args)) or brokers[-1])
    shop = Shop.on_free_ports(tmp_path, parts="broker")
    with shop:
        node = brokers[-1].node
        assert node is not None
        replace(node, credentials=rabbitmq.Credentials("guest", "guest")).admit()
        with kombu.Connection(_as_guest(shop.amqp_uri)) as connection, connection.SimpleQueue("kept") as queue:
            queue.put({"still": "here"})
    (tmp_path / "rabbitmq" / "credentials").unlink()
    with shop:
        assert broker.refusal(_as_guest(shop.amqp_uri)) == broker.WRONG_USER
        with kombu.Connection(shop.amqp_uri) as connection, connection.SimpleQueue("kept") as queue:
            assert queue.get(timeout=20).payload == {"still": "here"}


def _as_guest(uri: str) -> str:
    return re.sub("//.*@", "//guest:guest@", uri)


def _listens_at(process: psutil.Process) -> set[str]:
    connections = process.net_connections("tcp")
    return {connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN}


def test_start_cleans_up_after_a_killed_supervisor(tmp_path: Path) -> None:
    shop = Shop.on_free_ports(tmp_path, parts="broker")
    shop.start()
    try:
        supervisor = shop.supervisor.process
        assert supervisor is not None
        supervisor.kill()
        supervisor.wait(30)
        leftover = {process.pid for process in processes.marked(shop.runtime.id)}
        assert leftover
        assert not shop.running
        messages: list[str] = []
        assert shop.start(messages.append) is True
        assert "Cleaned up after a shop that was killed" in messages[0]
        assert leftover.isdisjoint(process.pid for process in processes.marked(shop.runtime.id))
        assert broker.refusal(shop.amqp_uri) is None
    finally:
        shop.stop()
    assert processes.marked(shop.runtime.id) == []


def test_service_starts_when_its_broker_listens() -> None:
    port = free_port()
    env = {**os.environ, "AMQP_URI": f"amqp://127.0.0.1:{port}//"}
    command = [sys.executable, "-m", "launcher.after_broker", sys.executable, "-c", "print('here')"]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as service:
        time.sleep(1.5)
        assert service.poll() is None
        listen = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(200)"
        with subprocess.Popen([sys.executable, "-c", listen]) as listener:
            try:
                assert service.communicate(timeout=90)[0] == "here\n"
            finally:
                listener.kill()
    assert service.returncode == 0

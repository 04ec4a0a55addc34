"""A private node of the installed RabbitMQ: its own data, cookie, ports and name server, on loopback only."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from launcher.ports import preferred_or_free
from launcher.problem import Problem
from launcher.runtime_dir import RuntimeDir
from launcher.supervision import Program

# The scripts themselves come first: what Debian and RPM have on PATH insists on root or on the user rabbitmq.
SERVERS = (
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server",
    "/usr/local/opt/rabbitmq/sbin/rabbitmq-server",
)
BIN_DIRS = ("/opt/homebrew/bin", "/usr/local/bin", "/usr/bin")
STOP_WAIT = 30  # seconds; a node with nothing to write is down in three


@dataclass(frozen=True)
class NodePorts:
    """The three ports of a node: AMQP, Erlang distribution, and the name server (epmd) of its own."""

    amqp: int
    distribution: int
    names: int

    @classmethod
    def choose(cls, gateway_port: int, avoid: Iterable[int] = ()) -> NodePorts:
        """GATEWAY_PORT + 20000, + 21000 and + 22000; a free one for each that is taken or too high, and none of
        `avoid`, on which the rest of the copy is about to listen."""
        taken = [*avoid]
        for offset in (20000, 21000, 22000):
            taken.append(preferred_or_free(gateway_port + offset, avoid=taken))
        return cls(*taken[-3:])


def installed() -> Path | None:
    """The start script of an installed RabbitMQ server, or None."""
    for candidate in SERVERS:
        if os.access(candidate, os.X_OK):
            return Path(candidate)
    found = shutil.which("rabbitmq-server")
    return Path(found) if found else None


def programs(runtime: RuntimeDir, ports: NodePorts, server: Path) -> list[Program]:
    """The node and its name server, as programs to supervise; writes what they read. Raises Problem when Erlang's
    name server cannot be found, OSError when a file cannot be written."""
    home = runtime.var_dir / "rabbitmq"
    for folder in (home, home / "data", home / "logs"):
        folder.mkdir(mode=0o700, exist_ok=True)
    cookie = home / ".erlang.cookie"
    if not cookie.exists():
        cookie.touch(mode=0o600)
        cookie.write_text(secrets.token_hex(20), encoding="ascii")
        cookie.chmod(0o400)
    (home / "plugins").write_text("[].\n", encoding="ascii")
    (home / "environment").write_text("", encoding="ascii")  # in place of the system's own rabbitmq-env.conf
    (home / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{ports.amqp}\n"
        # A development machine with little room left should still run a shop.
        "disk_free_limit.absolute = 100MB\n",
        encoding="ascii",
    )
    there = runtime.var / "rabbitmq"
    env = {
        "HOME": f"{there}",
        "ERL_EPMD_PORT": f"{ports.names}",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": "shop@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": f"{ports.amqp}",
        "RABBITMQ_DIST_PORT": f"{ports.distribution}",
        "RABBITMQ_MNESIA_BASE": f"{there}/data",
        "RABBITMQ_LOG_BASE": f"{there}/logs",
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": f"{there}/pid",
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{there}/plugins",
        "RABBITMQ_CONFIG_FILE": f"{there}/rabbitmq.conf",
        "RABBITMQ_ADVANCED_CONFIG_FILE": f"{there}/advanced.config",
        "RABBITMQ_CONF_ENV_FILE": f"{there}/environment",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }
    # A name server of its own, so that none is left behind: RabbitMQ would start a daemon that outlives it.
    link = runtime.path / "epmd"
    link.unlink(missing_ok=True)
    link.symlink_to(_name_server())
    listen = ["-address", "127.0.0.1", "-port", f"{ports.names}"]
    return [
        Program("epmd", [f"{link}", *listen], order=10, steady=0),
        Program("rabbitmq", [f"{server}"], order=20, stop_wait=STOP_WAIT, env=env),
    ]


def _name_server() -> Path:
    for folder in (*os.environ.get("PATH", "").split(os.pathsep), *BIN_DIRS):
        candidate = Path(folder) / "epmd"
        if folder and os.access(candidate, os.X_OK):
            return candidate
    erl = shutil.which("erl")
    if erl:
        ask = [erl, "-noshell", "-eval", 'io:format("~s", [code:root_dir()]), halt().']
        answer = subprocess.run(ask, capture_output=True, text=True, timeout=30)
        for candidate in sorted(Path(answer.stdout.strip() or "/nowhere").glob("erts-*/bin/epmd")):
            return candidate
    raise Problem("RabbitMQ is installed, but Erlang's epmd is not to be found; reinstall RabbitMQ or set AMQP_URI.")

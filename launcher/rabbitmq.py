"""A private node of the installed RabbitMQ: its own data, user, cookie, ports and name server, on loopback only."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from launcher.ports import preferred_or_free
from launcher.problem import Problem
from launcher.runtime_dir import RuntimeDir
from launcher.supervision import Program

BIN_DIRS = ("/opt/homebrew/bin", "/usr/local/bin", "/usr/bin")
CONTROL_WAIT_S = 90.0  # seconds for one rabbitmqctl, which takes two on an idle machine
STOP_WAIT_S = 30  # seconds; a node with nothing to write stops in three


@dataclass(frozen=True)
class NodePorts:
    """The three ports of a node: AMQP, Erlang distribution, and the name server (epmd) of its own."""

    amqp: int
    distribution: int
    names: int

    @classmethod
    def choose(cls, gateway_port: int, avoid: Iterable[int] = ()) -> NodePorts:
        """Return GATEWAY_PORT + 20000, + 21000 and + 22000; a free port replaces each that is taken or too high. Ports
        in `avoid` are excluded, because the rest of the copy is about to listen on them."""
        taken = [*avoid]
        for offset in (20000, 21000, 22000):
            taken.append(preferred_or_free(gateway_port + offset, avoid=taken))
        return cls(*taken[-3:])


@dataclass(frozen=True)
class Credentials:
    """The only user of a copy's broker."""

    user: str
    password: str = field(repr=False)

    @classmethod
    def of(cls, runtime: RuntimeDir) -> Credentials:
        """Return the credentials stored in VAR_DIR for its owner only; random ones are created the first time. Raises
        OSError."""
        path = _home(runtime) / "credentials"
        with contextlib.suppress(FileNotFoundError):
            user, _, password = path.read_text(encoding="ascii", errors="replace").strip().partition(":")
            if re.fullmatch("shop-[0-9a-f]{8}", user) and re.fullmatch("[0-9a-f]{48}", password):
                path.chmod(0o600)
                return cls(user, password)
        made = cls(f"shop-{secrets.token_hex(4)}", secrets.token_hex(24))
        write_private(path, f"{made.user}:{made.password}\n")
        return made

    def uri(self, port: int) -> str:
        """Return the URI of the copy's broker on `port`."""
        return f"amqp://{self.user}:{self.password}@127.0.0.1:{port}//"


def write_private(path: Path, text: str) -> None:
    """Write a file atomically, readable by its owner only. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
    temporary.replace(path)


def _home(runtime: RuntimeDir) -> Path:
    home = runtime.var_dir / "rabbitmq"
    for folder in (home, home / "data", home / "logs"):
        folder.mkdir(mode=0o700, exist_ok=True)
    return home


@dataclass(frozen=True)
class Node:
    """A copy's private node as supervisord programs; `admit` adds the copy's user.

    A node of an earlier release has only the user guest. It keeps its data: `admit` replaces the user.
    """

    runtime: RuntimeDir
    ports: NodePorts
    server: Path
    credentials: Credentials

    @property
    def uri(self) -> str:
        """The node's URI."""
        return self.credentials.uri(self.ports.amqp)

    def admit(self) -> None:
        """Make the copy's user the only one. Raises Problem."""
        # In this order, a node whose setup is interrupted rejects the copy's user next time, which repeats this.
        for user in self._control("--quiet", "list_users", "--no-table-headers").splitlines():
            self._control("delete_user", user.split("\t")[0])
        self._control("add_user", self.credentials.user, secret=self.credentials.password)
        self._control("set_permissions", "-p", "/", self.credentials.user, ".*", ".*", ".*")

    def _control(self, *arguments: str, secret: str = "") -> str:
        """Run rabbitmqctl; `secret` is sent on standard input, where no other user can read it."""
        env = {**os.environ, **self.environment(), "PATH": os.pathsep.join([os.environ.get("PATH", ""), *BIN_DIRS])}
        command = [str(self.server.with_name("rabbitmqctl")), "--node", env["RABBITMQ_NODENAME"], *arguments]
        done = subprocess.run(
            command, input=secret + "\n", env=env, capture_output=True, text=True, timeout=CONTROL_WAIT_S
        )
        if done.returncode != 0:
            raise Problem(f"RabbitMQ's user could not be set up: rabbitmqctl {arguments[0]} failed.", done.stderr)
        return done.stdout

    def environment(self) -> dict[str, str]:
        """Return the environment variables of RabbitMQ's scripts."""
        there, ports = self.runtime.var / "rabbitmq", self.ports
        return {
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

    def programs(self) -> list[Program]:
        """Return the node and its name server as programs; writes their configuration. Raises Problem when Erlang's
        name server cannot be found, OSError when a file cannot be written."""
        home = _home(self.runtime)
        cookie = home / ".erlang.cookie"
        if not cookie.exists():
            write_private(cookie, secrets.token_hex(20))
        cookie.chmod(0o400)
        write_private(home / "plugins", "[].\n")
        write_private(home / "environment", "")  # replaces the system's rabbitmq-env.conf
        write_private(
            home / "rabbitmq.conf",
            f"listeners.tcp.1 = 127.0.0.1:{self.ports.amqp}\n"
            # Not on the command line, because every user of the machine can read that.
            f"default_user = {self.credentials.user}\n"
            f"default_pass = {self.credentials.password}\n"
            # A development machine with little free disk space should still be able to run a shop.
            "disk_free_limit.absolute = 100MB\n",
        )
        # Its own name server, so that none is left running: RabbitMQ would start a daemon that outlives it.
        link = self.runtime.path / "epmd"
        link.unlink(missing_ok=True)
        link.symlink_to(_name_server())
        listen = ["-address", "127.0.0.1", "-port", f"{self.ports.names}"]
        return [
            Program("epmd", [f"{link}", *listen], order=10, steady=0),
            Program("rabbitmq", [f"{self.server}"], order=20, stop_wait=STOP_WAIT_S, env=self.environment()),
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

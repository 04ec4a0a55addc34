"""One copy of the shop: start it, stop it, stop and restart single parts (also for tests and benches)."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import time
import xmlrpc.client
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType

import filelock
import psutil

from launcher import broker, processes, programs, rabbitmq, readiness, record
from launcher.cart_id_secret import cart_id_secret
from launcher.place import SERVICES, Place, environment
from launcher.ports import free_port, is_free
from launcher.problem import Problem
from launcher.rabbitmq import BIN_DIRS
from launcher.record import Record
from launcher.runtime_dir import PRIVATE, RuntimeDir
from launcher.supervision import Supervisor

START_WAIT_S = 180.0  # seconds until everything is ready; about 15 on an idle two-core machine
MIGRATE_WAIT_S = 120.0
LOCK_WAIT_S = 300.0  # another start or stop of the same copy is in progress: longer than either takes
STOP_WAIT_S = 260.0  # gateway (40 s at most), four services (35 s), sandbox, broker (30 s), one after the other
_UNREACHABLE = (OSError, http.client.HTTPException, xmlrpc.client.Error)

Say = Callable[[str], None]


def quiet(_: str) -> None:
    """Say nothing."""


class Shop:
    """One copy of the shop, running or not; `with Shop(...) as shop:` starts and stops it."""

    def __init__(self, place: Place, parts: str = "all") -> None:
        """`place` is from `Place.from_env`; `parts` is "all", or "broker" for only a broker."""
        self.place = place
        self.parts = parts
        self.runtime = RuntimeDir(place.var_dir)
        known = self.record
        self.supervisor = Supervisor(self.runtime, known.supervisor_socket if known else None)
        self._struck = float("-inf")  # when a part was last stopped here (monotonic)

    @classmethod
    def on_free_ports(
        cls,
        var_dir: str | Path,
        env: Mapping[str, str | None] | None = None,
        copies: Mapping[str, int] | None = None,
        parts: str = "all",
    ) -> Shop:
        """Return a separate copy in `var_dir`, on free ports, with its own broker and sandbox and without provider
        keys.

        Arguments: var_dir: a directory for its data and logs. env: variables to set, or to remove (None); `{"AMQP_URI":
            uri}` makes it use that broker. copies: service -> number of processes. parts: "all", or "broker".
        """
        merged = without_keys(environment())
        gateway_port = free_port()
        merged.update(
            VAR_DIR=str(var_dir),
            GATEWAY_PORT=str(gateway_port),
            SANDBOX_PORT=str(free_port(avoid={gateway_port})),
            **{f"{service.upper()}_COPIES": str(count) for service, count in (copies or {}).items()},
        )
        for name, value in (env or {}).items():
            if value is None:
                merged.pop(name, None)
            else:
                merged[name] = value
        return cls(Place.from_env(merged), parts)

    def __enter__(self) -> Shop:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The gateway's URL."""
        known = self.record
        return known.gateway_url if known else self.place.gateway_url

    @property
    def sandbox_url(self) -> str:
        """The sandbox's URL."""
        known = self.record
        return known.sandbox_url if known else self.place.effective_sandbox_url

    @property
    def amqp_uri(self) -> str:
        """The URI of the broker in use. Raises Problem when the shop does not run."""
        known = self.record
        if known is None:
            raise Problem("The shop is not running.")
        return known.amqp_uri

    @property
    def record(self) -> Record | None:
        """The record of the running copy, or None."""
        return Record.read(self.place.var_dir)

    @property
    def running(self) -> bool:
        """True when its supervisord runs (though parts may be down)."""
        return self.supervisor.process is not None

    def start(self, say: Say = quiet, progress: readiness.Progress | None = None) -> bool:
        """Start what does not run yet, and wait until the gateway is ready.

        Returns False, with nothing done, when this copy runs already. When a part fails to start, raises Problem after
        stopping everything that was started; the same for KeyboardInterrupt.
        """
        running = self.running
        if running:
            return False
        self.runtime.prepare()
        with self._alone():
            if self.running:  # by another command, in the meantime
                return False
            self._clean(say)
            self.supervisor = Supervisor(self.runtime)
            try:
                self._check_settings(say)
                self._check_ports()
                own = (self.place.gateway_port, self.place.sandbox_port)
                chosen = broker.choose(self.runtime, self.place.gateway_port, self.place.amqp_uri, say, own)
                self._start(chosen, progress or readiness.Progress())
            except BaseException:
                self._stop()
                raise
        return True

    def stop(self) -> bool:
        """Stop the gateway, the services, the sandbox and the broker, in that order; return False when nothing ran."""
        if not self.place.var_dir.is_dir() and not processes.marked(self.runtime.id):
            return False
        self.place.var_dir.mkdir(parents=True, exist_ok=True)  # deleted under a running copy: still stop it
        with self._alone():
            return self._stop()

    def pids(self, part: str) -> list[int]:
        """Return the ids of the running processes of `part` ("cart", "rabbitmq", …)."""
        return [info["pid"] for info in self.supervisor.parts(part) if info["pid"]]

    def kill(self, part: str) -> list[int]:
        """`kill -9` every process of `part`, workers included; supervisord restarts it. Return the killed process
        ids."""
        killed = []
        for pid in self.pids(part):
            with contextlib.suppress(psutil.Error):
                leader = psutil.Process(pid)
                for process in [leader, *leader.children(recursive=True)]:
                    with contextlib.suppress(psutil.Error):  # perhaps only a worker has exited, and not yet all
                        process.kill()
                        killed.append(process.pid)
        self._struck = time.monotonic()
        return killed

    def halt(self, part: str) -> None:
        """Stop `part` gracefully, and keep it down until `resume`."""
        self.supervisor.halt(part)
        self._struck = time.monotonic()

    def resume(self, part: str) -> None:
        """Start `part` again after `halt`, without waiting for it."""
        self.supervisor.run(part)

    def wait_ready(self, timeout: float = START_WAIT_S) -> None:
        """Wait until /health/ready/ answers 200 with a result from after the last `kill` or `halt` here. Raises Problem
        after `timeout` seconds, with what is missing."""
        time.sleep(max(0.0, self._struck + readiness.ANSWER_KEPT_S - time.monotonic()))
        readiness.until_ready(self.supervisor, self.url, timeout, readiness.Progress())

    def log(self, part: str, lines: int = 30) -> str:
        """Return the last `lines` lines of the log of `part`, all its copies."""
        return readiness.tail(self.place.var_dir, part, lines)

    def process_env(self, amqp_uri: str) -> dict[str, str]:
        """Return the environment of every process of this copy."""
        env = {name: value for name, value in self.place.env.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
        env.pop("PUBLISH_ADDRESS", None)  # Compose's: here the gateway listens on GATEWAY_HOST itself
        if not env.get("CART_ID_SECRET"):
            env["CART_ID_SECRET"] = cart_id_secret(self.place.var_dir)
        env.update(
            AMQP_URI=amqp_uri,
            VAR_DIR=str(self.place.var_dir),
            GATEWAY_HOST=self.place.gateway_host,
            GATEWAY_PORT=str(self.place.gateway_port),
            SANDBOX_HOST=self.place.sandbox_host,
            SANDBOX_PORT=str(self.place.sandbox_port),
            SANDBOX_URL=self.place.effective_sandbox_url,
            PUBLIC_URL=env.get("PUBLIC_URL") or self.place.gateway_url,
            WEBHOOK_URL=env.get("WEBHOOK_URL") or self.place.gateway_url,
            PYTHONUNBUFFERED="1",
            EVENTLET_NO_GREENDNS="yes",  # see chassis/name_lookup.py
            PYTHONWARNINGS=env.get("PYTHONWARNINGS") or "ignore",  # libraries' deprecations do not concern the operator
            PATH=os.pathsep.join([env.get("PATH", os.defpath), *BIN_DIRS]),
        )
        return env

    def migrate(self, env: Mapping[str, str]) -> None:
        """Migrate the databases. Raises Problem with the migration's output."""
        try:
            done = subprocess.run(
                [self.runtime.python, "-m", "chassis.db.migrate"],
                cwd=self.runtime.root,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=MIGRATE_WAIT_S,
                umask=PRIVATE,
            )
        except subprocess.TimeoutExpired as error:
            raise Problem(f"The databases could not be migrated within {MIGRATE_WAIT_S:.0f} s.") from error
        if done.returncode != 0:
            said = done.stdout.decode(errors="replace")
            raise Problem("The databases could not be migrated.", said[-3000:])

    def _start(self, chosen: broker.Broker, progress: readiness.Progress) -> None:
        parts = [*chosen.programs]
        if self.parts == "all":
            parts += programs.shop_programs(self.runtime, self.place)
        env = self.process_env(chosen.uri)
        self.supervisor.start(parts, env)
        Record(
            gateway_url=self.place.gateway_url,
            sandbox_url=self.place.effective_sandbox_url,
            amqp_uri=chosen.uri,
            supervisor_socket=str(self.runtime.supervisor_socket),
            started=time.time(),
        ).write(self.place.var_dir)
        names = [program.name for program in parts]
        first = [name for name in names if name not in (*SERVICES, "gateway")]
        for name in first:
            self.supervisor.run(name)
        if self.parts == "all":
            with progress.step("databases"):
                self.migrate(env)
        with progress.step("rabbitmq"):
            readiness.until(self.supervisor, chosen.stands, START_WAIT_S, "rabbitmq")
        if "sandbox" in names:
            with progress.step("sandbox"):
                health = f"{self.place.effective_sandbox_url}/sandbox/health"
                readiness.until(self.supervisor, lambda: readiness.answers(health), START_WAIT_S, "sandbox")
        for name in names:
            if name not in first:
                self.supervisor.run(name)
        if self.parts == "all":
            readiness.until_ready(self.supervisor, self.place.gateway_url, START_WAIT_S, progress)

    def _stop(self) -> bool:
        ran = bool(processes.marked(self.runtime.id))
        # After the timeout, or at a second Ctrl-C, the remaining processes are killed.
        with contextlib.suppress(psutil.TimeoutExpired, subprocess.TimeoutExpired, KeyboardInterrupt):
            self.supervisor.end(STOP_WAIT_S)
        processes.kill(self.runtime.id)
        record.forget(self.place.var_dir)
        self.runtime.remove()
        return ran

    def _clean(self, say: Say) -> None:
        left = processes.kill(self.runtime.id)
        known = self.record
        if left or known:
            say(f"Cleaned up after a shop that was killed ({left} of its processes still ran).")
        if known:
            broker.remove_container(self.runtime)
            record.forget(self.place.var_dir)

    def _check_settings(self, say: Say) -> None:
        """Raise Problem, with its sentences, when these settings must not start the shop; print the warnings."""
        if self.parts != "all":
            return
        uri = self.place.amqp_uri or rabbitmq.Credentials.of(self.runtime).uri(self.place.gateway_port)
        done = subprocess.run(
            [self.runtime.python, "-W", "ignore", "-m", "chassis.safe_start"],
            cwd=self.runtime.root,
            env=self.process_env(uri),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=MIGRATE_WAIT_S,
        )
        if done.returncode != 0:
            raise Problem(done.stderr.strip()[-3000:])
        for line in done.stdout.splitlines():
            say(f"Warning: {line}")

    def _check_ports(self) -> None:
        if self.parts != "all":
            return
        wanted = [("GATEWAY_PORT", self.place.gateway_host, self.place.gateway_port)]
        if self.place.own_sandbox:
            wanted.append(("SANDBOX_PORT", self.place.sandbox_host, self.place.sandbox_port))
        for name, host, port in wanted:
            if not is_free(port, host):
                raise Problem(f"Port {port} is in use by another program; stop that, or set {name} to a free port.")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            with filelock.FileLock(self.runtime.lock, timeout=LOCK_WAIT_S, mode=0o600):
                yield
        except filelock.Timeout as error:
            raise Problem(
                f"Another command has been starting or stopping this shop for {LOCK_WAIT_S:.0f} s."
            ) from error


def without_keys(env: Mapping[str, str]) -> dict[str, str]:
    """Return `env` without anything that would make a copy use a real provider, or share something with another
    copy."""
    private = ("STRIPE_", "SHIPPO_", "TWILIO_", "SENDGRID_", "GATEWAY_", "SANDBOX_", "ADMIN_API_KEYS", "CART_ID_")
    shared = ("AMQP_URI", "DATABASE_URL", "VAR_DIR", "PUBLIC_URL", "WEBHOOK_URL", "SHOP_URL", processes.MARK)
    return {
        name: value
        for name, value in env.items()
        if not name.startswith(private) and name not in shared and not name.endswith("_COPIES")
    }

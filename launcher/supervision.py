"""supervisord for one copy: its configuration, its start and end, and calls to it over its socket."""

from __future__ import annotations

import contextlib
import http.client
import resource
import shlex
import socket
import subprocess
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil
from supervisor.xmlrpc import Faults

from launcher import processes
from launcher.problem import Problem
from launcher.runtime_dir import PRIVATE, RuntimeDir

FOREVER = 1_000_000  # retries: a part that lost its broker or disk returns as soon as that does
FILES = 65536  # open files, when the system allows: RabbitMQ takes one per connection and queue
LOG_BYTES, LOG_BACKUPS = "10MB", 3
START_WAIT_S = 60.0  # seconds for supervisord itself, which takes half a second on an idle machine


@dataclass(frozen=True)
class Program:
    """One program of the shop under supervisord.

    Attributes:
        name: its name in `status` and `logs`.
        command: program and arguments; shell quoting must suffice for every word.
        order: started in ascending, stopped in descending order.
        stop_wait: seconds from SIGTERM to SIGKILL.
        steady: how many seconds it must run to count as started.
        copies: number of processes.
        env: its variables in addition to supervisord's environment; plain words.
        group: programs of one group are stopped together, not sequentially.
    """

    name: str
    command: Sequence[str]
    order: int
    stop_wait: int = 10
    steady: int = 1
    copies: int = 1
    env: Mapping[str, str] = field(default_factory=dict)
    group: str | None = None


def configuration(runtime: RuntimeDir, programs: Sequence[Program]) -> str:
    """Return the text of supervisord.conf for `programs`. No program starts automatically: the launcher starts them."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    sections = [
        _section("unix_http_server", file=runtime.supervisor_socket, chmod="0600"),
        _section(
            "rpcinterface:supervisor",
            **{"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
        ),
        _section(
            "supervisord",
            identifier="shop",
            pidfile=runtime.path / "supervisord.pid",
            logfile=runtime.var / "logs" / "supervisord.log",
            logfile_maxbytes=LOG_BYTES,
            logfile_backups=LOG_BACKUPS,
            minfds=files,
            directory=runtime.root,
            umask=f"{PRIVATE:03o}",
        ),
    ]
    sections += [_program(runtime, program) for program in programs]
    for group in {program.group: program.order for program in programs if program.group}.items():
        members = ",".join(program.name for program in programs if program.group == group[0])
        sections.append(_section(f"group:{group[0]}", programs=members, priority=group[1]))
    return "\n".join(sections)


def _program(runtime: RuntimeDir, program: Program) -> str:
    several = program.copies > 1
    name = "%(program_name)s-%(process_num)d" if several else "%(program_name)s"
    options: dict[str, object] = {
        "command": shlex.join(program.command).replace("%", "%%"),
        "process_name": name,
        "numprocs": program.copies,
        "numprocs_start": 1,
        "directory": runtime.root,
        "priority": program.order,
        "autostart": "false",
        "autorestart": "true",
        "startsecs": program.steady,
        "startretries": FOREVER,
        "stopsignal": "TERM",
        "stopwaitsecs": program.stop_wait,
        # SIGTERM goes to the leader, which finishes the requests in progress and ends its workers; SIGKILL goes to all
        # of them.
        "stopasgroup": "false",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": f"{runtime.var}/logs/{name}.log",
        "stdout_logfile_maxbytes": LOG_BYTES,
        "stdout_logfile_backups": LOG_BACKUPS,
    }
    if program.env:
        options["environment"] = ",".join(f'{key}="{value}"' for key, value in program.env.items())
    return _section(f"program:{program.name}", **options)


def _takes_sigterm(part: Mapping[str, Any]) -> bool:
    """Whether SIGTERM would end `part` now. A crashed process is restarted in supervisord's next round, and can be
    stopped only then. A process that was forked a moment ago (its age is known in whole seconds) and has not executed
    its program yet would lose the signal, and be killed after its stop timeout."""
    age: int = part["now"] - part["start"]
    young = 0 <= age <= 1  # below 0: the clock was set back
    return part["statename"] in ("STARTING", "RUNNING") and not young and _is_its_own_program(part["pid"])


def _is_its_own_program(pid: int) -> bool:
    """Whether the process has executed its program, and is no longer a fork of supervisord; this may take a while on a
    busy machine."""
    with contextlib.suppress(psutil.Error):  # it has died
        process = psutil.Process(pid)
        parent = process.parent()
        return parent is None or process.cmdline() != parent.cmdline()
    return False


def _section(title: str, **options: object) -> str:
    return "\n".join([f"[{title}]", *(f"{key}={value}" for key, value in options.items()), ""])


def program_of(process: str) -> str:
    """Return the program of a process or log called `process`: cart-2 belongs to cart."""
    name, dash, number = process.rpartition("-")
    return name if dash and number.isdigit() else process


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class _SocketTransport(xmlrpc.client.Transport):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__()
        self.path, self.timeout = path, timeout

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _SocketConnection(self.path, self.timeout)
        self._connection = host, connection  # the attribute that `close` of the transport closes
        return connection


class Supervisor:
    """supervisord of one copy, running or not."""

    def __init__(self, runtime: RuntimeDir, address: str | None = None) -> None:
        """`address`: the socket that a running supervisord was started with, if the temporary directory has changed
        since."""
        self.runtime = runtime
        self.address = address or str(runtime.supervisor_socket)
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> psutil.Process | None:
        """The running supervisord, or None."""
        if self._child:
            self._child.poll()  # a killed child must be reaped, or it stays a zombie
        return processes.supervisor_of(self.runtime.id)

    def start(self, programs: Sequence[Program], env: Mapping[str, str]) -> None:
        """Write the configuration and run supervisord with `env`, in its own session, without starting any of
        `programs`. Raises Problem when it does not answer."""
        runtime = self.runtime
        runtime.supervisor_conf.write_text(configuration(runtime, programs), encoding="utf-8")
        runtime.supervisor_socket.unlink(missing_ok=True)
        log = runtime.var_dir / "logs" / "supervisord.log"
        with (runtime.path / "supervisord.out").open("wb") as output:
            child = self._child = subprocess.Popen(
                [runtime.python, "-m", "supervisor.supervisord", "-n", "-c", runtime.supervisor_conf],
                cwd=runtime.root,
                env={**env, processes.MARK: runtime.id},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                umask=PRIVATE,
                start_new_session=True,  # Ctrl-C in the terminal is for the launcher, which stops the parts in order
            )
        deadline = time.monotonic() + START_WAIT_S
        while not self.answers():
            if child.poll() is not None or time.monotonic() > deadline:
                said = (runtime.path / "supervisord.out").read_text(encoding="utf-8", errors="replace")
                raise Problem(f"supervisord did not start; its log is {log}.", said[-2000:])
            time.sleep(0.05)

    def end(self, timeout: float) -> None:
        """Stop every program in order, then supervisord. Raises psutil.TimeoutExpired after `timeout` seconds."""
        process = self.process
        if process:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
                process.wait(timeout)
        if self._child:
            self._child.wait(timeout)  # if it is our child, it is reaped

    def answers(self) -> bool:
        """True when supervisord accepts calls."""
        try:
            return bool(self.ask("getState", timeout=5)["statename"] == "RUNNING")
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False

    def ask(self, method: str, *arguments: object, timeout: float = 60.0) -> Any:
        """Call `supervisor.<method>`. Raises OSError, http.client.HTTPException or xmlrpc.client.Error."""
        transport = _SocketTransport(self.address, timeout)
        with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)

    def run(self, name: str) -> None:
        """Start the program `name`, all copies, without waiting for it. Running copies are kept."""
        for part in self.parts(name):
            if part["statename"] not in ("RUNNING", "STARTING"):
                self._tell("startProcess", part, Faults.ALREADY_STARTED)

    def halt(self, name: str, timeout: float = 90.0) -> None:
        """Stop the program `name`, all copies at once, and keep it down until `run`. Raises Problem when one has not
        stopped after `timeout` seconds; its stop signal was sent nevertheless."""
        deadline = time.monotonic() + timeout
        while going := [part for part in self.parts(name) if part["statename"] not in ("STOPPED", "FATAL")]:
            if time.monotonic() > deadline:
                states = ", ".join(f"{part['name']} is {part['statename']}" for part in going)
                raise Problem(f"{name} has not stopped within {timeout:g} seconds: {states}.")
            for part in going:
                if part["statename"] == "BACKOFF" or _takes_sigterm(part):
                    self._tell("stopProcess", part, Faults.NOT_RUNNING)
            time.sleep(0.02)

    def _tell(self, method: str, part: Mapping[str, Any], moved_on: int) -> None:
        """Have supervisord start or stop `part`, without waiting for it. The fault `moved_on` means that its state has
        changed since it was checked."""
        try:
            self.ask(method, f"{part['group']}:{part['name']}", False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != moved_on:
                raise

    def parts(self, program: str | None = None) -> list[dict[str, Any]]:
        """Return the processes of `program`, or all, as supervisord reports them: name, group, statename, pid, start,
        now, …"""
        found = self.ask("getAllProcessInfo")
        return [info for info in found if program is None or program_of(info["name"]) == program]

"""supervisord for one copy: its configuration, its start and end, and the questions asked of it over its socket."""

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

FOREVER = 1_000_000  # tries: a part that lost its broker or disk comes back whenever that does
FILES = 65536  # open files, when the system allows: RabbitMQ takes one per connection and queue
LOG_BYTES, LOG_BACKUPS = "10MB", 3
START_WAIT = 60.0  # seconds for supervisord itself, which takes half a second on an idle machine


@dataclass(frozen=True)
class Program:
    """One line of the shop, as supervisord keeps it.

    Attributes:
        name: what `status` and `logs` call it.
        command: program and arguments; no word of it may need more than shell quoting.
        order: started in ascending, stopped in descending order.
        stop_wait: seconds from SIGTERM to SIGKILL.
        steady: seconds that it must run to count as started.
        copies: number of processes.
        env: what it has beside the environment of supervisord; plain words.
        group: programs of one group are stopped together, not one after the other.
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
    """The text of supervisord.conf for `programs`. Nothing of it starts by itself: the launcher says when."""
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
        # SIGTERM goes to the leader, which finishes what is under way and ends its workers itself; SIGKILL to them all.
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
    """Whether SIGTERM would end `part` now. One that died is brought back in supervisord's next round, and can be
    stopped only then; one that was forked a moment ago (it is told in whole seconds) and is not its own program yet
    would lose the signal, and be killed when its time to stop is over."""
    age: int = part["now"] - part["start"]
    young = 0 <= age <= 1  # below 0: the clock was set back
    return part["statename"] in ("STARTING", "RUNNING") and not young and _is_its_own_program(part["pid"])


def _is_its_own_program(pid: int) -> bool:
    """Whether the process is no mere fork of supervisord any more: on a busy machine that may take its time."""
    with contextlib.suppress(psutil.Error):  # it has died
        process = psutil.Process(pid)
        parent = process.parent()
        return parent is None or process.cmdline() != parent.cmdline()
    return False


def _section(title: str, **options: object) -> str:
    return "\n".join([f"[{title}]", *(f"{key}={value}" for key, value in options.items()), ""])


def program_of(process: str) -> str:
    """Which program the process, or the log, called `process` belongs to: cart-2 is cart's."""
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
        self._connection = host, connection  # what closing the transport closes
        return connection


class Supervisor:
    """supervisord of one copy, running or not."""

    def __init__(self, runtime: RuntimeDir, address: str | None = None) -> None:
        """`address`: the socket that a running supervisord was started with, when another temporary directory was in
        force then."""
        self.runtime = runtime
        self.address = address or str(runtime.supervisor_socket)
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> psutil.Process | None:
        """The running supervisord, or None."""
        if self._child:
            self._child.poll()  # a killed one must not stay behind as a zombie
        return processes.supervisor_of(self.runtime.id)

    def start(self, programs: Sequence[Program], env: Mapping[str, str]) -> None:
        """Write the configuration and run supervisord with `env`, in a session of its own; none of `programs` is
        started yet. Raises Problem when it does not answer."""
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
                start_new_session=True,  # Ctrl-C in the terminal is for the launcher, which ends the parts in order
            )
        deadline = time.monotonic() + START_WAIT
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
            self._child.wait(timeout)  # when it was ours, it is not left a zombie

    def answers(self) -> bool:
        """True when supervisord takes questions."""
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
        """Start the program `name`, all copies, without waiting for it. Running ones stay."""
        for part in self.parts(name):
            if part["statename"] not in ("RUNNING", "STARTING"):
                self._tell("startProcess", part, Faults.ALREADY_STARTED)

    def halt(self, name: str, timeout: float = 90.0) -> None:
        """Stop the program `name`, all copies at once, and keep it down until `run`. Raises Problem when one has not
        stopped after `timeout` seconds; it has been told to all the same."""
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
        """Have supervisord start or stop `part`, without waiting for it; the fault `moved_on` says that its state has
        changed since it was looked at."""
        try:
            self.ask(method, f"{part['group']}:{part['name']}", False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != moved_on:
                raise

    def parts(self, program: str | None = None) -> list[dict[str, Any]]:
        """The processes of `program`, or all, as supervisord sees them: name, group, statename, pid, start, now, …"""
        found = self.ask("getAllProcessInfo")
        return [info for info in found if program is None or program_of(info["name"]) == program]

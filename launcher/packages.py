"""Installs the system packages that the shop needs with the system's package manager, after announcing it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

# The package must not start a node of its own on the standard port, because the shop runs a private one.
QUIET = {"RUNLEVEL": "1", "SYSTEMD_OFFLINE": "1", "DEBIAN_FRONTEND": "noninteractive"}
INSTALL_TIMEOUT_S = 900  # a download of about 100 MB on a slow line
SHOWN_ON_FAILURE = 3000  # characters


@dataclass(frozen=True)
class PackageManager:
    """A package manager.

    Attributes:
        program: its name.
        install: its install command, before the package's name.
        needs_root: whether that requires root.
        refresh: the command to run first, or nothing; it may fail, because a stale package list is often good enough.
    """

    program: str
    install: tuple[str, ...]
    needs_root: bool = True
    refresh: tuple[str, ...] = ()


@dataclass(frozen=True)
class Package:
    """A package to install: its title, and its names in the package managers.

    Attributes:
        title: its name in a sentence, with its size.
        name: the package's name in most package managers.
        names: the package's name in the others.
    """

    title: str
    name: str
    names: tuple[tuple[str, str], ...] = ()

    def called(self, manager: PackageManager) -> str:
        """Return the package's name in `manager`."""
        return dict(self.names).get(manager.program, self.name)


MANAGERS = (
    PackageManager("apt-get", ("apt-get", "install", "-y", "--no-install-recommends"), refresh=("apt-get", "update")),
    PackageManager("dnf", ("dnf", "install", "-y")),
    PackageManager("yum", ("yum", "install", "-y")),
    PackageManager("zypper", ("zypper", "--non-interactive", "install")),
    PackageManager("pacman", ("pacman", "-S", "--noconfirm")),
    PackageManager("apk", ("apk", "add")),
    PackageManager("brew", ("brew", "install"), needs_root=False),
)

RABBITMQ = Package("RabbitMQ (about 100 MB)", "rabbitmq-server", (("pacman", "rabbitmq"), ("brew", "rabbitmq")))
CURL = Package("curl", "curl")
CHROMIUM = Package("Chromium (about 300 MB)", "chromium")


RABBITMQ_SERVERS = (
    # The scripts themselves come first: the wrappers of Debian and RPM on PATH require root or the user rabbitmq.
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server",
    "/usr/local/opt/rabbitmq/sbin/rabbitmq-server",
)


def rabbitmq_server() -> Path | None:
    """Return the start script of an installed RabbitMQ server, or None."""
    for candidate in RABBITMQ_SERVERS:
        if os.access(candidate, os.X_OK):
            return Path(candidate)
    found = shutil.which("rabbitmq-server")
    return Path(found) if found else None


def container_engine_runs() -> bool:
    """Return True when `docker` reaches an engine."""
    if not shutil.which("docker"):
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def by_hand(package: Package) -> str:
    """Return how the user installs `package` if `available` finds no package manager: one or two sentences."""
    found = next((manager for manager in MANAGERS if shutil.which(manager.program)), None)
    if found is None:
        return f"Install {package.name}."
    command = " ".join([*found.install, package.called(found)])
    if not found.needs_root or os.getuid() == 0:
        return f"Run: {command}"
    if shutil.which("sudo"):
        return f"{found.program} needs root, and sudo asks for a password here. Run: sudo {command}"
    return f"{found.program} needs root, and there is no sudo here. Run as root: {command}"


def no_rabbitmq() -> str:
    """Return what to do if the shop can neither find nor install a broker."""
    return f"RabbitMQ is not installed. {by_hand(RABBITMQ)}\nOr set AMQP_URI to a running broker."


def available() -> PackageManager | None:
    """Return the system's package manager that this user may use without entering a password, or None."""
    for manager in MANAGERS:
        if shutil.which(manager.program) and (not manager.needs_root or os.getuid() == 0 or _sudo_is_silent()):
            return manager
    return None


def install(package: Package, manager: PackageManager, say: Callable[[str], None]) -> bool:
    """Install `package` with `manager`; return True on success, else show the last lines of its output."""
    prefix = ["sudo", "-n"] if manager.needs_root and os.getuid() != 0 else []
    prefix += ["env", *(f"{name}={value}" for name, value in QUIET.items())]
    say(f"Installing {package.title} with {manager.program}, once …")
    try:
        if manager.refresh:
            _run([*prefix, *manager.refresh])
        done = _run([*prefix, *manager.install, package.called(manager)])
    except (OSError, subprocess.TimeoutExpired) as error:
        say(str(error))
        return False
    if done.returncode != 0:
        say(done.stdout[-SHOWN_ON_FAILURE:])
    return done.returncode == 0


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=INSTALL_TIMEOUT_S,
    )


def _sudo_is_silent() -> bool:
    if not shutil.which("sudo"):
        return False
    try:
        return subprocess.run(["sudo", "-n", "true"], capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False

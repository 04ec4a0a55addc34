"""Installs what the shop needs of the system with its package manager, saying so first."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

# The package must not start a node of its own on the standard port: the shop's is a private one.
QUIET = {"RUNLEVEL": "1", "SYSTEMD_OFFLINE": "1", "DEBIAN_FRONTEND": "noninteractive"}
PATIENCE = 900  # seconds; a download of about 100 MB on a slow line


@dataclass(frozen=True)
class PackageManager:
    """One way to install.

    Attributes:
        program: its name.
        install: what it runs, before the package's name.
        needs_root: whether that takes root.
        refresh: what it runs first, or nothing; it may fail, since a stale list of packages is often good enough.
    """

    program: str
    install: tuple[str, ...]
    needs_root: bool = True
    refresh: tuple[str, ...] = ()


@dataclass(frozen=True)
class Package:
    """Something to install: what people call it, and what the package managers do.

    Attributes:
        title: its name in a sentence, with its size.
        name: the package's name with most package managers.
        names: the package's name with the others.
    """

    title: str
    name: str
    names: tuple[tuple[str, str], ...] = ()

    def called(self, manager: PackageManager) -> str:
        """The package's name with `manager`."""
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


def available() -> PackageManager | None:
    """The package manager of this system that this user may use without being asked for a password, or None."""
    for manager in MANAGERS:
        if shutil.which(manager.program) and (not manager.needs_root or os.getuid() == 0 or _sudo_is_silent()):
            return manager
    return None


def install(package: Package, manager: PackageManager, say: Callable[[str], None]) -> bool:
    """Install `package` with `manager`, its output shown; True when it succeeded."""
    prefix = ["sudo", "-n"] if manager.needs_root and os.getuid() != 0 else []
    prefix += ["env", *(f"{name}={value}" for name, value in QUIET.items())]
    say(f"{package.title} is not installed; installing it with {manager.program}, once …")
    try:
        if manager.refresh:
            subprocess.run([*prefix, *manager.refresh], stdin=subprocess.DEVNULL, timeout=PATIENCE)
        command = [*prefix, *manager.install, package.called(manager)]
        return subprocess.run(command, stdin=subprocess.DEVNULL, timeout=PATIENCE).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _sudo_is_silent() -> bool:
    if not shutil.which("sudo"):
        return False
    try:
        return subprocess.run(["sudo", "-n", "true"], capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False

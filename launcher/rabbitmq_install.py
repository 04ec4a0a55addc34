"""Installs rabbitmq-server with the system's package manager, saying so first."""

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
    """One way to install: its program, what it runs, and whether that takes root."""

    program: str
    commands: tuple[tuple[str, ...], ...]
    needs_root: bool = True


MANAGERS = (
    PackageManager(
        "apt-get",
        (("apt-get", "update"), ("apt-get", "install", "-y", "--no-install-recommends", "rabbitmq-server")),
    ),
    PackageManager("dnf", (("dnf", "install", "-y", "rabbitmq-server"),)),
    PackageManager("yum", (("yum", "install", "-y", "rabbitmq-server"),)),
    PackageManager("zypper", (("zypper", "--non-interactive", "install", "rabbitmq-server"),)),
    PackageManager("pacman", (("pacman", "-S", "--noconfirm", "rabbitmq"),)),
    PackageManager("apk", (("apk", "add", "rabbitmq-server"),)),
    PackageManager("brew", (("brew", "install", "rabbitmq"),), needs_root=False),
)


def available() -> PackageManager | None:
    """The package manager of this system that this user may use without being asked for a password, or None."""
    for manager in MANAGERS:
        if shutil.which(manager.program) and (not manager.needs_root or os.getuid() == 0 or _sudo_is_silent()):
            return manager
    return None


def install(manager: PackageManager, say: Callable[[str], None]) -> bool:
    """Run `manager`, its output shown; True when it succeeded."""
    prefix = ["sudo", "-n"] if manager.needs_root and os.getuid() != 0 else []
    prefix += ["env", *(f"{name}={value}" for name, value in QUIET.items())]
    say(f"RabbitMQ is not installed; installing it with {manager.program} (about 100 MB, once) …")
    for command in manager.commands:
        try:
            status = subprocess.run([*prefix, *command], stdin=subprocess.DEVNULL, timeout=PATIENCE).returncode
        except (OSError, subprocess.TimeoutExpired):
            return False
        if status != 0 and command != ("apt-get", "update"):  # a stale list of packages is often good enough
            return False
    return True


def _sudo_is_silent() -> bool:
    if not shutil.which("sudo"):
        return False
    try:
        return subprocess.run(["sudo", "-n", "true"], capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False

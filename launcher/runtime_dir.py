"""A short private directory per copy, for what does not work under every path: sockets, and RabbitMQ's scripts.

A Unix socket's path is limited to about 100 characters, RabbitMQ's shell scripts break at a space, and supervisor's
configuration at a `%` or `;`. So each copy gets one directory under the system's temporary one with links to the real
places, and every generated line uses the links.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from launcher.place import ROOT
from launcher.problem import Problem

PRIVATE = 0o077  # the umask for every file of a copy, since they include secrets, orders and addresses


def copy_id(var_dir: Path) -> str:
    """Return the identifier of the copy at `var_dir` (a real path) on this machine: 12 hex digits."""
    return hashlib.sha256(f"{os.getuid()}:{var_dir}".encode()).hexdigest()[:12]


class RuntimeDir:
    """Return the short directory of the copy at `var_dir`; `prepare` creates it."""

    def __init__(self, var_dir: Path, root: Path = ROOT) -> None:
        self.var_dir = var_dir
        self.root_dir = root
        self.id = copy_id(var_dir)
        self.path = Path(tempfile.gettempdir()) / f"shop-{os.getuid()}-{self.id}"
        self.var = self.path / "var"
        self.root = self.path / "root"
        self.python = self.path / "venv" / "bin" / Path(sys.executable).name
        self.supervisor_conf = self.path / "supervisord.conf"
        self.supervisor_socket = self.path / "supervisor.sock"
        self.lock = var_dir / ".lock"

    def prepare(self) -> None:
        """Create the directory and its links, and VAR_DIR with its logs. Raises Problem when one cannot be written."""
        try:
            self.var_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.var_dir.stat().st_mode & PRIVATE:
                self._tighten()
            (self.var_dir / "logs").mkdir(mode=0o700, exist_ok=True)
            probe = self.var_dir / f".writable-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise Problem(f"VAR_DIR {self.var_dir} cannot be written: {error.strerror}.") from error
        try:
            self.path.mkdir(mode=0o700, exist_ok=True)
            status = self.path.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
                raise Problem(f"{self.path} belongs to somebody else; remove it and start again.")
            self.path.chmod(0o700)
            _link(self.var, self.var_dir)
            _link(self.root, self.root_dir)
            _link(self.path / "venv", Path(sys.prefix))
        except OSError as error:
            raise Problem(f"The temporary directory {self.path} cannot be written: {error.strerror}.") from error

    def _tighten(self) -> None:
        """Deny other users access to VAR_DIR. Raises Problem when it belongs to one of them."""
        try:
            self.var_dir.chmod(0o700)
        except PermissionError as error:
            raise Problem(f"VAR_DIR {self.var_dir} is open to other users, and is not yours to close.") from error

    def remove(self) -> None:
        """Remove the directory; the targets of its links stay."""
        shutil.rmtree(self.path, ignore_errors=True)


def _link(link: Path, target: Path) -> None:
    if link.is_symlink():
        if os.readlink(link) == str(target):
            return
        link.unlink()
    link.symlink_to(target, target_is_directory=True)

"""A wall clock that can be stepped and a disk that can be full, for single processes of a running shop."""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

from launcher import packages

SOURCE = Path(__file__).with_name("shim.c")
COMPILERS = ("gcc", "cc", "clang")
COMPILER = packages.Package("A C compiler", "gcc")
COMPILE_WAIT_S = 120.0


def compiler() -> str | None:
    """Return the C compiler, installed if needed and possible; None when there is none."""
    found = next(filter(None, map(shutil.which, COMPILERS)), None)
    if found is None and (manager := packages.available()):
        packages.install(COMPILER, manager, print)
        found = next(filter(None, map(shutil.which, COMPILERS)), None)
    return found


class Shim:
    """The compiled shim and the numbers that it reads.

    Args:
        folder: a directory for both. Raises OSError or subprocess.SubprocessError when compiling fails.
    """

    def __init__(self, folder: Path, compiler: str) -> None:
        self._slots = folder / "slots"
        self._slots.mkdir(parents=True, exist_ok=True)
        self._library = folder / "shim.so"
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(self._library), str(SOURCE)]
        subprocess.run(command, check=True, capture_output=True, timeout=COMPILE_WAIT_S)

    @property
    def env(self) -> dict[str, str]:
        """Return the environment variables that the shop must be started with."""
        return {"LD_PRELOAD": str(self._library), "SHOP_FAULTS": str(self._slots)}

    def processes(self, part: str) -> list[str]:
        """Return supervisord's names of the processes of a part ("cart")."""
        return sorted(path.name for path in self._slots.iterdir() if path.name.partition("-")[0] == part)

    def step(self, process: str, seconds: int) -> None:
        """Set a process's wall clock that many seconds ahead of (or behind) the machine's."""
        self._write(process, 0, seconds)

    def fill(self, process: str, full: bool) -> None:
        """Make writes of a process to regular files fail, or succeed again."""
        self._write(process, 8, int(full))

    def _write(self, process: str, place: int, number: int) -> None:
        with (self._slots / process).open("r+b") as file, mmap.mmap(file.fileno(), 16) as slot:
            slot[place : place + 8] = struct.pack("q", number)

"""`logs`: shows the last lines of the parts' logs, and follows new ones."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from launcher.readiness import log_files, tail

LINES = 60
PAUSE = 0.3  # seconds between two checks


def show(var_dir: Path, part: str | None, out: TextIO) -> None:
    """Write the last lines of the log of `part`, or of every part, to `out`."""
    for name in [part] if part else sorted({path.stem for path in log_files(var_dir)}):
        if not part:
            out.write(f"==> {name}\n")
        out.write(tail(var_dir, name, LINES) + "\n")
    out.flush()


class Follower:
    """Follows the logs of `part` (None: every part) from now on, across rotation and new copies."""

    def __init__(self, var_dir: Path, part: str | None) -> None:
        self.var_dir, self.part = var_dir, part
        self.seen: dict[Path, tuple[int, int]] = {}  # path -> inode, bytes read
        for path in log_files(var_dir, part):
            status = path.stat()
            self.seen[path] = (status.st_ino, status.st_size)

    def lines(self) -> list[str]:
        """Return the lines added since the last call, each prefixed with its log's name."""
        found = []
        for path in log_files(self.var_dir, self.part):
            try:
                with path.open("rb") as file:
                    status = os.fstat(file.fileno())
                    inode, read = self.seen.get(path, (status.st_ino, 0))
                    if inode != status.st_ino or status.st_size < read:
                        read = 0  # rotated
                    file.seek(read)
                    text = file.read(1 << 20)
                    whole = text.rfind(b"\n") + 1
                    self.seen[path] = (status.st_ino, read + whole)
            except FileNotFoundError:
                continue
            found += [f"{path.stem:<14} {line}" for line in text[:whole].decode(errors="replace").splitlines()]
        return found

    def follow(self, out: TextIO, going: Callable[[], bool]) -> None:
        """Write new lines to `out` while `going()`."""
        while going():
            for line in self.lines():
                out.write(line + "\n")
            out.flush()
            time.sleep(PAUSE)

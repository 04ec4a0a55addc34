"""The type stubs agree with the installed libraries."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

STUBS = Path(__file__).resolve().parent.parent / "stubs"


def test_stubs_agree_with_the_libraries() -> None:
    packages = sorted(each.name for each in STUBS.iterdir() if each.is_dir())
    stubtest = ["-W", "ignore", "-m", "mypy.stubtest", "--ignore-missing-stub", "--concise"]
    done = subprocess.run(
        [sys.executable, *stubtest, "--allowlist", str(STUBS / "allowlist"), *packages],
        cwd=STUBS.parent,
        env={**os.environ, "MYPYPATH": str(STUBS)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr

"""The plugin `-p launcher.no_skips` counts a skipped test as failed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from launcher.place import ROOT


def _pytest(folder: Path, text: str, *plugins: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(f"import pytest\n{text}\n")
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *plugins, "test_it.py"]
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    "text",
    [
        "def test_one():\n    pytest.skip('no reason')",
        "pytest.importorskip('nothing_like_it')",
        "@pytest.mark.xfail\ndef test_one():\n    assert False",
        "def test_one(): pass\n@pytest.mark.skipif(True, reason='x')\ndef test_two(): pass",
    ],
)
def test_skipped_or_xfailed_test_fails_the_run(tmp_path: Path, text: str) -> None:
    assert _pytest(tmp_path, text).returncode in (0, 5)
    done = _pytest(tmp_path, text, "-p", "launcher.no_skips")
    assert done.returncode == 1
    assert "skipped tests count as failed" in done.stdout


def test_a_run_without_skips_stays_green(tmp_path: Path) -> None:
    assert _pytest(tmp_path, "def test_one(): pass", "-p", "launcher.no_skips").returncode == 0

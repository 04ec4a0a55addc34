"""Processes that die: for their database only, or by a signal at a crash point."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa

from chassis.db.engine import Database
from chassis.db.heartbeat import GONE_AFTER_S, Heartbeat
from chassis.db.shared_tables import presence
from launcher.place import ROOT


def die(database: Database) -> None:
    """Make the database's holder look dead: its heartbeat stops. Later users of `database` count as a new process."""
    with database.write() as connection:
        gone = sa.update(presence).where(presence.c.holder == database.heartbeat.holder)
        connection.execute(gone.values(seen=presence.c.seen - GONE_AFTER_S - 1))
    database.heartbeat = Heartbeat(database)


def killed_at(setup: str, programs: Mapping[str, str], folder: Path) -> None:
    """Run each program in its own process, which must die at its crash point (see `chassis.crash_points`).

    Args:
        setup: Python code that runs once before all programs, such as imports.
        programs: Python code by crash point.
        folder: an empty folder.
    """
    for point in programs:
        place = folder / point.replace(":", "-")
        place.mkdir()
        (place / point.replace(":", "-")).touch()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", _FORKS, setup, str(folder), json.dumps(dict(programs))]
    ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=200)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == dict.fromkeys(programs, -signal.SIGKILL), ran.stderr


# One process imports, and forks once for each program, because importing takes most of the time.
_FORKS = """
import json, os, sys
setup, folder, programs = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
exec(setup)
children = {}
for point, program in programs.items():
    child = os.fork()
    if child == 0:
        os.environ["CRASH_POINTS"] = os.path.join(folder, point.replace(":", "-"))
        try:
            exec(program)
        finally:
            sys.excepthook(*sys.exc_info()) if sys.exc_info()[0] else None
            os._exit(1)
    children[point] = child
print(json.dumps({point: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for point, child in children.items()}))
"""

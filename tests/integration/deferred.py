"""One more copy of a service on a database that can be locked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chassis.db.heartbeat import Heartbeat
from tests.locked import Locked


def copy(file: Locked, clock: Callable[[], float]) -> Any:
    database = file.open()
    database.heartbeat = Heartbeat(database, clock)
    return database

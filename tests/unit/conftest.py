"""Unit tests may not use the network, a database or another process. This file enforces it."""

from __future__ import annotations

import socket
import sqlite3.dbapi2
import subprocess
from typing import Any, NoReturn

import pytest


class NotAUnitTest(AssertionError):
    """A test in tests/unit used something that only tests/integration may use."""


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections, listeners, databases and processes."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise NotAUnitTest("a unit test used the network, a database or another process; move it to tests/integration")

    for owner, name in (
        (socket.socket, "connect"),
        (socket.socket, "bind"),
        (sqlite3, "connect"),
        (sqlite3.dbapi2, "connect"),
        (subprocess.Popen, "__init__"),
    ):
        monkeypatch.setattr(owner, name, refuse)

"""What a part of the database layer needs of `chassis.db.engine.Database`, which is made of such parts."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from sqlalchemy.engine import Connection


class Transactions(Protocol):
    """Transactions on one service's database."""

    service: str
    dialect: str

    def write(self) -> AbstractContextManager[Connection]:
        """A transaction that may write."""
        ...

    def probe_room(self) -> None:
        """Raises Unavailable while there is no space for new rows."""
        ...

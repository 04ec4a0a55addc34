"""Recipients that want no more messages."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from chassis.db.engine import Database, plain
from chassis.db.upsert import insert_new
from chassis.logs import log
from contracts.contacts import ascii_mail_address, masked
from notifications.rules.progress import Unwanted
from notifications.store.tables import suppressions


class Suppressions:
    """What recipients want, in SQL.

    Args:
        database: the service's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, recipient: str, reason: Unwanted | None, at: float) -> bool:
        """Record that a recipient wants no more messages, or wants them again; returns whether that is news.

        Args:
            recipient: a number in E.164, or a mail address in any spelling.
            reason: None when messages are wanted again.
            at: when that was reported (Unix seconds); an older report than the recorded one changes nothing.
        """
        key, values = _key(recipient), {"reason": reason.value if reason else None, "at": at}
        this = suppressions.c.recipient == key
        with self._database.write() as connection:
            new = insert_new(connection, suppressions, {"recipient": key, **values})
            known = connection.execute(sa.select(suppressions).where(this).with_for_update()).one()
            if not new and (known.at > at or known.reason == values["reason"]):
                return False
            connection.execute(sa.update(suppressions).where(this).values(**values))
            event = "messages unwanted" if reason else "messages wanted"
            self._database.after_commit(lambda: log.info(event, to=masked(key), reason=values["reason"]))
        return True

    def reason(self, recipient: str) -> Unwanted | None:
        """Why a recipient gets no more messages; None for one that gets them."""
        with self._database.read() as connection:
            query = sa.select(suppressions.c.reason).where(suppressions.c.recipient == _key(recipient))
            found = connection.execute(query).scalar()
        return Unwanted(found) if found else None

    def listed(self, limit: int) -> list[dict[str, Any]]:
        """The recipients that get no more messages, the newest first: ``[{"recipient", "reason", "at"}]``."""
        unwanted = sa.select(suppressions).where(suppressions.c.reason.is_not(None))
        with self._database.read() as connection:
            query = unwanted.order_by(suppressions.c.at.desc(), suppressions.c.recipient).limit(limit)
            return [plain(row) for row in connection.execute(query).mappings()]


def _key(recipient: str) -> str:
    """A recipient in the spelling in which it is compared; mailboxes ignore case in practice."""
    return ascii_mail_address(recipient).lower() if "@" in recipient else recipient

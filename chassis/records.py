"""Reading other parties' records one at a time: an unreadable one is set aside, and the rest is read.

Each is logged once per process, and again when its reason changes. An unexpected error is logged with its traceback,
because it may be ours.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from chassis.logs import log
from contracts.errors import ShopError

Record = TypeVar("Record")
Value = TypeVar("Value")

LONGEST_REASON: Final = 300
# How many logged records are remembered, so that the same thousand do not fill the log at every pass.
MAX_REMEMBERED: Final = 10_000
_logged: Final[OrderedDict[tuple[str, str], str]] = OrderedDict()


class Unreadable(ValueError):
    """A record lacks data that the shop needs, or has data that it cannot use; the text is the reason."""


@dataclass(frozen=True)
class SetAside:
    """A record that could not be read.

    Attributes:
        id: the record's own, or "?" when it has none.
        reason: for the operator.
    """

    id: str
    reason: str


def read_one(kind: str, record: Record, read: Callable[[Record], Value]) -> Value | SetAside:
    """Return what `read` returns for a record, or why it cannot be read.

    Args:
        kind: the kind of record, for the log ("price at Stripe").
        read: may raise Unreadable, with a reason, or any error that a malformed record causes.

    Raises ShopError, as `read` does: the record is not at fault.
    """
    try:
        value = read(record)
    except ShopError:
        raise
    except Exception as error:  # a record may be wrong in any way
        foreseen = isinstance(error, Unreadable)
        reason = (str(error) if foreseen else f"{type(error).__name__}: {error}")[:LONGEST_REASON]
        aside = SetAside(id_of(record), reason)
        note(kind, aside, None if foreseen else error)
        return aside
    _logged.pop((kind, id_of(record)), None)
    return value


def read_each(
    kind: str, records: Iterable[Record] | None, read: Callable[[Record], Value]
) -> tuple[list[Value], list[SetAside]]:
    """All readable records, in their order, and those that were set aside. See `read_one`."""
    return sorted_out(read_one(kind, record, read) for record in records or ())


def sorted_out(found: Iterable[Value | SetAside]) -> tuple[list[Value], list[SetAside]]:
    """Split a list into what was read and what was set aside."""
    values: list[Value] = []
    aside: list[SetAside] = []
    for each in found:
        if isinstance(each, SetAside):
            aside.append(each)
        else:
            values.append(each)
    return values, aside


def note(kind: str, aside: SetAside, error: Exception | None = None) -> None:
    """Log a record that was set aside, unless it was already logged for the same reason."""
    if _logged.get((kind, aside.id)) == aside.reason:
        return
    _logged[(kind, aside.id)] = aside.reason
    while len(_logged) > MAX_REMEMBERED:
        _logged.popitem(last=False)
    if error is None:
        log.warning("record set aside", kind=kind, id=aside.id, reason=aside.reason)
    else:
        log.error("record set aside", kind=kind, id=aside.id, reason=aside.reason, exc_info=error)


def id_of(record: Any) -> str:
    """The id of a provider's object, an SDK's or a plain one; "?" when it has none."""
    for name in ("id", "object_id", "sid", "sg_event_id"):
        found = record.get(name) if isinstance(record, dict) else getattr(record, name, None)
        if isinstance(found, str) and found:
            return found
    return "?"

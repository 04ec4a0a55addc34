"""Shippo's refusals and dates, in Shippo's shape."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

REQUIRED = "This field is required."
OWNER = "sandbox@example.com"


class ShippoFailure(Exception):
    """A call that Shippo refuses: HTTP status and the JSON body, field -> messages, or {"detail": …}."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body


def invalid(body: Mapping[str, Any]) -> ShippoFailure:
    """Input that does not pass: field -> list of messages."""
    return ShippoFailure(400, body)


def not_found() -> ShippoFailure:
    """There is no such object."""
    return ShippoFailure(404, {"detail": "Not found."})


def check_known(given: Any, names: frozenset[str]) -> dict[str, Any]:
    """`given` when it is an object with no other fields than `names`; ShippoFailure (400) when not."""
    if not isinstance(given, dict):
        raise invalid({"non_field_errors": ["Invalid data. Expected a dictionary."]})
    unknown = {name: ["Unknown field."] for name in given if name not in names}
    if unknown:
        raise invalid(unknown)
    return given


def moment(seconds: float) -> str:
    """Unix seconds as Shippo writes them: 2017-09-05T12:20:36.546Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds_of(text: str) -> float:
    """The Unix seconds of such a moment."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()

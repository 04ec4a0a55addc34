"""Shippo's errors and dates, in Shippo's format."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

REQUIRED = "This field is required."
OWNER = "sandbox@example.com"


class ShippoFailure(Exception):
    """A call that Shippo rejects: HTTP status and the JSON body, field -> messages, or {"detail": …}."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body


def invalid(body: Mapping[str, Any]) -> ShippoFailure:
    """Invalid input: field -> list of messages."""
    return ShippoFailure(400, body)


def not_found() -> ShippoFailure:
    """The object does not exist."""
    return ShippoFailure(404, {"detail": "Not found."})


def check_known(given: Any, names: frozenset[str]) -> dict[str, Any]:
    """Return `given` when it is an object with no other fields than `names`; ShippoFailure (400) otherwise."""
    if not isinstance(given, dict):
        raise invalid({"non_field_errors": ["Invalid data. Expected a dictionary."]})
    unknown = {name: ["Unknown field."] for name in given if name not in names}
    if unknown:
        raise invalid(unknown)
    return given


def moment(seconds: float) -> str:
    """Format Unix seconds as Shippo does: 2017-09-05T12:20:36.546Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds_of(text: str) -> float:
    """Parse such a time into Unix seconds."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()

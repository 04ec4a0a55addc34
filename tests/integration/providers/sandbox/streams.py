"""Reads the sandbox's stream of server-sent events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, NamedTuple

import requests

CONNECT_TIMEOUT_S, SILENCE_TIMEOUT_S = 10.0, 60.0


class Event(NamedTuple):
    """One event: its name ("" for a comment), its data, and the position after it."""

    name: str
    data: Any
    position: str | None


class Stream:
    """GET /sandbox/stream; usable as a context manager.

    after: the position to start after. last_event_id: the position that a browser sends when it connects again.
    """

    def __init__(self, url: str, after: str | None = None, last_event_id: str | None = None) -> None:
        self.answer = requests.get(
            f"{url}/sandbox/stream",
            params={"after": after} if after else {},
            headers={"Last-Event-ID": last_event_id} if last_event_id else {},
            stream=True,
            timeout=(CONNECT_TIMEOUT_S, SILENCE_TIMEOUT_S),
        )
        self._events = self._parse()

    def __enter__(self) -> Stream:
        assert self.answer.status_code == 200, self.answer.text
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.answer.close()

    def next(self, name: str, wanted: Callable[[Any], bool] = lambda data: True) -> Event:
        """Return the next event of this name whose data is wanted, and skip others."""
        return next(event for event in self._events if event.name == name and wanted(event.data))

    def entry(self, **fields: Any) -> dict[str, Any]:
        """Return the next entry with these values."""
        event = self.next("entry", lambda data: all(data.get(name) == value for name, value in fields.items()))
        found: dict[str, Any] = event.data
        return found

    def rest(self) -> list[Event]:
        """Return all events until the stream ends."""
        return list(self._events)

    def _parse(self) -> Iterator[Event]:
        fields: dict[str, str] = {}
        for line in self.answer.iter_lines(chunk_size=1, decode_unicode=True):
            if line.startswith(":"):
                yield Event("", line[1:].strip(), None)
            elif line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "event" in fields:
                yield Event(fields["event"], json.loads(fields["data"]), fields.get("id"))
                fields = {}

"""A tour: every route of a provider, driven over HTTP in chapters that do not depend on each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

from bench.conformance.exchanges import ANSWER_TIMEOUT_S, Caller, Exchange


@dataclass(frozen=True)
class Chapter:
    """A part of a tour.

    Attributes:
        run: drives the routes.
        sandbox_only: it needs the sandbox's own control API, or the provider's test mode has no such thing.
    """

    name: str
    run: Callable[[Caller, Trip], None]
    sandbox_only: bool = False


@dataclass
class Trip:
    """What the chapters share.

    Attributes:
        name: unique, for what must be unique at the provider.
        sandbox: the sandbox's address; None for a real provider.
        unexpected: requests that should have been refused, or chapters that ended early.
        contacts: where messages go (`mail`), and who sends them (`sender`, `number`).
    """

    name: str
    sandbox: str | None
    contacts: dict[str, str] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    _cleaning: list[Callable[[], object]] = field(default_factory=list)

    def refused(self, exchange: Exchange) -> None:
        """Note it when the provider accepted what it should refuse."""
        if exchange.status < 400:
            self.unexpected.append(f"{exchange.provider}, {exchange.chapter}: {exchange} should be an error")

    def clean(self, action: Callable[[], object]) -> None:
        """Do this at the end, also after an error."""
        self._cleaning.append(action)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Use the sandbox's control API; return its JSON."""
        assert self.sandbox is not None
        answer = requests.request(method, self.sandbox + path, json=body, timeout=ANSWER_TIMEOUT_S)
        answer.raise_for_status()
        return answer.json()

    def take(self, caller: Caller, chapters: Sequence[Chapter]) -> None:
        """Run the chapters, and clean up after them."""
        for chapter in chapters:
            if chapter.sandbox_only and self.sandbox is None:
                continue
            caller.chapter = chapter.name
            try:
                chapter.run(caller, self)
            except (LookupError, TypeError, RuntimeError, requests.RequestException) as error:
                self.unexpected.append(f"{caller.provider}, {chapter.name}: ended early: {error!r}")
        caller.chapter = "cleaning"
        while self._cleaning:
            try:
                self._cleaning.pop()()
            except requests.RequestException as error:
                self.unexpected.append(f"{caller.provider}: not cleaned: {error!r}")

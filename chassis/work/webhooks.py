"""Webhooks of any provider: verified, stored before they are acknowledged, then handled once, in any order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from chassis.documents import MAX_SIGNATURE_LENGTH
from chassis.work.inbox import Inbox
from contracts.errors import InvalidRequest, NotFound, Unavailable
from contracts.webhooks import Event, Handling, WebhookSource

# An event that was signed longer ago than this is treated as a replay (seconds).
MAX_SIGNATURE_AGE_S = 300.0


class Webhooks:
    """The webhooks that one service receives.

    Args:
        inbox: stores the events.
        sources: the providers, by name.
    """

    def __init__(self, inbox: Inbox, sources: Mapping[str, WebhookSource]) -> None:
        self.inbox = inbox
        self._sources = sources
        self._by_kind = {kind: source for source in sources.values() for kind in source.kinds}
        if len(self._by_kind) < sum(len(set(source.kinds)) for source in sources.values()):
            raise ValueError(f"Two of {', '.join(sources)} handle the same kind of event.")

    def accept(self, provider: str, raw: str, headers: Mapping[str, str]) -> dict[str, Any]:
        """Store the events of a verified webhook, and handle them at once if possible.

        Args:
            provider: its name.
            raw: the body, each byte a character (latin-1).
            headers: the request's.

        Returns:
            ``{"received": True, "duplicate"}``: a duplicate when all of its events were stored before; with ``reply``,
            ``{"content_type", "text"}``, where the provider expects another answer.

        Raises:
            NotFound: no such provider is in use.
            InvalidRequest: it is not from the provider, too old, or holds no event.
            Unavailable: it cannot be verified or stored; the provider must send it again.
        """
        source = self._sources.get(provider)
        if source is None:
            raise NotFound("There is no such provider.")
        try:
            payload = raw.encode("latin-1")
        except ValueError:
            raise InvalidRequest("The body is not made of bytes.") from None
        source.verify(payload, {name.lower(): value for name, value in headers.items()})
        return self.keep(source.parse(payload))

    def keep(self, events: Sequence[Event]) -> dict[str, Any]:
        """Store verified events, and handle them at once if possible; returns as `accept`. Raises Unavailable when one
        cannot be stored: then all must be sent again."""
        new = [
            each
            for each in events
            if self.inbox.keep(each.id, each.kind, each.body, done=each.handling is Handling.NEVER)
        ]
        with suppress(Unavailable):  # they are stored, and the timer handles them
            for each in new:
                if each.handling is Handling.AT_ONCE:
                    self.inbox.handle(each.id, self.handle)
        replies = [{"reply": asdict(each.reply)} for each in events if each.reply is not None]
        return {"received": True, "duplicate": bool(events) and not new, **(replies[0] if replies else {})}

    def handle(self, kind: str, body: dict[str, Any]) -> None:
        """Handle a stored event. Raises ShopError: it is then tried again."""
        if kind not in self._by_kind:
            raise NotFound(f"No provider in use handles events of the kind {kind}.")
        self._by_kind[kind].handle(kind, body)

    def sweep(self, until: float) -> None:
        """Handle waiting events until then (monotonic seconds). Raises Unavailable."""
        self.inbox.sweep(self.handle, until)


def signature_in(headers: Mapping[str, str], name: str) -> str:
    """Return the signature in a header; "" when it is missing. Raises InvalidRequest for one that is too long."""
    signature = headers.get(name.lower(), "")
    if len(signature) > MAX_SIGNATURE_LENGTH:
        raise unsigned(name, "cannot be read")
    return signature


def is_current(signed: float, now: float) -> bool:
    """Whether a signature of that time (Unix seconds) is not too old, and not from the future; NaN is neither."""
    return abs(now - signed) <= MAX_SIGNATURE_AGE_S


def unsigned(header: str, why: str) -> InvalidRequest:
    """Return the error for a body whose signature in `header` is invalid: it "cannot be read"."""
    message = f"The signature {why}."
    return InvalidRequest(message, {"errors": {header: [message]}, "unsigned": True})

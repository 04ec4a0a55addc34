"""What a service needs of a provider's webhooks, in the shop's terms."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol


class Handling(StrEnum):
    """When an event is handled."""

    NEVER = "never"  # it is only stored, so that a repetition is recognized
    AT_ONCE = "at once"  # as soon as it is stored, because that takes no request
    LATER = "later"  # by the timer


@dataclass(frozen=True)
class Reply:
    """The answer that a provider expects to a webhook, where it is not the shop's usual one."""

    content_type: str
    text: str


@dataclass(frozen=True)
class Event:
    """A provider's event.

    Attributes:
        id: the provider's, 1 to 255 characters; identifies repetitions.
        kind: what it is about; the kinds that are handled are unique among the providers of a service.
        body: JSON-plain; handed to the source's `handle` as it is.
        handling: when it is handled.
        reply: the answer to it; None for the usual one.
    """

    id: str
    kind: str
    body: dict[str, Any]
    handling: Handling = Handling.AT_ONCE
    reply: Reply | None = None


class WebhookSource(Protocol):
    """The webhooks of one provider."""

    @property
    def kinds(self) -> Collection[str]:
        """The kinds of event that it handles."""
        ...

    def verify(self, raw: bytes, headers: Mapping[str, str]) -> None:
        """Verify the signature over the raw body.

        Args:
            headers: the request's, by their names in lower case.

        Raises:
            InvalidRequest: the body is not the provider's, with the fact ``unsigned``, or was signed too long ago.
            Unavailable: it cannot be verified now; the provider must send it again.
        """
        ...

    def parse(self, raw: bytes) -> Sequence[Event]:
        """Return the events of a verified body. Raises InvalidRequest when it holds none."""
        ...

    def handle(self, kind: str, body: dict[str, Any]) -> None:
        """Handle a stored event; repeating it is safe. Raises ShopError when that is not possible now."""
        ...

"""What the sandbox's own routes need from the sandbox."""

from __future__ import annotations

from typing import Protocol

from sandbox.faults import Faults
from sandbox.feed import Feed
from sandbox.later import Later
from sandbox.settings import SandboxSettings
from sandbox.state import State
from sandbox.stripe.endpoint import Desk
from sandbox.webhooks.sender import Sender
from sandbox.webhooks.waiting import Webhooks


class Context(Protocol):
    """A running sandbox; see `sandbox.server.Sandbox`.

    Attributes:
        state: its stored objects.
        public_url: the base of label and 3-D Secure URLs.
        settings: the settings that it was started with.
        feed: what happened, for its page.
    """

    state: State
    public_url: str
    settings: SandboxSettings
    feed: Feed
    faults: Faults
    webhooks: Webhooks
    sender: Sender
    later: Later

    def desk(self) -> Desk:
        """Return what Stripe's endpoints work with."""

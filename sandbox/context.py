"""What the sandbox's own routes use of the sandbox."""

from __future__ import annotations

from typing import Protocol

from sandbox.faults import Faults
from sandbox.state import State
from sandbox.webhook_sender import Sender
from sandbox.webhooks import Webhooks


class Context(Protocol):
    """A running sandbox; see `sandbox.server.Sandbox`.

    Attributes:
        state: what it stores.
        public_url: what label and 3-D Secure addresses start with.
    """

    state: State
    public_url: str
    faults: Faults
    webhooks: Webhooks
    sender: Sender

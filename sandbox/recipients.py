"""What the sandbox's user decides about a phone number or a mail address: what becomes of messages to it.

Neither Twilio nor SendGrid documents a number or an address that accepts a message and then fails, so a test marks one.
A mark is stored as an object, so it survives a restart.
"""

from __future__ import annotations

from typing import Any

from sandbox.state import State
from sandbox.twilio.delivery import ERRORS, OUTCOMES

KIND = "recipient"
Body = dict[str, Any]


class BadRecipient(Exception):
    """A mark that makes no sense; the message says why."""


def recipient(state: State, address: str) -> Body:
    """Return what is known of a number or an address.

    `outcome`: what becomes of messages to it, None: they arrive. `error_code`: Twilio's, with an unsuccessful outcome.
    """
    address = address.lower()
    return {"address": address, "outcome": None, "error_code": None, **(state.get(KIND, address) or {})}


def mark(state: State, address: str, body: Body) -> Body:
    """Set what becomes of messages to a number or an address, and return it; BadRecipient when `body` is invalid.

    body: {"outcome": one of the address's kind or None, "error_code": Twilio's code, optional}.
    """
    outcome, code = body.get("outcome"), body.get("error_code")
    known = outcomes_for(address)
    if not set(body) <= {"outcome", "error_code"} or outcome not in (None, *known):
        raise BadRecipient(f"the outcome of {address} must be null or one of {', '.join(known)}")
    if code is not None and (outcome not in OUTCOMES or code not in ERRORS):
        raise BadRecipient(f"error_code belongs to {' or '.join(OUTCOMES)} and is one of {', '.join(map(str, ERRORS))}")
    return change(state, address, outcome=outcome, error_code=code or OUTCOMES.get(str(outcome)))


def change(state: State, address: str, **fields: Any) -> Body:
    """Change fields of a recipient, and return it."""
    changed = recipient(state, address) | fields
    with state.transaction():
        state.put(KIND, changed["address"], changed)
    return changed


def outcomes_for(address: str) -> tuple[str, ...]:
    """Return the outcomes that a number or an address can have."""
    return tuple(OUTCOMES)

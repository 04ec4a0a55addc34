"""What the sandbox's user decides about a phone number or a mail address: what becomes of messages to it.

Neither Twilio nor SendGrid documents a number or an address that accepts a message and then fails, so a test marks one.
A mark is stored as an object, so it survives a restart.
"""

from __future__ import annotations

from typing import Any

from sandbox.state import State

KIND = "recipient"
# Why an SMS is not delivered: code and title of https://www.twilio.com/docs/api/errors/30003 and its neighbours.
SMS_ERRORS = {
    30001: "Queue overflow",
    30002: "Account suspended",
    30003: "Unreachable destination handset",
    30004: "Message blocked",
    30005: "Unknown destination handset",
    30006: "Landline or unreachable carrier",
    30007: "Message filtered",
    30008: "Unknown error",
}
# The unsuccessful last statuses of an SMS, and the error code of each unless another is set.
SMS_OUTCOMES = {"undelivered": 30003, "failed": 30001}
# What becomes of a mail, and the reason for which SendGrid drops later mails to the address (None: it does not).
MAIL_OUTCOMES = {
    "bounce": "Bounced Address",
    "blocked": None,
    "deferred": None,
    "spamreport": "Spam Reporting Address",
    "unsubscribe": "Unsubscribed Address",
}
# A mail from this address is refused.
UNVERIFIED = "unverified"
Body = dict[str, Any]


class BadRecipient(Exception):
    """A mark that makes no sense; the message says why."""


def recipient(state: State, address: str) -> Body:
    """Return what is known of a number or an address.

    `outcome`: what becomes of messages to it, None: they arrive. `error_code`: Twilio's, with an unsuccessful outcome.
    `opted_out`: whether the number has sent STOP. `suppressed`: why SendGrid drops mails to the address from
    `suppressed_from` (Unix seconds) on, or None.
    """
    address = address.lower()
    nothing = {"address": address, "outcome": None, "error_code": None, "opted_out": False}
    return {**nothing, "suppressed": None, "suppressed_from": None, **(state.get(KIND, address) or {})}


def mark(state: State, address: str, body: Body) -> Body:
    """Set what becomes of messages to a number or an address, and return it; BadRecipient when `body` is invalid.

    body: {"outcome": one of the address's kind or None, "error_code": Twilio's code, optional}.
    """
    outcome, code = body.get("outcome"), body.get("error_code")
    known = outcomes_for(address)
    if "outcome" not in body or not set(body) <= {"outcome", "error_code"} or outcome not in (None, *known):
        raise BadRecipient(f"the outcome of {address} must be null or one of {', '.join(known)}")
    if code is not None and (outcome not in SMS_OUTCOMES or type(code) is not int or code not in SMS_ERRORS):
        codes = ", ".join(map(str, SMS_ERRORS))
        raise BadRecipient(f"error_code belongs to {' or '.join(SMS_OUTCOMES)} and is one of {codes}")
    delivers = {} if outcome else {"suppressed": None, "suppressed_from": None}
    with state.transaction():
        return change(state, address, outcome=outcome, error_code=code or SMS_OUTCOMES.get(str(outcome)), **delivers)


def change(state: State, address: str, **fields: Any) -> Body:
    """Change fields of a recipient in the current transaction, and return it."""
    changed = recipient(state, address) | fields
    state.put(KIND, changed["address"], changed)
    return changed


def outcomes_for(address: str) -> tuple[str, ...]:
    """Return the outcomes that a number or an address can have."""
    return (*MAIL_OUTCOMES, UNVERIFIED) if "@" in address else tuple(SMS_OUTCOMES)

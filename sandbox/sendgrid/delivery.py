"""What becomes of a mail to one recipient: the events that SendGrid reports of it, and who gets no mail from then on.

Events and their fields: "Event Webhook Reference"
(https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event). Suppression after a bounce: "Manage bounced
messages" (https://www.twilio.com/docs/sendgrid/ui/sending-email/bounces). The mails that are sent all the same: "Bypass
filters and v3 Mail Send" (https://www.twilio.com/docs/sendgrid/ui/sending-email/index-suppressions).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sandbox.recipients import MAIL_OUTCOMES, change, recipient
from sandbox.state import State

# Seconds until a mail is delivered, or refused for the first time; and until a later attempt, or the reader's report.
MAIL_DELIVERED_AFTER = 1.0
LATER_AFTER = 2.0
DROPPED = "dropped"


class Step(NamedTuple):
    """An event of a mail, after how many seconds it happens, and its own fields."""

    event: str
    after: float
    fields: dict[str, str] = {}


_PROCESSED = Step("processed", 0.0)
_DELIVERED = Step("delivered", MAIL_DELIVERED_AFTER, {"response": "250 OK"})
_NO_ACCOUNT = "550 5.1.1 The email account that you tried to reach does not exist"
_BLOCKED = "554 5.7.1 Message blocked"
_STEPS = {
    "delivered": (_PROCESSED, _DELIVERED),
    "bounce": (
        _PROCESSED,
        Step("bounce", MAIL_DELIVERED_AFTER, {"reason": _NO_ACCOUNT, "status": "5.1.1", "type": "bounce"}),
    ),
    "blocked": (
        _PROCESSED,
        Step("bounce", MAIL_DELIVERED_AFTER, {"reason": _BLOCKED, "status": "5.7.1", "type": "blocked"}),
    ),
    "deferred": (
        _PROCESSED,
        Step("deferred", MAIL_DELIVERED_AFTER, {"response": "450 4.2.1 try again later", "attempt": "1"}),
        Step("delivered", LATER_AFTER, {"response": "250 OK"}),
    ),
    "spamreport": (_PROCESSED, _DELIVERED, Step("spamreport", LATER_AFTER)),
    "unsubscribe": (_PROCESSED, _DELIVERED, Step("unsubscribe", LATER_AFTER)),
}


# The settings of a mail that bypass a list of addresses, and the reason that each list gives for dropping a mail.
_BYPASSES = {
    "bypass_bounce_management": frozenset(("Bounced Address",)),
    "bypass_spam_management": frozenset(("Spam Reporting Address",)),
    "bypass_unsubscribe_management": frozenset(("Unsubscribed Address",)),
    "bypass_list_management": frozenset(reason for reason in MAIL_OUTCOMES.values() if reason),
}


def bypassed(mail: dict[str, Any]) -> frozenset[str]:
    """Return the reasons for which this mail is not dropped: its `mail_settings` bypass some of the lists, or all."""
    wanted = mail.get("mail_settings") or {}
    enabled = {name for name in _BYPASSES if isinstance(wanted.get(name), dict) and wanted[name].get("enable") is True}
    return frozenset().union(*(_BYPASSES[name] for name in enabled))


def send(state: State, address: str, bypassed: frozenset[str] = frozenset()) -> dict[str, str]:
    """Return what becomes of a mail to `address` that is sent now, and suppress later ones if that follows from it.

    It belongs into a transaction. The result is {"outcome": …}, and for a dropped mail also its "reason".
    """
    known, now = recipient(state, address), state.now()
    if known["suppressed"] and now >= known["suppressed_from"] and known["suppressed"] not in bypassed:
        return {"outcome": DROPPED, "reason": known["suppressed"]}
    outcome = known["outcome"] if known["outcome"] in _STEPS else "delivered"
    if MAIL_OUTCOMES.get(outcome):
        change(state, address, suppressed=MAIL_OUTCOMES[outcome], suppressed_from=now + _STEPS[outcome][-1].after)
    return {"outcome": outcome}


def steps(mail: dict[str, Any], address: str) -> tuple[Step, ...]:
    """Return the events of a stored mail to one of its recipients, in order."""
    result = mail.get("outcomes", {}).get(address, {"outcome": "delivered"})
    if result["outcome"] == DROPPED:
        return (Step(DROPPED, 0.0, {"reason": result["reason"], "status": "5.0.0"}),)
    return _STEPS[result["outcome"]]

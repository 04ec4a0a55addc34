"""The tour of SendGrid: each route and each kind of event, with success and with errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.conformance.exchanges import Caller, Exchange
from bench.conformance.tours import Chapter, Trip

OUTCOMES = ("bounce", "blocked", "deferred", "spamreport", "unsubscribe")


def mail(contacts: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """Return a mail that SendGrid takes, with further members."""
    return {
        "from": {"email": contacts["sender"], "name": "Wally's"},
        "personalizations": [{"to": [{"email": contacts["mail"]}], "custom_args": {"order_id": "or_conformance"}}],
        "subject": "Your order is paid",
        "content": [{"type": "text/plain", "value": "Thanks"}, {"type": "text/html", "value": "<p>Thanks</p>"}],
        **more,
    }


def _send(sendgrid: Caller, sent: Any) -> Exchange:
    return sendgrid.ask("POST", "/v3/mail/send", body=sent)


def _sandbox_mode(sendgrid: Caller, trip: Trip) -> None:
    """SendGrid's own sandbox mode: a mail is checked, and not sent."""
    checked = {"mail_settings": {"sandbox_mode": {"enable": True}}}
    _send(sendgrid, mail(trip.contacts, **checked))
    to = [{"to": [{"email": "nobody"}]}]
    for wrong in (
        mail(trip.contacts, personalizations=[], **checked),
        mail(trip.contacts, personalizations=to, **checked),
        mail(trip.contacts, content=[], **checked),
        mail(trip.contacts, subject="", **checked),
        mail(trip.contacts, custom_args="x", **checked),
        {"mail_settings": checked["mail_settings"]},
    ):
        trip.refused(_send(sendgrid, wrong))
    unsigned = mail(trip.contacts, **checked)
    del unsigned["from"]
    trip.refused(_send(sendgrid, unsigned))
    wrong_key = {"Authorization": "Bearer SG.wrong"}
    trip.refused(sendgrid.ask("POST", "/v3/mail/send", body=mail(trip.contacts), headers=wrong_key))
    trip.refused(sendgrid.ask("POST", "/v3/mail/send", body=mail(trip.contacts), anonymous=True))
    trip.refused(sendgrid.ask("GET", "/v3/mail/send"))
    trip.refused(sendgrid.ask("GET", "/v3/nothing"))
    trip.refused(sendgrid.ask("POST", "/v3/mail/send", raw=b"{", headers={"Content-Type": "application/json"}))


def _sending(sendgrid: Caller, trip: Trip) -> None:
    _send(sendgrid, mail(trip.contacts))
    sendgrid.ask("GET", "/v3/user/webhooks/event/settings/signed")
    for outcome in OUTCOMES:
        address = f"{outcome}@example.com"
        trip.control("PUT", f"/sandbox/recipients/{address}", {"outcome": outcome})
        _send(sendgrid, mail(trip.contacts, personalizations=[{"to": [{"email": address}]}]))
        trip.control("POST", "/sandbox/clock", {"advance_seconds": 5})
        _send(sendgrid, mail(trip.contacts, personalizations=[{"to": [{"email": address}]}]))
    trip.control("PUT", "/sandbox/recipients/unverified@example.com", {"outcome": "unverified"})
    trip.refused(_send(sendgrid, mail(trip.contacts, **{"from": {"email": "unverified@example.com"}})))
    for status in (429, 500, 503):
        trip.control("PUT", "/sandbox/faults/sendgrid", {"error_rate": 1, "error_status": status, "times": 1})
        trip.refused(_send(sendgrid, mail(trip.contacts)))
    trip.control("DELETE", "/sandbox/faults/sendgrid")


CHAPTERS = (
    Chapter("sandbox mode", _sandbox_mode),
    Chapter("sending", _sending, sandbox_only=True),
)

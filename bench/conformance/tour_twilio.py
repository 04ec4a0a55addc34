"""The tour of Twilio: each route and each kind of event, with success and with errors."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bench.conformance.exchanges import Caller, Exchange
from bench.conformance.tours import Chapter, Trip

# The magic numbers of test credentials: https://www.twilio.com/docs/iam/test-credentials
SENDER = "+15005550006"
BAD_SENDERS = ("+15005550001", "+15005550007", "+15005550008")
BAD_RECIPIENTS = ("+15005550001", "+15005550002", "+15005550003", "+15005550004", "+15005550009")
SERVICE = "MG" + "0" * 32
CALLBACK = "https://shop.example/api/webhooks/twilio/"


def _messages(trip: Trip) -> str:
    return f"/2010-04-01/Accounts/{trip.contacts['account']}/Messages"


def _send(twilio: Caller, trip: Trip, **more: Any) -> Exchange:
    asked = {"To": trip.contacts["number"], "From": SENDER, "Body": "Your order is paid.", **more}
    return twilio.ask(
        "POST", f"{_messages(trip)}.json", form={name: value for name, value in asked.items() if value is not None}
    )


def _test_credentials(twilio: Caller, trip: Trip) -> None:
    _send(twilio, trip)
    for number in BAD_SENDERS:
        trip.refused(_send(twilio, trip, From=number))
    for number in BAD_RECIPIENTS:
        trip.refused(_send(twilio, trip, To=number))
    trip.refused(_send(twilio, trip, To=None))
    trip.refused(_send(twilio, trip, From=None))
    trip.refused(_send(twilio, trip, Body=None))
    trip.refused(_send(twilio, trip, Body="x" * 1601))
    trip.refused(_send(twilio, trip, To="nobody"))
    trip.refused(twilio.ask("GET", f"{_messages(trip)}.json", anonymous=True))


def _reading(twilio: Caller, trip: Trip) -> None:
    sent = _send(twilio, trip, StatusCallback=CALLBACK, Body="Zwölf 🦆").body
    _send(twilio, trip, From=None, MessagingServiceSid=SERVICE, StatusCallback=CALLBACK)
    now = datetime.fromtimestamp(trip.control("GET", "/sandbox/clock")["now"], UTC)
    at = (now + timedelta(hours=1)).isoformat()
    planned = {"From": None, "MessagingServiceSid": SERVICE, "ScheduleType": "fixed", "SendAt": at}
    scheduled = _send(twilio, trip, StatusCallback=CALLBACK, **planned).body
    message = f"{_messages(trip)}/{scheduled['sid']}.json"
    twilio.ask("GET", message)
    twilio.ask("POST", message, form={"Status": "canceled"})
    trip.refused(twilio.ask("POST", message, form={"Status": "canceled"}))
    trip.refused(twilio.ask("POST", message, form={"Status": "sent"}))
    for outcome in ("undelivered", "failed"):
        to = f"+1415555012{len(outcome) % 10}"
        trip.control("PUT", f"/sandbox/recipients/{to}", {"outcome": outcome})
        failed = _send(twilio, trip, To=to, StatusCallback=CALLBACK).body
        trip.control("POST", "/sandbox/clock", {"advance_seconds": 5})
        twilio.ask("GET", f"{_messages(trip)}/{failed['sid']}.json")
    for word in ("STOP", "START"):
        trip.control("POST", "/sandbox/sms", {"from": trip.contacts["number"], "body": word})
        if word == "STOP":
            trip.refused(_send(twilio, trip))
    twilio.ask("GET", f"{_messages(trip)}/{sent['sid']}.json")
    twilio.ask("GET", f"{_messages(trip)}.json", query={"PageSize": 2, "To": trip.contacts["number"]})
    twilio.ask("GET", f"{_messages(trip)}.json", query={"PageSize": 2, "Page": 1, "DateSent>": "2020-01-01"})
    twilio.ask("POST", f"{_messages(trip)}/{sent['sid']}.json", form={"Body": ""})  # redacted
    twilio.ask("DELETE", f"{_messages(trip)}/{sent['sid']}.json")
    trip.refused(twilio.ask("GET", f"{_messages(trip)}/{sent['sid']}.json"))
    trip.refused(twilio.ask("GET", f"{_messages(trip)}.json", query={"PageSize": 0}))
    trip.refused(twilio.ask("GET", f"/2010-04-01/Accounts/AC{'f' * 32}/Messages.json"))
    trip.refused(twilio.ask("PUT", f"{_messages(trip)}.json"))
    trip.refused(_send(twilio, trip, **{**planned, "SendAt": "yesterday"}))
    trip.control("PUT", "/sandbox/faults/twilio", {"error_rate": 1, "error_status": 503, "times": 1})
    trip.refused(_send(twilio, trip))
    trip.control("DELETE", "/sandbox/faults/twilio")


CHAPTERS = (
    Chapter("test credentials", _test_credentials),
    Chapter("reading", _reading, sandbox_only=True),
)

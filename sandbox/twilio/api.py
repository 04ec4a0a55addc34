"""Twilio in the sandbox: Messages, with the magic numbers of test credentials and statuses that follow from age."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from sandbox import settings
from sandbox.ids import hexadecimal
from sandbox.provider import Answer, Call, Provider, Routes, json_answer
from sandbox.recipients import SMS_ERRORS, recipient
from sandbox.state import State
from sandbox.twilio.delivery import error_of, sent_at, step_at
from sandbox.twilio.failures import TwilioFailure
from sandbox.twilio.inbound import SHOP_NUMBER
from sandbox.twilio.schedule import scheduled_for
from sandbox.twilio.segments import segments
from sandbox.twilio.updates import check_deletable, updated

# The answer of test credentials to these numbers: code, message.
_FROM = {
    "+15005550001": (21212, "The 'From' number {} is not a valid phone number, shortcode, or alphanumeric sender ID."),
    "+15005550007": (
        21606,
        "The 'From' phone number provided ({}) is not a valid message-capable Twilio phone number.",
    ),
    "+15005550008": (21611, "This 'From' number has exceeded the maximum number of queued messages."),
}
_TO = {
    "+15005550001": (21211, "Invalid 'To' Phone Number: {}"),
    "+15005550002": (
        21612,
        "Message cannot be sent with the current combination of 'To' ({}) and/or 'From' parameters.",
    ),
    "+15005550003": (
        21408,
        "Permission to send an SMS has not been enabled for the region indicated by the 'To' number: {}.",
    ),
    "+15005550004": (21610, "Attempt to send to unsubscribed recipient"),
    "+15005550009": (21614, "'To' number {} is not a valid mobile number"),
}
E164 = re.compile(r"\+[1-9][0-9]{6,14}")
MAX_CHARACTERS = 1600  # of a text
_CREATE = frozenset(
    """
    AddressRetention ApplicationSid Attempt Body ContentRetention ContentSid ContentVariables FallbackFrom
    ForceDelivery From MaxPrice MediaUrl MessageIntent MessagingServiceSid PersistentAction ProvideFeedback
    RiskCheck ScheduleType SendAsMms SendAt ShortenUrls SmartEncoded StatusCallback To TrafficType
    ValidityPeriod
    """.split()  # noqa: SIM905 - a list of names reads better so
)
_UPDATE = frozenset(("Body", "Status"))
_LIST = frozenset(("To", "From", "DateSent", "DateSent<", "DateSent>", "Page", "PageSize", "PageToken"))


class Twilio(Provider):
    """Twilio's Messages resource of one account."""

    name = "twilio"

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._routes = Routes[Callable[..., Answer]]()
        self._routes.add("POST", "/2010-04-01/Accounts/{account}/Messages.json", self._create)
        self._routes.add("GET", "/2010-04-01/Accounts/{account}/Messages.json", self._list)
        self._routes.add("GET", "/2010-04-01/Accounts/{account}/Messages/{sid}.json", self._fetch)
        self._routes.add("POST", "/2010-04-01/Accounts/{account}/Messages/{sid}.json", self._update)
        self._routes.add("DELETE", "/2010-04-01/Accounts/{account}/Messages/{sid}.json", self._delete)

    def routes(self) -> list[tuple[str, str]]:
        return self._routes.table()

    def refuse(self, call: Call) -> Answer | None:
        scheme, _, value = call.headers.get("Authorization", "").partition(" ")
        try:
            given = base64.b64decode(value, validate=True).decode() if scheme.lower() == "basic" else ""
        except (binascii.Error, UnicodeDecodeError):
            given = ""
        if given == f"{settings.TWILIO_ACCOUNT}:{settings.TWILIO_TOKEN}":
            return None
        return TwilioFailure(401, 20003, "Authenticate").answer()

    def answer(self, call: Call) -> Answer:
        handler, arguments, methods = self._routes.find(call.method, call.path)
        try:
            if handler is None and methods:
                raise TwilioFailure(405, 20004, "Method not allowed")
            if handler is None or arguments["account"] != settings.TWILIO_ACCOUNT:
                raise _not_found(call)
            arguments.pop("account")
            answer: Answer = handler(call, **arguments)
        except TwilioFailure as failure:
            return failure.answer()
        return answer

    def failure(self, status: int, message: str) -> Answer:
        code = {429: 20429, 404: 20404, 413: 20413}.get(status, 20500 if status >= 500 else 20001)
        return TwilioFailure(status, code, message).answer()

    def _create(self, call: Call) -> Answer:
        given = _form(call, _CREATE)
        to, sender, text = given.get("To", ""), given.get("From", ""), given.get("Body", "")
        service = given.get("MessagingServiceSid") or None
        if not to:
            raise TwilioFailure(400, 21604, "A 'To' phone number is required.")
        if not sender and service is None:
            raise TwilioFailure(400, 21603, "A 'From' phone number is required.")
        if not text and not given.get("MediaUrl") and not given.get("ContentSid"):
            raise TwilioFailure(400, 21602, "Message body is required.")
        if len(text) > MAX_CHARACTERS:
            limit = f"The concatenated message body exceeds the {MAX_CHARACTERS} character limit"
            raise TwilioFailure(400, 21617, limit)
        if sender in _FROM:
            code, message = _FROM[sender]
            raise TwilioFailure(400, code, message.format(sender))
        if service is None and sender != SHOP_NUMBER:
            raise TwilioFailure(400, 21606, _FROM["+15005550007"][1].format(sender))
        if to in _TO:
            code, message = _TO[to]
            raise TwilioFailure(400, code, message.format(to))
        if not E164.fullmatch(to):
            raise TwilioFailure(400, 21211, f"Invalid 'To' Phone Number: {to}")
        receives = recipient(self.state, to)
        if receives["opted_out"]:
            raise TwilioFailure(400, *_TO["+15005550004"])
        stored: dict[str, Any] = {
            "sid": hexadecimal("SM"),
            "to": to,
            "from": sender or None,
            "body": text,
            "messaging_service_sid": service,
            "num_media": "1" if given.get("MediaUrl") else "0",
            "num_segments": str(segments(text)),
            "status_callback": given.get("StatusCallback"),
            "created": self.state.now(),
            "outcome": receives["outcome"],
            "error_code": receives["error_code"],
            "send_at": scheduled_for(given, self.state.now()),
        }
        with self.state.transaction():
            self.state.put("message", stored["sid"], stored)
        return json_answer(201, shown(stored, stored["created"]))

    def _fetch(self, call: Call, sid: str) -> Answer:
        return json_answer(200, shown(self._stored(call, sid), self.state.now()))

    def _update(self, call: Call, sid: str) -> Answer:
        given = _form(call, _UPDATE)
        with self.state.transaction():
            message = updated(self._stored(call, sid), given, self.state.now())
            self.state.put("message", sid, message)
        return json_answer(200, shown(message, self.state.now()))

    def _delete(self, call: Call, sid: str) -> Answer:
        with self.state.transaction():
            check_deletable(self._stored(call, sid), self.state.now())
            self.state.delete("message", sid)
        return Answer(204)

    def _stored(self, call: Call, sid: str) -> dict[str, Any]:
        message = self.state.get("message", sid)
        if message is None:
            raise _not_found(call)
        return message

    def _list(self, call: Call) -> Answer:
        pairs = call.query_pairs()
        given = dict(pairs)
        unknown = sorted(set(given) - _LIST)
        if unknown:
            raise TwilioFailure(400, 20001, f"Unknown parameters in the request: {', '.join(unknown)}")
        size, page = _number(given, "PageSize", 50), _number(given, "Page", 0)
        if not 1 <= size <= 1000:
            raise TwilioFailure(400, 20006, "Page size must be from 1 to 1000")
        where = {name.lower(): given[name] for name in ("To", "From") if given.get(name)}
        found = self.state.find("message", where)
        found = [message for message in found if _sent_within(message, given)]
        chosen = found[page * size : (page + 1) * size]
        uri = call.path

        def page_uri(number: int) -> str:
            kept = [pair for pair in pairs if pair[0] not in ("Page", "PageSize", "PageToken")]
            return f"{uri}?{urlencode([*kept, ('PageSize', size), ('Page', number)])}"

        return json_answer(
            200,
            {
                "messages": [shown(message, self.state.now()) for message in chosen],
                "first_page_uri": page_uri(0),
                "next_page_uri": page_uri(page + 1) if len(found) > (page + 1) * size else None,
                "previous_page_uri": page_uri(page - 1) if page else None,
                "page": page,
                "page_size": size,
                "start": page * size,
                "end": page * size + max(len(chosen) - 1, 0),
                "uri": page_uri(page),
            },
        )


def shown(message: dict[str, Any], now: float) -> dict[str, Any]:
    """Return a stored message as Twilio shows it at `now` (Unix seconds): its status follows from its age.

    A Messaging Service counts the segments only once it has chosen a sender (the API reference of `num_segments`).
    """
    status, after = step_at(message, now)
    unassigned = status in ("scheduled", "accepted")
    sent = not unassigned and status not in ("queued", "failed", "canceled")
    error = error_of(message, status)
    uri = f"/2010-04-01/Accounts/{settings.TWILIO_ACCOUNT}/Messages/{message['sid']}"
    return {
        "account_sid": settings.TWILIO_ACCOUNT,
        "api_version": "2010-04-01",
        "body": message["body"],
        "date_created": _date(message["created"]),
        "date_sent": _date(sent_at(message)) if sent else None,
        "date_updated": _date(message["created"] + after),
        "direction": "inbound" if status == "received" else "outbound-api",
        "error_code": error,
        "error_message": SMS_ERRORS.get(error) if error else None,
        "from": message["from"],
        "messaging_service_sid": message["messaging_service_sid"],
        "num_media": message["num_media"],
        "num_segments": "0" if unassigned else message["num_segments"],
        "price": f"-{0.0079 * int(message['num_segments']):.4f}" if sent else None,
        "price_unit": "USD",
        "sid": message["sid"],
        "status": status,
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": message["to"],
        "uri": f"{uri}.json",
    }


def _form(call: Call, known: frozenset[str]) -> dict[str, str]:
    """Return the parameters of the body; TwilioFailure when one is unknown."""
    given = dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))
    unknown = sorted(set(given) - known)
    if unknown:
        raise TwilioFailure(400, 20001, f"Unknown parameters in the request: {', '.join(unknown)}")
    return given


def _date(moment: float) -> str:
    return format_datetime(datetime.fromtimestamp(moment, UTC))


def _sent_within(message: dict[str, Any], given: dict[str, str]) -> bool:
    sent = datetime.fromtimestamp(sent_at(message), UTC)
    conditions: tuple[tuple[str, Callable[[datetime], bool]], ...] = (
        ("DateSent", lambda bound: sent.date() == bound.date()),
        ("DateSent<", lambda bound: sent <= bound),
        ("DateSent>", lambda bound: sent >= bound),
    )
    for name, holds in conditions:
        if given.get(name):
            try:
                bound = datetime.fromisoformat(given[name].replace("Z", "+00:00"))
            except ValueError:
                raise TwilioFailure(400, 20001, f"Invalid date: {given[name]}") from None
            if not holds(bound if bound.tzinfo else bound.replace(tzinfo=UTC)):
                return False
    return True


def _number(given: dict[str, str], name: str, default: int) -> int:
    text = given.get(name) or str(default)
    if not text.isdigit():
        raise TwilioFailure(400, 20001, f"{name} must be a number")
    return int(text)


def _not_found(call: Call) -> TwilioFailure:
    return TwilioFailure(404, 20404, f"The requested resource {call.path} was not found")

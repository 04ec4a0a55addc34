"""The request parameters of Twilio, SendGrid and Shippo: each documented one is sent once.

Twilio's and SendGrid's are those of their OpenAPI descriptions, Shippo's those of its SDK's request models.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum
from types import NoneType
from typing import Any

from shippo.models import components

from bench.conformance.exchanges import Caller, Exchange
from bench.conformance.openapi import Description
from bench.conformance.parameters import Result
from bench.conformance.tour_shippo import DECLARATION, FROM, ITEM, PARCEL, TO
from bench.conformance.tour_twilio import SENDER, SERVICE

_NEVER = "no_such_parameter"


def check_twilio(twilio: Caller, description: Description, account: str, number: str) -> Result:
    """Send each parameter of the messages' creation, list and update."""
    result, folder = Result(), f"/2010-04-01/Accounts/{account}/Messages"
    create = {"To": number, "From": SENDER, "Body": "Hello"}
    own = {
        "MessagingServiceSid": SERVICE,
        "MediaUrl": "https://example.com/a.jpg",
        "StatusCallback": "https://a.example",
    }

    def creating(name: str, sample: Any) -> Exchange:
        sample = sample[0] if isinstance(sample, list) else sample
        return twilio.ask("POST", f"{folder}.json", form={**create, name: own.get(name, create.get(name, sample))})

    def listing(name: str, sample: Any) -> Exchange:
        return twilio.ask("GET", f"{folder}.json", query={name: sample})

    def updating(name: str, sample: Any) -> Exchange:
        sid = twilio.ask("POST", f"{folder}.json", form=create).body["sid"]
        return twilio.ask("POST", f"{folder}/{sid}.json", form={name: sample})

    for label, method, path, send in (
        ("create a message", "POST", f"{folder}.json", creating),
        ("list messages", "GET", f"{folder}.json", listing),
        ("update a message", "POST", f"{folder}/SM{'0' * 32}.json", updating),
    ):
        operation = description.operation(method, path) or {}
        result.operations += 1
        for name, schema in _fields(description, operation):
            _note(result, f"{label}: {name}", send(name, _of_schema(description, schema, name)), "Unknown parameters")
        if send(_NEVER, "1").status < 400:
            result.loose.append(f"{label}: an unknown parameter is accepted")
    return result


def _fields(description: Description, operation: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "query":
            yield parameter["name"], parameter["schema"]
    for media in (operation.get("requestBody") or {}).get("content", {}).values():
        yield from description.resolved(media["schema"]).get("properties", {}).items()


def check_sendgrid(sendgrid: Caller, description: Description, mail: Mapping[str, Any]) -> Result:
    """Send each member of a mail, also those within others."""
    operation = description.operation("POST", "/v3/mail/send") or {}
    body = description.resolved(operation["requestBody"])["content"]["application/json"]["schema"]
    result = Result(operations=1)

    def send(mail: Any) -> Exchange:
        return sendgrid.ask("POST", "/v3/mail/send", body=mail)

    _walk(description, description.resolved(body), [], mail, send, result)
    if send({**mail, _NEVER: "1"}).status < 400:
        result.loose.append("send a mail: an unknown member is accepted")
    return result


def _walk(
    description: Description,
    schema: Mapping[str, Any],
    above: list[Any],
    mail: Any,
    send: Callable[[Any], Exchange],
    result: Result,
) -> None:
    for name, member in schema.get("properties", {}).items():
        resolved, path = description.resolved(member), [*above, name]
        shown = f"send a mail: {'.'.join(str(step) for step in path)}"
        answer = send(_with(mail, path, _of_schema(description, resolved, name)))
        _note(result, shown, answer, "Additional property")
        if answer.status < 400:
            wrong: Any = "x" if resolved.get("type") in ("array", "object", "integer", "boolean") else {"a": 1}
            if send(_with(mail, path, wrong)).status < 400:
                result.loose.append(f"{shown}: {wrong!r} is accepted")
        inner, step = (description.resolved(resolved["items"]), [*path, 0]) if "items" in resolved else (resolved, path)
        within = (
            mail
            if _has(mail, step)
            else _with(mail, step, _of_schema(description, inner, name) if inner.get("required") else {})
        )
        _walk(description, inner, step, within, send, result)


def _has(mail: Any, path: Sequence[Any]) -> bool:
    for step in path:
        try:
            mail = mail[step]
        except (LookupError, TypeError):
            return False
    return True


def _with(mail: Any, path: Sequence[Any], value: Any) -> Any:
    """Return a copy of a mail with a member set."""
    if not path:
        return value
    first, rest = path[0], path[1:]
    if isinstance(first, int):
        items: list[Any] = list(mail) if isinstance(mail, list) else []
        return [_with(items[0] if items else {}, rest, value), *items[1:]]
    inner = mail.get(first, {}) if isinstance(mail, dict) else {}
    return {**(mail if isinstance(mail, dict) else {}), first: _with(inner, rest, value)}


def _of_schema(description: Description, schema: Mapping[str, Any], name: str) -> Any:
    """Return a value that a schema allows."""
    schema = description.resolved(dict(schema))
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "array":
        return [_of_schema(description, schema["items"], name)]
    if kind == "object" or "properties" in schema:
        members = schema.get("properties", {})
        wanted = schema.get("required") or list(members)[:1]  # all together may exclude each other
        return {each: _of_schema(description, members[each], each) for each in wanted if each in members}
    if kind == "integer":
        return 1
    if kind == "boolean":
        return True
    if kind == "number":
        return 1.0
    if schema.get("format") == "date-time":
        return "2026-01-01T00:00:00Z"
    if name == "type":
        return "text/plain"
    if name == "email" or schema.get("format") == "email":
        return "eva@example.com"
    return "text"


# Shippo


def check_shippo(shippo: Caller) -> Result:
    """Send each field of the SDK's request models."""
    shipment = {"address_from": FROM, "address_to": TO, "parcels": [PARCEL], "async": False}

    def rate() -> dict[str, Any]:
        rates = shippo.ask("POST", "/shipments", body=shipment).body["rates"]
        return {"rate": rates[-1]["object_id"], "async": False}

    def transaction() -> dict[str, Any]:
        return {"transaction": shippo.ask("POST", "/transactions", body=rate()).body["object_id"]}

    address = shippo.ask("POST", "/addresses", body=TO).body["object_id"]
    samples = {"address_return": address, "address_to": TO, "address_from": FROM, "parcels": [PARCEL], "items": [ITEM]}
    account = shippo.ask("GET", "/carrier_accounts").body["results"][0]["object_id"]
    samples |= {"customs_declaration": DECLARATION, "carrier_accounts": [account], "country": "US"}
    result = Result()
    declaration = components.CustomsDeclarationCreateRequest
    for model, path, base in (
        (components.AddressCreateRequest, "/addresses", lambda: dict(TO)),
        (components.ParcelCreateRequest, "/parcels", lambda: dict(PARCEL)),
        (declaration, "/customs/declarations", lambda: dict(DECLARATION)),
        (components.ShipmentCreateRequest, "/shipments", lambda: dict(shipment)),
        (components.TransactionCreateRequest, "/transactions", rate),
        (components.RefundRequestBody, "/refunds", transaction),
        (components.TracksRequest, "/tracks", lambda: {"carrier": "shippo", "tracking_number": "SHIPPO_TRANSIT"}),
    ):
        result.operations += 1
        hints = typing.get_type_hints(model)
        for field in dataclasses.fields(model):
            name = field.metadata["dataclasses_json"]["letter_case"](field.name)
            body: dict[str, Any] = base()
            body[name] = samples.get(name, body.get(name, _of_hint(hints[field.name])))
            answer = shippo.ask("POST", path, body=body)
            _note(result, f"{model.__name__}: {name}", answer, "Unknown field")
        if shippo.ask("POST", path, body={**base(), _NEVER: 1}).status < 400:
            result.loose.append(f"{model.__name__}: an unknown field is accepted")
    item = dict(ITEM)
    hints = typing.get_type_hints(components.CustomsItemCreateRequest)
    for field in dataclasses.fields(components.CustomsItemCreateRequest):
        name = field.metadata["dataclasses_json"]["letter_case"](field.name)
        asked = {**DECLARATION, "items": [{**item, name: item.get(name, _of_hint(hints[field.name]))}]}
        answer = shippo.ask("POST", "/customs/declarations", body=asked)
        _note(result, f"CustomsItemCreateRequest: {name}", answer, "Unknown field")
    return result


def _of_hint(kind: Any) -> Any:
    """Return a value of a type of the SDK."""
    origin, arguments = typing.get_origin(kind), [each for each in typing.get_args(kind) if each is not NoneType]
    if origin is typing.Union:
        return _of_hint(arguments[0])
    if origin is list:
        return [_of_hint(arguments[0])]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind)).value
    if dataclasses.is_dataclass(kind):
        return {}
    return {bool: True, int: 1, float: 1.0, datetime: "2026-01-01T00:00:00Z"}.get(kind, "text")


def _note(result: Result, shown: str, answer: Exchange, unknown: str) -> None:
    if answer.status >= 500:
        result.loose.append(f"{shown}: {answer.status}")
    elif answer.status >= 400 and unknown in answer.text:
        result.unknown.append(shown)
    else:
        result.known.append(shown)
        if answer.status >= 400:
            result.values.append(f"{shown}: {answer.text[:160]}")

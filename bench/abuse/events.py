"""S14: signed webhooks with malformed bodies get 400, and valid signed ones are never rate-limited."""

from __future__ import annotations

import json
from typing import Any

from bench.abuse import signing
from bench.abuse.answers import expect, require, row
from bench.abuse.target import Target, Unexpected
from bench.abuse.wire import Answer

DEEP = 100_000
# Twilio sends short forms; the other providers' lists may be long (bytes).
FORM_BYTES = 64 * 1024
# None is a JSON object of a provider's. SendGrid sends lists, and [] contains no event.
NONSENSE: dict[str, bytes] = {
    "brackets without end": b"[" * DEEP,
    "braces without end": b'{"a":' * DEEP,
    "brackets in balance": b"[" * DEEP + b"]" * DEEP,
    "no JSON": b"\xff\xfe\x00",
    "a text": b'"text"',
    "a number": b"1",
    "a huge number": b"1" + b"0" * 5000,
    "NaN": b"NaN",
    "null": b"null",
    "nothing": b"",
}
STRANGE: tuple[Any, ...] = ({"a": {"b": []}}, ["x"], 10**30, True, "\x00", "\ud800", "x" * 300_000, -1, 1.5)


def _stripe(strange: Any, place: str) -> Any:
    about = {"id": "pi_x", "object": "payment_intent", "metadata": {"order_id": "or_x"}}
    event: dict[str, Any] = {"id": "evt_x", "object": "event", "type": "payment_intent.succeeded", "created": 1}
    event["data"] = {"object": {**about, **({place: strange} if place in about else {})}}
    return {**event, **({} if place in about and place != "id" else {place: strange})}


FIELDS = {
    "stripe": ("id", "type", "data"),
    "shippo": ("event", "data"),
    "twilio": (),
    "sendgrid": ("sg_event_id",),
}


async def _send(target: Target, provider: str, body: bytes) -> Answer:
    more = signing.headers(target, provider, body)
    return await target.ask("POST", signing.path(provider), raw=body, more=more)


@row("S14", "signed webhooks that are no events are 400")
async def no_events(target: Target) -> None:
    for provider in signing.PROVIDERS:
        for title, body in NONSENSE.items():
            right = 413 if provider == "twilio" and len(body) > FORM_BYTES else 400
            expect(await _send(target, provider, body), right, what=f"{provider}: {title}")


@row("S14", "signed events with misshapen members are 400 or 200, never 5xx")
async def misshapen_events(target: Target) -> None:
    for provider in signing.PROVIDERS:
        for strange in STRANGE:
            for name in FIELDS[provider]:
                event = _event(provider, name, strange)
                answer = await _send(target, provider, json.dumps(event).encode())
                expect(answer, 400, 200, what=f"{provider}: {name} is {str(strange)[:40]!r}")
    deep = b'{"event": "track_updated", "data": ' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}"
    expect(await _send(target, "shippo", deep), 400, what="shippo: deep data")


@row("S14", "signed good webhooks are never limited")
async def never_limited(target: Target) -> None:
    for number in range(300):
        event = {"event": "track_updated", "data": {"tracking_number": f"none{number}", "carrier": "usps"}}
        answer = await _send(target, "shippo", json.dumps(event).encode())
        if answer.status != 200:
            raise Unexpected(f"event {number + 1} was answered {answer}")


@row("S14", "a webhook with a bad signature is 400")
async def bad_signature(target: Target) -> None:
    for provider in signing.PROVIDERS:
        body = b"[]" if provider == "sendgrid" else b"{}"
        for signature in ("", "x", "t=1,v1=x", "t=" + "9" * 4000 + ",v1=x", "," * 20_000, "t=1,v1=\xe9"):
            more = [
                (name, signature if "Signature" in name else value)
                for name, value in signing.headers(target, provider, body)
            ]
            answer = await target.ask("POST", signing.path(provider), raw=body, more=more)
            expect(answer, 400, 431, what=f"{provider}: {signature[:20]!r}")
            require(b"Traceback" not in answer.raw, "a traceback")


def _event(provider: str, name: str, strange: Any) -> Any:
    if provider == "stripe":
        return _stripe(strange, name)
    if provider == "shippo":
        return {"event": "track_updated", "data": {"tracking_number": "x"}, name: strange}
    return [{"sg_event_id": "x", "event": "delivered", "message_key": "k", name: strange}]

"""Shippo's answers and events against the models of its own SDK: required members, types and enums."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import Enum
from types import NoneType, UnionType
from typing import Any

from shippo.models import components

from bench.conformance.coverage import template_of
from bench.conformance.exchanges import Exchange, Webhook

# The model of each route's answer. Invoice items are in no model: the SDK does not have them.
MODELS: dict[str, Any] = {
    "/addresses": components.Address,
    "/addresses/{id}": components.Address,
    "/addresses/{id}/validate": components.Address,
    "/carrier_accounts": components.CarrierAccountWithExtraInfo,
    "/carrier_accounts/{id}": components.CarrierAccount,
    "/parcels": components.Parcel,
    "/parcels/{id}": components.Parcel,
    "/customs/declarations": components.CustomsDeclaration,
    "/customs/declarations/{id}": components.CustomsDeclaration,
    "/shipments": components.Shipment,
    "/shipments/{id}": components.Shipment,
    "/shipments/{id}/rates": components.Rate,
    "/shipments/{id}/rates/{currency}": components.Rate,
    "/rates/{id}": components.Rate,
    "/transactions": components.Transaction,
    "/transactions/{id}": components.Transaction,
    "/tracks": components.Track,
    "/tracks/{carrier}/{number}": components.Track,
    "/refunds": components.Refund,
    "/refunds/{id}": components.Refund,
}
EVENTS: dict[str, Any] = {
    "transaction_created": components.Transaction,
    "transaction_updated": components.Transaction,
    "track_updated": components.Track,
}


def check(exchanges: Sequence[Exchange], webhooks: Sequence[Webhook]) -> tuple[int, list[str], list[str]]:
    """Return how many bodies were compared, the differences, and the members that no model has; each once."""
    compared: int = 0
    differences: dict[str, str] = {}
    extra: dict[str, str] = {}
    routes = [(method, template) for template in MODELS for method in ("GET", "POST")]
    for exchange in exchanges:
        template = template_of(routes, exchange.method, exchange.path)
        if exchange.status >= 400 or template is None:
            continue
        model, body = MODELS[template], exchange.body
        for each in body["results"] if isinstance(body, dict) and "results" in body else [body]:
            compared += 1
            _note(model, each, str(exchange), differences, extra)
    for webhook in webhooks:
        if webhook.provider == "shippo":
            compared += 1
            _note(EVENTS[webhook.kind], webhook.body["data"], f"event {webhook.kind}", differences, extra)
    return (
        compared,
        [f"{what} [{source}]" for what, source in differences.items()],
        [f"{what} [{source}]" for what, source in extra.items()],
    )


def _note(model: Any, body: Any, source: str, differences: dict[str, str], extra: dict[str, str]) -> None:
    for what in wrong(model, body, model.__name__):
        (extra if what.endswith("is in no model") else differences).setdefault(what, source)


def wrong(kind: Any, value: Any, path: str) -> Iterator[str]:
    """Yield what is wrong with a JSON value of a type of the SDK."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, UnionType):
        if value is None and NoneType in arguments:
            return
        tried = [list(wrong(each, value, path)) for each in arguments if each is not NoneType]
        if all(tried):
            yield from min(tried, key=len)
    elif origin is list:
        if not isinstance(value, list):
            yield f"{path} is {_shown(value)}, not a list"
        else:
            for each in value:
                yield from wrong(arguments[0], each, f"{path}[]")
    elif kind is Any or origin is dict or kind is dict:
        if kind is not Any and not isinstance(value, dict):
            yield f"{path} is {_shown(value)}, not an object"
    elif dataclasses.is_dataclass(kind):
        yield from _members(kind, value, path)
    elif isinstance(kind, type) and issubclass(kind, Enum):
        if value not in [each.value for each in kind]:
            yield f"{path} is {_shown(value)}, not in {kind.__name__}"
    elif kind is datetime:
        try:
            datetime.fromisoformat(value)
        except (TypeError, ValueError):
            yield f"{path} is {_shown(value)}, not a time"
    elif kind is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield f"{path} is {_shown(value)}, not a number"
    elif not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        yield f"{path} is {_shown(value)}, not {kind.__name__}"


def _members(model: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} is {_shown(value)}, not an object"
        return
    hints = typing.get_type_hints(model)
    known = {}
    for field in dataclasses.fields(model):
        known[field.metadata["dataclasses_json"]["letter_case"](field.name)] = field
    for name, field in known.items():
        optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if name in value:
            if value[name] is not None or not optional:
                yield from wrong(hints[field.name], value[name], f"{path}.{name}")
        elif not optional:
            yield f"{path}.{name} is absent"
    yield from (f"{path}.{name} is in no model" for name in value if name not in known)


def _shown(value: Any) -> str:
    return f"{value!r:.40}"

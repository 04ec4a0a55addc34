"""Shippo's lists without the entries that its SDK cannot read: a single one would make it reject the whole answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import requests
from shippo import Shippo
from shippo._hooks.types import AfterSuccessHook
from shippo.models import components
from shippo.utils import unmarshal_json

from chassis.records import SetAside, read_one

# Each operation's list, the type of its entries, and their name in the log.
_LISTS: Final[dict[str, tuple[str, Any, str]]] = {
    "CreateShipment": ("rates", components.Rate, "rate of Shippo's"),
    "GetShipment": ("rates", components.Rate, "rate of Shippo's"),
    "ListShipmentRatesByCurrencyCode": ("results", components.Rate, "rate of Shippo's"),
    "ListTransactions": ("results", components.Transaction, "label at Shippo"),
    "GetTrack": ("tracking_history", components.TrackingStatus, "step of a parcel at Shippo"),
}
_gathered: ContextVar[list[SetAside] | None] = ContextVar("shippo_records_set_aside", default=None)


@contextmanager
def gathering() -> Iterator[list[SetAside]]:
    """The entries that were removed from answers in this context."""
    found: list[SetAside] = []
    token = _gathered.set(found)
    try:
        yield found
    finally:
        _gathered.reset(token)


def leave_unreadable_out(shippo: Shippo) -> None:
    """Make this client remove unreadable entries from its lists."""
    shippo.sdk_configuration.get_hooks().register_after_success_hook(_Readable())


class _Readable(AfterSuccessHook):
    def after_success(self, hook_ctx: Any, response: requests.Response) -> requests.Response:
        wanted = _LISTS.get(hook_ctx.operation_id)
        if wanted is None:
            return response
        name, kind, title = wanted
        try:
            body = response.json()
        except ValueError:
            return response  # the SDK raises the error for this
        entries = body.get(name) if isinstance(body, dict) else None
        if not isinstance(entries, list):
            return response
        read = [read_one(title, each, lambda entry: unmarshal_json(json.dumps(entry), kind)) for each in entries]
        aside = [each for each in read if isinstance(each, SetAside)]
        if aside:
            gathered = _gathered.get()
            if gathered is not None:
                gathered += aside
            body[name] = [entry for entry, each in zip(entries, read, strict=True) if not isinstance(each, SetAside)]
            response._content = json.dumps(body).encode()
        return response

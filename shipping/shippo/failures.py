"""Translate Shippo's failures into the shop's errors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests
from shippo.models.errors import SDKError

from chassis.logs import log
from chassis.providers.failures import calling
from contracts.errors import NotFound, OutcomeUnknown, ProviderFailure, Refused, ShopError, Unavailable

RETRY_AFTER = 2  # seconds, if Shippo gives none


@contextmanager
def asking(what: str, may_miss: bool = False) -> Iterator[None]:
    """Translate the failures of a query, which is free and can be repeated.

    Args:
        what: the SDK's method, for the log.
        may_miss: whether status 404 is a valid answer to this query (else it means that the URL is wrong).
    """
    try:
        with calling("Shippo", what):
            yield
    except SDKError as error:
        if error.status_code == 404 and may_miss:
            raise NotFound("Shippo does not know this.") from error
        raise _answered(error, what) from error


@contextmanager
def buying() -> Iterator[None]:
    """Translate the failures of a purchase. Unless the failure proves that nothing was bought, a label may exist."""
    what = "transactions.create"
    try:
        with calling("Shippo", what, doubt="the label was bought"):
            yield
    except SDKError as error:
        if error.status_code < 400 or error.status_code >= 500:
            log.warning("shippo's answer to a purchase is invalid", status=error.status_code)
            done = error.status_code in (500, 503)  # after a gateway's 502 or 504 the request may still run behind it
            raise OutcomeUnknown("Shippo failed while buying the label.", {"answered": done}) from error
        # Shippo could not parse the purchase, and a retry will not help. A label that the carrier rejects arrives as a
        # failed transaction instead, and may be worth a retry.
        raise _answered(error, what, permanent=error.status_code in (400, 422)) from error


def _answered(error: SDKError, what: str, permanent: bool = False) -> ShopError:
    """Return the error for an answer that is not a success."""
    status = error.status_code
    if status in (400, 409, 422):
        errors = _field_errors(error.body)
        said = " ".join(message for field in errors.values() for message in field)
        return Refused(said or "Shippo refuses this.", {"errors": errors, "permanent": permanent})
    if status == 429 or status >= 500:
        log.warning("shippo fails", asked=what, status=status)
        return Unavailable("Shippo is not available.", {"retry_after": _retry_after(error.raw_response)})
    # 401 and 403 say that our key is wrong; any other status is unexpected here.
    log.error("shippo refuses the shop", asked=what, status=status)
    return ProviderFailure(f"Shippo answered with status {status}.")


def _field_errors(body: str) -> dict[str, list[str]]:
    """Return Shippo's ``{"field": ["message"]}`` as field to messages; `address_to` under the caller's name for it."""
    try:
        given = json.loads(body)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        return {}
    return {("address" if field == "address_to" else field): list(_leaves(value)) for field, value in given.items()}


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for field, inner in value.items():
            for leaf in _leaves(inner):
                yield leaf if str(field).startswith("__") else f"{field}: {leaf}"
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield str(value)


def _retry_after(response: requests.Response) -> int:
    value = response.headers.get("Retry-After", "")
    return min(int(value), 3600) if value.isdigit() else RETRY_AFTER

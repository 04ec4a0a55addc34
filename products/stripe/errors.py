"""Translate Stripe's errors into the shop's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chassis.logs import log
from chassis.providers.stripe_sdk import stripe
from contracts.errors import Conflict, NotFound, ProviderFailure, Refused, ShopError, Unavailable

# Seconds until a caller may retry: Stripe's rate limits are per second, its outages last longer.
RETRY_AFTER = 2

# Stripe's field to ours, where the names differ; `shop:…` is what the adapter keeps in metadata.
FIELDS = {"unit_amount": "price", "lookup_key": "price", "shop:attributes": "attributes", "shop:inventory": "inventory"}


@contextmanager
def translated() -> Iterator[None]:
    """Raise a ShopError for any error of Stripe's SDK inside the block; also usable as a decorator.

    No answer and a 5xx answer become Unavailable even for a creation: every creation can be repeated safely, so the
    caller need not look up its outcome first.
    """
    try:
        yield
    except stripe.StripeError as error:
        raise _translate(error) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # The SDK does not validate answers: a missing field surfaces only when it is read.
        log.error("Stripe's answer could not be read", exc_info=error)
        raise ProviderFailure("Stripe's answer could not be read.") from error


def _translate(error: stripe.StripeError) -> ShopError:
    status = error.http_status or 0
    if isinstance(error, stripe.APIConnectionError):
        return Unavailable("Stripe cannot be reached.", {"retry_after": RETRY_AFTER})
    if status == 429:  # by status, because a proxy in between sends no readable body
        return Unavailable("Stripe takes no more requests for now.", {"retry_after": RETRY_AFTER})
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        # Stripe's message quotes part of the key.
        return ProviderFailure("Stripe does not accept the shop's key.")
    if isinstance(error, stripe.IdempotencyError):
        return Refused("The same key was used for another product.")
    if isinstance(error, stripe.InvalidRequestError):
        if status == 404:
            return NotFound("There is no such product.")
        message = str(error.user_message or "refused")
        facts = {"errors": _errors(error.param, message)} if error.param else {}
        return Refused(f"Stripe refuses this: {message}", facts)
    if status == 409:
        return Conflict("The same change is being made at this moment.", {"retry_after": RETRY_AFTER})
    if status >= 500:
        return Unavailable("Stripe failed to answer.", {"retry_after": RETRY_AFTER})
    return ProviderFailure("Stripe's answer makes no sense.")


def _errors(param: str, message: str) -> dict[str, Any]:
    """Return ``metadata[size]`` as ``{"metadata": {"size": [message]}}``, in the caller's names."""
    names = [name for name in re.split(r"[\[\]]+", param) if name]
    if len(names) > 1 and names[-1] in FIELDS:
        names = names[-1:]
    errors: Any = [message]
    for name in reversed(names):
        errors = errors if name.isdigit() else {FIELDS.get(name, name): errors}
    return errors if isinstance(errors, dict) else {"product": errors}

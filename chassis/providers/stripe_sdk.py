"""Stripe's SDK, without the HTTP client for asynchronous calls, and the way past the failures that Stripe saves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from chassis.logs import log
from chassis.optional_imports import without

with without("aiohttp", "httpx"):
    import stripe

__all__ = ["asked_past_saved_failures", "is_saved_failure", "stripe"]

# How many keys of a request are tried, each after a saved failure of the one before.
MAX_KEYS = 3

Answer = TypeVar("Answer")


def is_saved_failure(error: stripe.StripeError) -> bool:
    """Whether Stripe has saved a failure of its own under the request's idempotency key, and would only repeat it.

    Stripe saves the first answer to a key, "including `500` errors", for at least 24 hours, and marks a repeated one
    with `Idempotent-Replayed` (https://docs.stripe.com/api/idempotent_requests). `Stripe-Should-Retry: false` says that
    the same request would have no further effect (https://docs.stripe.com/error-low-level).
    """
    headers = {name.lower(): str(value).lower() for name, value in (error.headers or {}).items()}
    said = headers.get("idempotent-replayed") == "true" or headers.get("stripe-should-retry") == "false"
    return (error.http_status or 0) >= 500 and said


def asked_past_saved_failures(
    ask: Callable[[Any], Answer],
    key: str | None,
    made: Callable[[], Answer | None] = lambda: None,
    unique: bool = True,
) -> Answer:
    """Stripe's answer to a request. If Stripe saves a failure of its own, the request is made under the next key.

    The saved failure does not say whether the request was carried out. So each next key follows a look, and is derived
    from `key`: every copy of a service uses the same ones, and Stripe keeps them apart from each other.

    Args:
        ask: makes the request with these options of the SDK.
        key: its idempotency key; None for a request that may be repeated, which gets a new one of the SDK each time.
        made: looks for the request's effect, and returns it.
        unique: whether Stripe itself or `made` prevents a second effect at any time. Then, if every key has a saved
            failure, the last request has a new key of the SDK. Otherwise the caller has to use another `key`.

    Raises as the SDK does; `is_saved_failure` then says that no derived key can be used any more.
    """
    keys: list[str | None] = [None] * MAX_KEYS
    if key is not None:
        keys = [*(key + ":again" * number for number in range(MAX_KEYS)), *([None] if unique else [])]
    for number, each in enumerate(keys, start=1):
        try:
            return ask({} if each is None else {"idempotency_key": each})
        except stripe.StripeError as error:
            if number == len(keys) or not is_saved_failure(error):
                raise
            log.warning("stripe has saved a failure", key=each, request=error.request_id)
        found = made()
        if found is not None:
            return found
    raise AssertionError("unreachable")

"""Translate the failures that calls to all providers have in common into the shop's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import requests

from chassis.logs import log
from chassis.providers.guard import never_sent
from contracts.errors import OutcomeUnknown, ProviderFailure, Unavailable

RETRY_AFTER_S = 2
# What an SDK raises when it cannot parse an answer.
UNREADABLE = (KeyError, ValueError, AttributeError, TypeError)


@contextmanager
def calling(provider: str, asked: str, doubt: str = "") -> Iterator[None]:
    """Translate the failures of a call that was not answered, or not readably. The SDK's own errors pass through.

    Args:
        provider: its name.
        asked: what was asked, for the log.
        doubt: what is unknown after a call that was perhaps received, "the label was bought"; "" for a query, which can
            be repeated.

    Raises Unavailable (nothing was sent, or nothing changes), ProviderFailure (a query's answer cannot be read),
    OutcomeUnknown.
    """
    try:
        yield
    except requests.RequestException as error:
        log.warning("provider does not answer", provider=provider, asked=asked, error=type(error).__name__)
        if doubt and not never_sent(error):
            raise OutcomeUnknown(f"{provider} did not say whether {doubt}.") from error
        wait = getattr(error, "retry_after", RETRY_AFTER_S) if doubt else RETRY_AFTER_S
        raise Unavailable(f"{provider} cannot be reached.", {"retry_after": wait}) from error
    except UNREADABLE as error:
        log.error("provider's answer cannot be read", provider=provider, asked=asked, error=type(error).__name__)
        raise (OutcomeUnknown if doubt else ProviderFailure)(f"{provider} answered what cannot be read.") from error

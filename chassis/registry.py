"""The providers: which there are, which are in use, and which service talks to each of them.

A provider is a bundle behind a port of its service. It is named in a setting by its name here, or, without a line
here, as ``module:Class``: then its name is the class's, in lower case. A bundle is imported only when it is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

BUNDLES = {
    "stripe": "cart.stripe.bundle:Stripe",
    "shippo": "shipping.shippo.bundle:Shippo",
    "sendgrid": "notifications.sendgrid.bundle:SendGrid",
    "twilio": "notifications.twilio.bundle:Twilio",
}
# The service that talks to the providers of each setting.
SERVICES = {
    "PAYMENT_PROVIDER": "cart",
    "CARRIERS": "shipping",
    "MAIL_PROVIDER": "notifications",
    "SMS_PROVIDER": "notifications",
}
_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def name_of(provider: str) -> str:
    """Return the name of a provider as a setting names it. Raises ValueError for text that names none."""
    if provider in BUNDLES:
        return provider
    if not _REFERENCE.fullmatch(provider):
        raise ValueError(f"must be one of {', '.join(BUNDLES)}, or module:Class, not {provider!r}")
    return provider.partition(":")[2].lower()


def title_of(provider: str) -> str:
    """Return a provider's name as people read it, from its name in a setting: its class's, such as ``SendGrid``."""
    return BUNDLES.get(provider, provider).partition(":")[2]


def bundles(providers: Sequence[str], settings: Any) -> dict[str, Any]:
    """Make the bundles of the providers that a setting names, by name, each of the process's `Settings`."""
    made = {}
    for provider in providers:
        module, _, name = BUNDLES.get(provider, provider).partition(":")
        made[name_of(provider)] = getattr(import_module(module), name)(settings)
    return made


def owner_of(provider: str, in_use: Mapping[str, Sequence[str]]) -> str | None:
    """Return the service that talks to a provider, by the provider's name; None when no setting names it.

    Args:
        in_use: what each setting names.
    """
    for setting, service in SERVICES.items():
        if provider in map(name_of, in_use[setting]):
            return service
    return None

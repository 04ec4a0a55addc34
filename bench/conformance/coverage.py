"""Whether the tour has driven every route of the sandbox, with success and with an error, and seen every event."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bench.conformance.exchanges import Exchange, Record

# Routes that refuse nothing but a wrong key, which is tried elsewhere.
NEVER_REFUSED = frozenset(
    (
        *(("stripe", "GET", path) for path in ("/v1/tax/settings",)),
        ("sendgrid", "GET", "/v3/user/webhooks/event/settings/signed"),
    )
)


def template_of(routes: Sequence[tuple[str, str]], method: str, path: str) -> str | None:
    """Return the route's path with {names}, or None when there is no such route; a plain path is preferred."""
    plain = path.rstrip("/")
    for known, template in sorted(routes, key=lambda route: route[1].count("{")):
        pattern = "".join(
            re.escape(piece) if place % 2 == 0 else "[^/]+"
            for place, piece in enumerate(re.split(r"\{(\w+)\}", template))
        )
        if known == method and re.fullmatch(pattern, plain):
            return template
    return None


def missing_routes(routes: Mapping[str, Sequence[tuple[str, str]]], exchanges: Sequence[Exchange]) -> list[str]:
    """Return the routes that were never driven with success."""
    driven = {
        (each.provider, each.method, template_of(routes[each.provider], each.method, each.path))
        for each in exchanges
        if each.status < 400
    }
    return [
        f"{provider}: {method} {path}"
        for provider, known in routes.items()
        for method, path in known
        if (provider, method, path) not in driven
    ]


def differing_events(kinds: Mapping[str, frozenset[str]], record: Record) -> list[str]:
    """Return the kinds of events that did not arrive although the sandbox can send them, and the reverse."""
    found: dict[str, set[str]] = {provider: set() for provider in kinds}
    for webhook in record.webhooks:
        found[webhook.provider].add(webhook.kind)
    return [
        *(f"{name}: {kind} did not arrive" for name, known in kinds.items() for kind in sorted(known - found[name])),
        *(f"{name}: {kind} is not declared" for name, known in kinds.items() for kind in sorted(found[name] - known)),
    ]

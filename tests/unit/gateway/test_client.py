"""storefront/client.js has a method for every route of a shopper."""

from __future__ import annotations

import re

from gateway import api
from gateway.routing import BOUNDS
from launcher.place import ROOT

CLIENT = (ROOT / "storefront" / "client.js").read_text(encoding="utf-8")
# A provider's routes, and the second verb of a route that has two for the same.
NO_SHOPPERS = {("POST", "/api/webhooks/{}"), ("PUT", "/api/cart/shipping")}


def nameless(path: str) -> str:
    """A path without the names of its parameters and the trailing slash."""
    return re.sub(r"\$?\{\w+\}", "{}", path).rstrip("/")


def test_client_has_a_method_for_every_route_of_a_shopper() -> None:
    assert api.ROUTES
    calls = re.findall(r"""this\.#(?:send|inCart|owned)\("([A-Z]+)",\s*(?:path)?["`]([^"`]+)["`]""", CLIENT)
    sent = {(verb, nameless(path)) for verb, path in calls}
    offered = {
        (verb, nameless(url))
        for url, verbs in BOUNDS.items()
        for verb, bounds in verbs.items()
        if url.startswith("/api/") and not bounds.admin
    }
    assert len(offered) > 12
    assert offered - NO_SHOPPERS - sent == set()


def test_client_loads_nothing() -> None:
    assert not re.search(
        r"^\s*import\b|\bimport\(|https?://(?!shop\.example\.com)", re.sub(r"/\*.*?\*/", "", CLIENT, flags=re.S)
    )

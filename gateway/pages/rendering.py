"""Renders pages from templates. Everything that comes from a shopper, a product or a provider is escaped."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from chassis.settings import Settings

FOLDER = Path(__file__).parent
# The stylesheets by name.
STYLES = {path.name: path.read_bytes() for path in FOLDER.glob("*.css")}
# A browser may keep a stylesheet this long (seconds); a page names it by its content, so that a new one counts at once.
STYLE_KEPT_S = 3600

# Every page is private to the holder of its link: no cache may store it, no link on it may reveal its URL, no page may
# frame it, and nothing but its own stylesheet is loaded. Scripts do not run.
HEADERS = (
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'",
    ),
    ("cross-origin-opener-policy", "same-origin"),
    ("x-robots-tag", "noindex, nofollow"),
)

_TEMPLATES = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,  # a misspelt name raises here instead of leaving a gap in a shopper's page
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.globals["style_url"] = "/pages/order.css?" + hashlib.sha256(STYLES["order.css"]).hexdigest()[:12]


def page(template: str, settings: Settings, variables: Mapping[str, Any]) -> str:
    """The HTML of a page.

    Args:
        template: the name of a file in `templates`.
        settings: names the shop, and its mail address.
        variables: the template's.
    """
    sender = settings.ship_from
    city = " ".join(filter(None, (sender["state"], sender["zip"])))
    seller = (sender["name"], sender["street1"], sender["city"], city, sender["country"])
    shop = {
        "shop": sender["name"] or "The shop",
        "seller": ", ".join(filter(None, seller)),
        "mail": settings.mail_from,
    }
    return _TEMPLATES.get_template(template).render(shop | dict(variables))

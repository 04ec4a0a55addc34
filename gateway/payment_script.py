"""Stripe's script in the demo storefront: its address, and what a page must permit so that it works.

The origins are those of https://docs.stripe.com/security/guide#content-security-policy. With the sandbox, its stand-in
for the script takes their place.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from chassis.settings import Settings

# Each release of Stripe.js belongs to the API versions of its name (https://docs.stripe.com/sdks/stripejs-versioning).
STRIPE_JS_RELEASE = "endive"
_STRIPE_SCRIPTS = ("https://js.stripe.com", "https://*.js.stripe.com")
# Where the sandbox has its stand-in.
STAND_IN = "/sandbox/js/stripe.js"


@dataclass(frozen=True)
class PaymentScript:
    """The payment provider's script.

    Attributes:
        url: its address.
        scripts, frames, connections: the sources that it loads scripts from, shows in frames, and connects to.
    """

    url: str
    scripts: tuple[str, ...]
    frames: tuple[str, ...]
    connections: tuple[str, ...] = ()


def payment_script(settings: Settings) -> PaymentScript | None:
    """The script that the storefront loads; None without a publishable key, or when Stripe takes no payments."""
    if not settings.stripe_publishable_key or "stripe" not in settings.in_use["PAYMENT_PROVIDER"]:
        return None
    if settings.stripe.live:
        return PaymentScript(
            f"https://js.stripe.com/{STRIPE_JS_RELEASE}/stripe.js",
            _STRIPE_SCRIPTS,
            (*_STRIPE_SCRIPTS, "https://hooks.stripe.com"),
            ("https://api.stripe.com",),
        )
    parts = urlsplit(settings.sandbox_public_url)
    origin = (f"{parts.scheme}://{parts.netloc}",)
    return PaymentScript(settings.sandbox_public_url + STAND_IN, origin, origin)

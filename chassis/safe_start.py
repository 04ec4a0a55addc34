"""Whether the shop may start with these settings; ``python -m chassis.safe_start [part]`` only checks them.

Every process checks this first: the launcher, the gateway, each service. A refusal is one sentence that names the
settings concerned. No sentence contains a secret.
"""

from __future__ import annotations

import ipaddress
import itertools
import os
import sys
from collections.abc import Iterator, Mapping
from urllib.parse import unquote, urlsplit

from chassis.settings import (
    HASHED_KEY,
    KEY_NAMES,
    SANDBOX_KEYS,
    SANDBOX_WEBHOOK_SECRETS,
    Provider,
    Settings,
)

# The providers whose secrets each part uses. In Compose a part has no other secrets.
USES = {
    "products": ("stripe",),
    "cart": ("stripe",),
    "shipping": ("shippo",),
    "notifications": ("twilio", "sendgrid"),
    "gateway": (),
}
# With one of these, the money is real, too.
MONEY = ("STRIPE_API_KEY", "PAYMENT_PROVIDER")
SHORTEST_ADMIN_KEY = 24
FEWEST_CHARACTERS = 6  # different ones; a random key of 24 decimal digits has fewer with a probability of 1 in 80 000
DEFAULT_PASSWORDS = ("", "guest", "shop", "postgres")
DEFAULT_SENDER, DEFAULT_NUMBER = "shop@example.com", "+15005550006"
# Prefixes of the providers' test keys.
TEST_KEYS = tuple("_".join(words) for words in (("sk", "test", ""), ("rk", "test", ""), ("shippo", "test", "")))


def check(settings: Settings, part: str | None = None, env: Mapping[str, str] = os.environ) -> list[str]:
    """The warnings before `part` ("gateway", a service; None: the whole shop) starts.

    `env` holds the addresses to listen on. Raises ValueError, with one sentence a line, when the start is refused.
    """
    refused = [*_weak_keys(settings), *_open_admin_routes(settings, part, env)]
    if settings.cart_id_required and not settings.cart_id_secrets and part in (None, "gateway"):
        refused.append("CART_ID_SECRET must be set, because cart ids are required: it signs them.")
    if settings.live:
        refused += [*_half_live(settings, part), *_default_passwords(settings)]
    if refused:
        raise ValueError("\n".join(refused))
    return list(_warnings(settings, part, env)) if settings.live else []


def _weak_keys(settings: Settings) -> Iterator[str]:
    for number, key in enumerate(settings.admin_api_keys, 1):
        if key.startswith("sha256:"):
            if not HASHED_KEY.fullmatch(key):
                yield f"Key {number} of ADMIN_API_KEYS must be sha256: and 64 hexadecimal digits."
        elif not all("!" <= character <= "~" for character in key):
            yield f"Key {number} of ADMIN_API_KEYS has characters other than printable ASCII."
        elif len(key) < SHORTEST_ADMIN_KEY:
            yield f"Key {number} of ADMIN_API_KEYS has fewer than {SHORTEST_ADMIN_KEY} characters."
        elif _is_a_pattern(key):
            yield f"Key {number} of ADMIN_API_KEYS repeats itself and can be guessed."


def _is_a_pattern(key: str) -> bool:
    steps = {ord(second) - ord(first) for first, second in itertools.pairwise(key)}
    repeats = any(key[width:] == key[:-width] for width in range(1, len(key) // 2 + 1))
    return len(set(key)) < FEWEST_CHARACTERS or len(steps) == 1 or repeats


def _open_admin_routes(settings: Settings, part: str | None, env: Mapping[str, str]) -> Iterator[str]:
    # With LIVE_PROVIDERS the secrets are divided between the parts, and only the gateway has the admin keys.
    if settings.admin_api_keys or not (part in (None, "gateway") or not settings.live_named):
        return
    if settings.live:
        real = settings.live_settings[0]
        yield f"ADMIN_API_KEYS must be set, because {real} is: else anybody may use the admin routes."
    elif part in (None, "gateway"):
        # In a container the gateway listens on all addresses of its own network; the published address is what counts.
        name = "PUBLISH_ADDRESS" if env.get("PUBLISH_ADDRESS") else "GATEWAY_HOST"
        host = env.get(name) or "127.0.0.1"
        if not _is_loopback(host):
            yield (
                f"ADMIN_API_KEYS must be set, because {name}={host} lets other machines in: "
                "else anybody may use the admin routes."
            )


def _half_live(settings: Settings, part: str | None) -> Iterator[str]:
    providers = settings.providers
    for name in USES.get(part, ()) if part else providers:
        if providers[name].live and not providers[name].key:
            yield f"LIVE_PROVIDERS names {name}, so {KEY_NAMES[name]} must be set."
    for name, provider in providers.items():
        if provider.live and provider.key == SANDBOX_KEYS[name]:
            yield f"{KEY_NAMES[name]} is the sandbox's own key; remove it, or set a real one."
    others = [name for name in settings.live_settings if name not in MONEY]
    if others and others == settings.live_settings and not settings.allow_sandbox_payments:
        yield (
            f"STRIPE_API_KEY must be set, because {' and '.join(others)} is: else the sandbox's money buys real labels "
            "and messages. ALLOW_SANDBOX_PAYMENTS=true allows that."
        )
    for name, secret in (("stripe", settings.stripe_webhook_secret), ("shippo", settings.shippo_webhook_secret)):
        if providers[name].live and secret == SANDBOX_WEBHOOK_SECRETS[name]:
            yield f"{name.upper()}_WEBHOOK_SECRET is the sandbox's, which anybody knows; set {name.title()}'s own."
    if settings.sendgrid.live and settings.mail_from == DEFAULT_SENDER:
        yield "MAIL_FROM must be set, because SENDGRID_API_KEY is: SendGrid sends no mail from the default address."


def _default_passwords(settings: Settings) -> Iterator[str]:
    if any(_password(uri) in DEFAULT_PASSWORDS for uri in settings.amqp_uri.split(";")):
        yield (
            f"AMQP_URI has a default password while {settings.live_settings[0]} is set; "
            "set another one (in Compose: RABBITMQ_PASSWORD)."
        )
    url = settings.database_url or ""
    if url.startswith("postgres") and urlsplit(url).hostname and _password(url) in DEFAULT_PASSWORDS:
        yield (
            f"DATABASE_URL has a default password while {settings.live_settings[0]} is set; "
            "set another one (in Compose: POSTGRES_PASSWORD)."
        )


def _password(uri: str) -> str:
    parts = urlsplit(uri)
    # RabbitMQ's own default, when the URI names no user.
    return "guest" if parts.username is None else unquote(parts.password or "")


def _warnings(settings: Settings, part: str | None, env: Mapping[str, str]) -> Iterator[str]:
    mine = USES.get(part, ()) if part else tuple(settings.providers)
    live = {name: provider for name, provider in settings.providers.items() if provider.live}
    tests = [name for name in mine if name in live and _is_a_test_key(live[name])]
    for name in tests:
        real = [KEY_NAMES[other] for other in live if other != name and other not in tests]
        more = f" together with {' and '.join(real)}" if real else ""
        harm = ": real labels and messages for no money" if name == "stripe" and real else ""
        yield f"{KEY_NAMES[name]} is a test key{more}{harm}."
    if part in (None, "gateway", "notifications"):
        url = urlsplit(settings.public_url)
        if url.scheme != "https" or _is_loopback(url.hostname or ""):
            yield "PUBLIC_URL is not a public https address, so links to orders and providers' webhooks are not safe."
    if part in (None, "cart") and not settings.operator_email:
        yield "OPERATOR_EMAIL is not set, so nobody is mailed about an order that needs a person."
    if "twilio" in mine and settings.twilio.live and settings.sms_from == DEFAULT_NUMBER:
        yield "SMS_FROM is the default number, which Twilio accepts from test credentials only."
    if "shippo" in mine and settings.shippo.live and settings.ship_from["email"] == DEFAULT_SENDER:
        yield "SHIP_FROM_EMAIL is the default; check all SHIP_FROM_ settings before a label is bought."
    if (
        part is None
        and not _is_loopback(env.get("SANDBOX_HOST") or "127.0.0.1")
        and len(live) < len(settings.providers)
    ):
        yield "SANDBOX_HOST lets other machines control the sandbox while other providers are real."


def _is_a_test_key(provider: Provider) -> bool:
    return provider.key.startswith(TEST_KEYS)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def main(arguments: list[str]) -> int:
    """Check the settings of the environment; print warnings to stdout, refusals to stderr. The exit status."""
    try:
        for warning in check(Settings.load(), arguments[0] if arguments else None):
            print(warning)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

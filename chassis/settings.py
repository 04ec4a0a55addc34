"""Every setting of the shop, read once from `config.yml`, which takes each value from the environment or a default."""

from __future__ import annotations

import ipaddress
import os
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from chassis.registry import BUNDLES, SERVICES, name_of
from chassis.secret_files import with_secret_files
from contracts.contacts import COUNTRIES, ascii_mail_address, mail_address_fault
from contracts.currencies import charge_step, currency_code

# Nameko's import causes this warning at every start, and the operator cannot change that.
warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
from nameko.cli.main import setup_yaml_parser  # noqa: E402

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# The sandbox's API keys. Built rather than written out, so that no file holds a string that looks like a real key.
SANDBOX_KEYS = {
    "stripe": "_".join(("sk", "sandbox")),
    "shippo": "_".join(("shippo", "sandbox")),
    "twilio": "AC" + "0" * 32,
    "sendgrid": ".".join(("SG", "sandbox")),
}
# The only publishable key that the sandbox's stand-in for Stripe.js accepts.
SANDBOX_PUBLISHABLE_KEY = "_".join(("pk", "test", "sandbox"))
KEY_NAMES = {
    "stripe": "STRIPE_API_KEY",
    "shippo": "SHIPPO_API_KEY",
    "twilio": "TWILIO_ACCOUNT_SID",
    "sendgrid": "SENDGRID_API_KEY",
}
SANDBOX_TWILIO_TOKEN = "sandbox"  # noqa: S105
# The sandbox's webhook secrets. Twilio's webhooks are signed with the token above, SendGrid's with a key of its own.
SANDBOX_WEBHOOK_SECRETS = {name: "_".join(("whsec", "sandbox", name)) for name in ("stripe", "shippo")}
# To whom the shop reports while mail goes to the sandbox.
SANDBOX_OPERATOR = "operator@example.com"
# An admin key of which the shop knows only the digest.
HASHED_KEY = re.compile(r"sha256:[0-9A-Fa-f]{64}")

# Stripe's keys name their mode: https://docs.stripe.com/keys
PUBLISHABLE_KEY = re.compile(r"pk_(test|live)_[A-Za-z0-9_]{1,200}")
SECRET_KEY = re.compile(r"(?:sk|rk)_(test|live)_")

# An origin as browsers send it: in ASCII, without a path. The port is left out when it is the scheme's own.
ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")
WEB_URL = re.compile(r"https?://[^\s\"'<>;,]+")
# The shortest signing secret: 128 bits as hexadecimal digits.
SHORTEST_SECRET = 32


@dataclass(frozen=True)
class Provider:
    """How to reach one provider.

    Attributes:
        key: its API key (Twilio: the account SID).
        secret: Twilio's token, else "".
        base: the URL to use in place of the SDK's own, or None for the provider itself.
        live: True when a real key was given, or LIVE_PROVIDERS says so (then the key may be another process's).
    """

    key: str
    secret: str
    base: str | None
    live: bool

    def __repr__(self) -> str:  # a key is never printed
        return f"Provider(base={self.base!r}, live={self.live})"


@dataclass(frozen=True)
class Settings:
    """The settings of one process; see `.env.example` for what each means."""

    amqp_uri: str = field(repr=False)
    var_dir: str
    database_url: str | None = field(repr=False)
    sandbox_url: str
    # The sandbox as a browser reaches it.
    sandbox_public_url: str
    stripe: Provider
    shippo: Provider
    twilio: Provider
    sendgrid: Provider
    # The providers that each setting names (`chassis.registry`), the preferred first.
    in_use: dict[str, tuple[str, ...]]
    # True when LIVE_PROVIDERS names the real ones, so that this process needs no other process's secrets.
    live_named: bool
    # True when LIVE_PROVIDERS is "none".
    none_live: bool
    allow_sandbox_payments: bool
    admin_api_keys: tuple[str, ...] = field(repr=False)
    cart_id_required: bool
    trusted_proxies: tuple[Network, ...]
    # The origins whose pages may call the API, with credentials; and whether any page of this machine may, without.
    cors_origins: frozenset[str]
    cors_localhost: bool
    # The secrets that sign cart ids: the first signs, each of them verifies.
    cart_id_secrets: tuple[str, ...] = field(repr=False)
    currency: str
    # Whether prices include the tax that the tax provider calculates; None: no tax is calculated.
    tax_included: bool | None
    mail_from: str
    # To whom an order that needs a person is reported; "": to nobody.
    operator_email: str
    # Whether no label is bought while the order's payment is disputed or suspected.
    dispute_holds_label: bool
    sms_from: str
    # Two-letter codes of the countries that may receive text messages; empty: every country.
    sms_countries: frozenset[str]
    ship_from: dict[str, str]
    receive_timeout: float
    rpc_timeout: float
    checkout_timeout: float
    pay_timeout: float
    provider_connect_timeout: float
    provider_timeout: float
    # For providers' webhooks: the secrets that sign Stripe's and Shippo's ("" when none is set: none can be verified),
    # the URL of the gateway as providers know it, and SendGrid's public key ("": it is fetched from SendGrid).
    stripe_webhook_secret: str = field(repr=False)
    shippo_webhook_secret: str = field(repr=False)
    sendgrid_webhook_key: str
    # For Stripe.js in a storefront; "": there is none, and the demo storefront offers test cards.
    stripe_publishable_key: str
    public_url: str
    # After how many seconds the state of a parcel, and of a text message, is requested again.
    tracking_poll: float
    messages_poll: float
    # How long an order may hold its stock while the shopper's bank is asked (seconds).
    bank_hold_s: float
    # Whether requests are limited, and the Redis that counts them ("": each process counts its own).
    rate_limits: bool
    rate_limit_url: str = field(repr=False)
    # Whether the gateway serves the demo storefront, and whether the first start loads its catalogue.
    storefront: bool
    demo: bool

    @property
    def providers(self) -> dict[str, Provider]:
        """The four providers by name."""
        return {name: getattr(self, name) for name in KEY_NAMES}

    @property
    def live(self) -> bool:
        """True when any provider is a real one."""
        return bool(self.live_settings)

    @property
    def live_settings(self) -> list[str]:
        """The settings that name a real provider: those of the keys, and those with a provider of one's own, as
        ``module:Class``, unless LIVE_PROVIDERS says that none is real."""
        return _live_settings(self.providers, self.in_use, self.none_live)

    @property
    def longest_call(self) -> float:
        """The longest time that a caller waits for an answer (seconds)."""
        return max(self.rpc_timeout, self.checkout_timeout, self.pay_timeout)

    @classmethod
    def load(cls, path: str | Path = "config.yml") -> Settings:
        """Read `path` as `nameko run` does. Raises OSError, or ValueError naming the setting that is wrong."""
        setup_yaml_parser()
        return cls.from_config(yaml.safe_load(Path(path).read_text(encoding="utf-8")))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Settings:
        """Take the settings from a parsed `config.yml`. Raises ValueError naming the setting that is wrong."""
        config = with_secret_files(config, os.environ)
        sandbox_url = _text(config, "SANDBOX_URL").rstrip("/")
        named = _live_providers(config)
        providers = {name: _provider(config, name, sandbox_url, named) for name in KEY_NAMES}
        in_use = _in_use(config)
        live = bool(_live_settings(providers, in_use, named == set()))
        origins = _origins(config, "CORS_ORIGINS")
        currency = _currency(config, "CURRENCY")
        return cls(
            amqp_uri=_text(config, "AMQP_URI"),
            var_dir=_text(config, "VAR_DIR"),
            database_url=_text(config, "DATABASE_URL") or None,
            sandbox_url=sandbox_url,
            sandbox_public_url=_public_sandbox(config) or sandbox_url,
            live_named=named is not None,
            none_live=named == set(),
            allow_sandbox_payments=_flag(config, "ALLOW_SANDBOX_PAYMENTS"),
            **providers,
            in_use=in_use,
            admin_api_keys=tuple(key for key in map(str.strip, _text(config, "ADMIN_API_KEYS").split(",")) if key),
            trusted_proxies=_networks(config, "TRUSTED_PROXIES"),
            cors_origins=origins or frozenset(),
            cors_localhost=origins is None and not live,
            currency=currency,
            tax_included=_tax_included(config, in_use, currency),
            cart_id_required=_flag(config, "CART_ID_REQUIRED", live),
            cart_id_secrets=_cart_id_secrets(config),
            mail_from=_mail_address(config, "MAIL_FROM"),
            operator_email=_mail_address(config, "OPERATOR_EMAIL")
            or ("" if providers["sendgrid"].live else SANDBOX_OPERATOR),
            dispute_holds_label=_flag(config, "DISPUTE_HOLDS_LABEL", True),
            sms_from=_text(config, "SMS_FROM"),
            sms_countries=_countries(config, "SMS_COUNTRIES"),
            ship_from={
                **{
                    field: _text(config, f"SHIP_FROM_{field.upper()}")
                    for field in ("name", "street1", "city", "state", "zip", "country", "phone")
                },
                "email": ascii_mail_address(_mail_address(config, "SHIP_FROM_EMAIL")),
            },
            receive_timeout=_seconds(config, "RECEIVE_TIMEOUT"),
            rpc_timeout=_seconds(config, "RPC_TIMEOUT"),
            checkout_timeout=_seconds(config, "CHECKOUT_TIMEOUT"),
            pay_timeout=_seconds(config, "PAY_TIMEOUT"),
            provider_connect_timeout=_seconds(config, "PROVIDER_CONNECT_TIMEOUT"),
            provider_timeout=_seconds(config, "PROVIDER_TIMEOUT"),
            stripe_webhook_secret=_webhook_secret(config, "stripe", providers),
            shippo_webhook_secret=_webhook_secret(config, "shippo", providers),
            sendgrid_webhook_key=_text(config, "SENDGRID_WEBHOOK_PUBLIC_KEY"),
            stripe_publishable_key=_publishable_key(config, providers["stripe"]),
            public_url=_text(config, "PUBLIC_URL").rstrip("/")
            or f"http://127.0.0.1:{_text(config, 'GATEWAY_PORT') or 8000}",
            tracking_poll=_seconds(config, "TRACKING_POLL"),
            messages_poll=_seconds(config, "MESSAGES_POLL"),
            rate_limits=_flag(config, "RATE_LIMITS", live),
            rate_limit_url=_redis_url(config, "RATE_LIMIT_URL"),
            bank_hold_s=_minutes(config, "BANK_CONFIRMATION_MINUTES"),
            storefront=_flag(config, "STOREFRONT", not live),
            demo=_flag(config, "DEMO", True),
        )


def _text(config: dict[str, Any], name: str) -> str:
    value = config.get(name)
    return "" if value is None else str(value)


def _flag(config: dict[str, Any], name: str, default: bool = False) -> bool:
    value = _text(config, name).strip().lower()
    if value == "":
        return default
    if value in ("0", "false", "no", "off"):
        return False
    if value in ("1", "true", "yes", "on"):
        return True
    raise ValueError(f"{name} must be true or false, not {value!r}.")


def _cart_id_secrets(config: dict[str, Any]) -> tuple[str, ...]:
    secrets = tuple(secret for secret in map(str.strip, _text(config, "CART_ID_SECRET").split(",")) if secret)
    if any(len(secret) < SHORTEST_SECRET for secret in secrets):
        raise ValueError(f"Each secret in CART_ID_SECRET must have at least {SHORTEST_SECRET} characters.")
    return secrets


def _seconds(config: dict[str, Any], name: str) -> float:
    value = _text(config, name)
    try:
        seconds = float(value)
    except ValueError:
        raise ValueError(f"{name} must be a number of seconds, not {value!r}.") from None
    if not 0 < seconds < 3600:
        raise ValueError(f"{name} must be more than 0 and less than 3600 seconds, not {value!r}.")
    return seconds


def _networks(config: dict[str, Any], name: str) -> tuple[Network, ...]:
    networks: list[Network] = []
    for text in filter(None, map(str.strip, _text(config, name).split(","))):
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise ValueError(f"{name} must be addresses or networks such as 10.0.0.0/8: {error}.") from None
    return tuple(networks)


def _origins(config: dict[str, Any], name: str) -> frozenset[str] | None:
    """Origins as browsers send them; none at all for `none`; None when the setting is empty."""
    texts = {text for text in map(str.strip, _text(config, name).lower().split(",")) if text}
    if not texts or texts == {"none"}:
        return frozenset() if texts else None
    wrong = sorted(text for text in texts if not ORIGIN.fullmatch(text))
    if wrong:
        raise ValueError(f"{name} must be none, or origins such as https://shop.example.com: {wrong[0]!r} is not one.")
    return frozenset(re.sub(r"^(http:.*):80$|^(https:.*):443$", r"\1\2", text) for text in texts)


def _currency(config: dict[str, Any], name: str) -> str:
    try:
        return currency_code(_text(config, name))
    except ValueError as error:
        raise ValueError(f"{name}: {error}.") from None


def _tax_included(config: dict[str, Any], in_use: dict[str, tuple[str, ...]], currency: str) -> bool | None:
    tax, behavior = _text(config, "TAX").strip().lower(), _text(config, "TAX_BEHAVIOR").strip().lower()
    if tax not in ("none", "stripe"):
        raise ValueError(f"TAX must be none or stripe, not {tax!r}.")
    if behavior not in ("exclusive", "inclusive"):
        raise ValueError(f"TAX_BEHAVIOR must be exclusive or inclusive, not {behavior!r}.")
    if tax == "stripe" and in_use["PAYMENT_PROVIDER"] != ("stripe",):
        raise ValueError("TAX is stripe, so PAYMENT_PROVIDER must be, too.")
    step = charge_step(currency)
    if tax == "stripe" and behavior == "exclusive" and step > 1:
        raise ValueError(
            f"TAX_BEHAVIOR must be inclusive, because CURRENCY is {currency}: Stripe charges only multiples of {step}, "
            "which an added tax is not."
        )
    return None if tax == "none" else behavior == "inclusive"


def _mail_address(config: dict[str, Any], name: str) -> str:
    value = _text(config, name)
    fault = mail_address_fault(value)
    if value and fault is not None:
        raise ValueError(f"{name} {fault}")
    return value


def _countries(config: dict[str, Any], name: str) -> frozenset[str]:
    countries = frozenset(filter(None, map(str.strip, _text(config, name).upper().split(","))))
    unknown = sorted(countries - COUNTRIES)
    if unknown:
        raise ValueError(f"{name} must be two-letter codes of countries, such as US,CA; unknown: {', '.join(unknown)}.")
    return countries


def _redis_url(config: dict[str, Any], name: str) -> str:
    value = _text(config, name)
    if value and not value.startswith(("redis://", "rediss://")):
        raise ValueError(f"{name} must begin with redis:// or rediss://.")
    return value


def _minutes(config: dict[str, Any], name: str) -> float:
    """A number of minutes, as seconds."""
    value = _text(config, name)
    try:
        minutes = float(value)
    except ValueError:
        raise ValueError(f"{name} must be a number of minutes, not {value!r}.") from None
    if not 1 <= minutes <= 60:
        raise ValueError(f"{name} must be from 1 to 60 minutes, not {value!r}.")
    return minutes * 60


def _webhook_secret(config: dict[str, Any], name: str, providers: dict[str, Provider]) -> str:
    # The sandbox's secret is public: with a real provider it would admit anybody.
    return _text(config, f"{name.upper()}_WEBHOOK_SECRET") or (
        "" if providers[name].live else SANDBOX_WEBHOOK_SECRETS[name]
    )


def _public_sandbox(config: dict[str, Any]) -> str:
    """The sandbox's URL for browsers, which becomes part of a Content-Security-Policy; "" when none is set."""
    url = _text(config, "SANDBOX_PUBLIC_URL").strip().rstrip("/")
    if url and not WEB_URL.fullmatch(url):
        raise ValueError(
            "SANDBOX_PUBLIC_URL must begin with http:// or https://, and have no space, quote or semicolon."
        )
    return url


def _publishable_key(config: dict[str, Any], stripe: Provider) -> str:
    """Stripe's publishable key: the sandbox's, or one of the mode of the secret key where this process has it."""
    key = _text(config, "STRIPE_PUBLISHABLE_KEY").strip()
    if not key:
        return ""
    mode = PUBLISHABLE_KEY.fullmatch(key)
    if mode is None:
        raise ValueError("STRIPE_PUBLISHABLE_KEY must begin with pk_test_ or pk_live_.")
    if (key == SANDBOX_PUBLISHABLE_KEY) is stripe.live:
        needed = "a key of Stripe's" if stripe.live else SANDBOX_PUBLISHABLE_KEY
        raise ValueError(
            f"STRIPE_PUBLISHABLE_KEY must be {needed}, as Stripe is {'real' if stripe.live else 'the sandbox'}."
        )
    secret = SECRET_KEY.match(stripe.key) if stripe.live else None
    if secret is not None and mode[1] != secret[1]:
        raise ValueError(f"STRIPE_PUBLISHABLE_KEY is for {mode[1]} mode, and STRIPE_API_KEY for {secret[1]} mode.")
    return key


def _live_providers(config: dict[str, Any]) -> set[str] | None:
    """The real providers as LIVE_PROVIDERS names them, or None when it is empty: then the keys decide."""
    names = {name.strip().lower() for name in _text(config, "LIVE_PROVIDERS").split(",") if name.strip()}
    if not names:
        return None
    if names - {*KEY_NAMES, "none"} or ("none" in names and len(names) > 1):
        raise ValueError(f"LIVE_PROVIDERS must be none, or some of {', '.join(KEY_NAMES)}, separated by commas.")
    return names - {"none"}


def _in_use(config: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    found = {}
    for setting in SERVICES:
        found[setting] = providers = tuple(filter(None, map(str.strip, _text(config, setting).split(","))))
        try:
            names = {name_of(provider) for provider in providers}
        except ValueError as error:
            raise ValueError(f"{setting} {error}.") from None
        if not names or len(providers) > (len(names) if setting == "CARRIERS" else 1):
            wanted = "carriers, each once" if setting == "CARRIERS" else "one provider"
            raise ValueError(f"{setting} must name {wanted}.")
    everywhere = [name_of(provider) for providers in found.values() for provider in providers]
    twice = [name for name in everywhere if everywhere.count(name) > 1]
    if twice:
        raise ValueError(f"{' and '.join(found)} must name different providers, and these have one name: {twice[0]}.")
    return found


def _live_settings(providers: dict[str, Provider], in_use: dict[str, tuple[str, ...]], none_live: bool) -> list[str]:
    own = [setting for setting, names in in_use.items() if set(names) - set(BUNDLES)]
    return [*(KEY_NAMES[name] for name, each in providers.items() if each.live), *([] if none_live else own)]


def _provider(config: dict[str, Any], name: str, sandbox_url: str, named: set[str] | None) -> Provider:
    key_name = KEY_NAMES[name]
    key = _text(config, key_name)
    secret = _text(config, "TWILIO_AUTH_TOKEN") if name == "twilio" else ""
    if named is not None and key and name not in named:
        raise ValueError(f"{key_name} is set, so LIVE_PROVIDERS must name {name}, too.")
    if not key and name not in (named or ()):
        token = SANDBOX_TWILIO_TOKEN if name == "twilio" else ""
        return Provider(key=SANDBOX_KEYS[name], secret=token, base=f"{sandbox_url}/{name}", live=False)
    if key and name == "twilio" and not secret:
        raise ValueError(f"{key_name} is set, so TWILIO_AUTH_TOKEN must be, too.")
    return Provider(key=key, secret=secret, base=None, live=True)

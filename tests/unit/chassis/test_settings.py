"""Settings: where each value comes from, and which error names a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from chassis.secret_files import SECRETS
from chassis.settings import SANDBOX_PUBLISHABLE_KEY, Settings
from launcher.place import ROOT

CONFIG = ROOT / "config.yml"
CLEAN = (
    "AMQP_URI",
    "VAR_DIR",
    "DATABASE_URL",
    "SANDBOX_URL",
    "ADMIN_API_KEYS",
    "CART_ID_REQUIRED",
    "CART_ID_SECRET",
    "CORS_ORIGINS",
    "RPC_TIMEOUT",
)
KEYS = (
    "LIVE_PROVIDERS",
    "STRIPE_API_KEY",
    "SHIPPO_API_KEY",
    "TWILIO_ACCOUNT_SID",
    "TWILIO_AUTH_TOKEN",
    "SENDGRID_API_KEY",
)
WEBHOOKS = ("STRIPE_WEBHOOK_SECRET", "SHIPPO_WEBHOOK_SECRET", "SENDGRID_WEBHOOK_PUBLIC_KEY", "PUBLIC_URL")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*CLEAN, *KEYS, *WEBHOOKS):
        monkeypatch.delenv(name, raising=False)


def test_without_any_variable_every_provider_is_the_sandbox() -> None:
    settings = Settings.load(CONFIG)
    assert settings.database_url is None
    assert settings.admin_api_keys == ()
    assert settings.cart_id_required is False
    assert settings.live is False
    for name in ("stripe", "shippo", "twilio", "sendgrid"):
        provider = getattr(settings, name)
        assert provider.base == f"http://127.0.0.1:8100/{name}"
        assert provider.key
    assert (settings.rpc_timeout, settings.checkout_timeout, settings.pay_timeout) == (10.0, 20.0, 30.0)
    assert set(settings.ship_from) == {"name", "street1", "city", "state", "zip", "country", "phone", "email"}


def test_text_that_yaml_would_convert_stays_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIP_FROM_ZIP", "02134")
    monkeypatch.setenv("SHIP_FROM_STATE", "no")
    monkeypatch.setenv("SMS_FROM", "+15005550006")
    monkeypatch.setenv("AMQP_URI", "amqp://shop:a%2Fb%3A#c@broker:5672/%2Fx y")
    monkeypatch.setenv("ADMIN_API_KEYS", " one, two ,,123")
    settings = Settings.load(CONFIG)
    assert settings.ship_from["zip"] == "02134"
    assert settings.ship_from["state"] == "no"
    assert settings.sms_from == "+15005550006"
    assert settings.amqp_uri == "amqp://shop:a%2Fb%3A#c@broker:5672/%2Fx y"
    assert settings.admin_api_keys == ("one", "two", "123")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RPC_TIMEOUT", "soon"),
        ("RPC_TIMEOUT", "0"),
        ("PAY_TIMEOUT", "-1"),
        ("CHECKOUT_TIMEOUT", "3600"),
        ("PROVIDER_TIMEOUT", ".nan"),
        ("CART_ID_REQUIRED", "perhaps"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, proxy"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "shop.example.com"),
        ("CORS_ORIGINS", "https://shop.example.com/"),
        ("CORS_ORIGINS", "https://shop.example.com, none"),
        ("CORS_ORIGINS", "https://läden.example"),
        ("CART_ID_SECRET", "x" * 31),
        ("CART_ID_SECRET", ",".join(("x" * 32, "short"))),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=name):
        Settings.load(CONFIG)


def test_real_key_selects_the_real_provider_and_stays_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "real-" + "k" * 12
    monkeypatch.setenv("STRIPE_API_KEY", key)
    settings = Settings.load(CONFIG)
    assert (settings.stripe.key, settings.stripe.base, settings.stripe.live) == (key, None, True)
    assert settings.live
    assert settings.shippo.live is False
    assert key not in repr(settings)
    assert key not in f"{settings.stripe}"


def test_twilios_account_needs_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", "real-account")
    with pytest.raises(ValueError, match="TWILIO_AUTH_TOKEN"):
        Settings.load(CONFIG)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "real-token")
    twilio = Settings.load(CONFIG).twilio
    assert (twilio.key, twilio.secret, twilio.live) == ("real-account", "real-token", True)


@pytest.mark.parametrize(("given", "meant"), [("true", True), ("YES", True), ("1", True), ("off", False), ("", False)])
def test_flag_accepts_the_usual_spellings(monkeypatch: pytest.MonkeyPatch, given: str, meant: bool) -> None:
    monkeypatch.setenv("CART_ID_REQUIRED", given)
    assert Settings.load(CONFIG).cart_id_required is meant


def test_trusted_proxies_are_addresses_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load(CONFIG).trusted_proxies == ()
    monkeypatch.setenv("TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1,::1")
    assert [str(each) for each in Settings.load(CONFIG).trusted_proxies] == ["10.0.0.0/8", "192.0.2.1/32", "::1/128"]


@pytest.mark.parametrize(
    ("given", "live", "origins", "localhost"),
    [
        ("", False, set(), True),
        ("", True, set(), False),
        ("none", False, set(), False),
        ("https://Shop.example, http://[::1]:3000 ", False, {"https://shop.example", "http://[::1]:3000"}, False),
        ("https://a.example:443,http://b.example:80", True, {"https://a.example", "http://b.example"}, False),
        ("https://a.example:80", True, {"https://a.example:80"}, False),
    ],
)
def test_origins_are_as_browsers_send_them(
    monkeypatch: pytest.MonkeyPatch, given: str, live: bool, origins: set[str], localhost: bool
) -> None:
    monkeypatch.setenv("CORS_ORIGINS", given)
    if live:
        monkeypatch.setenv("STRIPE_API_KEY", "real-key")
    settings = Settings.load(CONFIG)
    assert (settings.cors_origins, settings.cors_localhost) == (origins, localhost)


@pytest.mark.parametrize("name", ["STRIPE_API_KEY", "SHIPPO_API_KEY", "SENDGRID_API_KEY"])
def test_cart_ids_are_required_once_a_provider_is_live(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "real-key")
    assert Settings.load(CONFIG).cart_id_required
    monkeypatch.setenv("CART_ID_REQUIRED", "false")
    assert not Settings.load(CONFIG).cart_id_required


def test_cart_id_secrets_are_a_list_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CART_ID_SECRET", f" {'a' * 32}, {'b' * 32},")
    settings = Settings.load(CONFIG)
    assert settings.cart_id_secrets == ("a" * 32, "b" * 32)
    assert "a" * 32 not in repr(settings)


def test_real_key_disables_the_sandboxs_webhook_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.load(CONFIG)
    secrets = (settings.stripe_webhook_secret, settings.shippo_webhook_secret)
    assert all(secrets)
    assert len(set(secrets)) == 2
    assert (settings.sendgrid_webhook_key, settings.public_url) == ("", "http://127.0.0.1:8000")
    monkeypatch.setenv("STRIPE_API_KEY", "real-key")
    settings = Settings.load(CONFIG)
    assert (settings.stripe_webhook_secret, settings.shippo_webhook_secret) == ("", secrets[1])
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "said-by-stripe")
    monkeypatch.setenv("PUBLIC_URL", "https://shop.example/")
    settings = Settings.load(CONFIG)
    assert (settings.stripe_webhook_secret, settings.public_url) == ("said-by-stripe", "https://shop.example")
    assert "said-by-stripe" not in repr(settings)


def test_currency_that_stripe_does_not_take_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURRENCY", "zzz")
    with pytest.raises(ValueError, match="CURRENCY: Stripe has no currency 'zzz'"):
        Settings.load(CONFIG)
    monkeypatch.setenv("CURRENCY", "ISK")
    assert Settings.load(CONFIG).currency == "isk"


def test_tax_is_not_added_in_a_currency_with_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAX", "stripe")
    for currency in ("KWD", "isk"):
        monkeypatch.setenv("CURRENCY", currency)
        monkeypatch.setenv("TAX_BEHAVIOR", "exclusive")
        with pytest.raises(ValueError, match=f"TAX_BEHAVIOR must be inclusive, because CURRENCY is {currency.lower()}"):
            Settings.load(CONFIG)
        monkeypatch.setenv("TAX_BEHAVIOR", "inclusive")
        assert Settings.load(CONFIG).tax_included
    monkeypatch.setenv("TAX", "none")
    monkeypatch.setenv("TAX_BEHAVIOR", "exclusive")
    assert Settings.load(CONFIG).tax_included is None


def test_live_providers_may_be_named_without_their_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVE_PROVIDERS", "Stripe, twilio")
    settings = Settings.load(CONFIG)
    assert {name for name, provider in settings.providers.items() if provider.live} == {"stripe", "twilio"}
    assert settings.live_named
    assert (settings.stripe.key, settings.stripe.base, settings.stripe_webhook_secret) == ("", None, "")
    monkeypatch.setenv("LIVE_PROVIDERS", "none")
    assert not Settings.load(CONFIG).live
    monkeypatch.setenv("SHIPPO_API_KEY", "real-key")
    with pytest.raises(ValueError, match="SHIPPO_API_KEY is set, so LIVE_PROVIDERS must name shippo"):
        Settings.load(CONFIG)


@pytest.mark.parametrize("value", ["paypal", "none, stripe", "stripe shippo"])
def test_live_providers_must_be_known(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LIVE_PROVIDERS", value)
    with pytest.raises(ValueError, match="LIVE_PROVIDERS must be none, or some of stripe"):
        Settings.load(CONFIG)


@pytest.mark.parametrize("name", SECRETS)
def test_every_secret_is_read_from_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN" if name != "TWILIO_AUTH_TOKEN" else "TWILIO_ACCOUNT_SID", "other")
    monkeypatch.delenv(name, raising=False)
    path = tmp_path / "secret"
    path.write_text("  redis://a-file/that-is-not-too-short-for-a-secret\n")
    monkeypatch.setenv(f"{name}_FILE", str(path))
    settings = Settings.load(CONFIG)
    found = str([vars(settings), [vars(provider) for provider in settings.providers.values()]])
    assert "redis://a-file/that-is-not-too-short-for-a-secret" in found
    assert "a-file" not in repr(settings) or name == "SENDGRID_WEBHOOK_PUBLIC_KEY"
    monkeypatch.setenv(name, "both")
    with pytest.raises(ValueError, match=f"Set {name} or {name}_FILE, not both"):
        Settings.load(CONFIG)


def test_a_secret_file_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    for content, reason in ((None, "cannot be read: No such file"), (b"\xff", "not text"), (b" \n", "is empty")):
        if content is not None:
            path.write_bytes(content)
        monkeypatch.setenv("STRIPE_API_KEY_FILE", str(path))
        with pytest.raises(ValueError, match=f"STRIPE_API_KEY_FILE.*{reason}"):
            Settings.load(CONFIG)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAIL_FROM", "shop@-example.com"),
        ("OPERATOR_EMAIL", "shop"),
        ("SHIP_FROM_EMAIL", "shop"),
        ("SMS_COUNTRIES", "US,Germany"),
    ],
)
def test_sender_and_countries_are_checked(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=name):
        Settings.load(CONFIG)


def test_sms_countries_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load(CONFIG).sms_countries == frozenset()
    monkeypatch.setenv("SMS_COUNTRIES", "us, CA,")
    assert Settings.load(CONFIG).sms_countries == {"US", "CA"}


def test_links_follow_the_gateways_port_until_their_url_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "8123")
    assert Settings.load(CONFIG).public_url == "http://127.0.0.1:8123"
    monkeypatch.setenv("PUBLIC_URL", "https://shop.example/")
    assert Settings.load(CONFIG).public_url == "https://shop.example"


def test_operator_is_mailed_in_the_sandbox_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load(CONFIG).operator_email == "operator@example.com"
    monkeypatch.setenv("SENDGRID_API_KEY", "real")
    assert Settings.load(CONFIG).operator_email == ""
    monkeypatch.setenv("OPERATOR_EMAIL", "night@shop.example")
    assert Settings.load(CONFIG).operator_email == "night@shop.example"


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("", SANDBOX_PUBLISHABLE_KEY),
        ("sk_test_1", "pk_test_1"),
        ("rk_live_1", "pk_live_1"),
        ("sk_live_1", ""),
    ],
)
def test_publishable_key_has_the_mode_of_the_secret_key(monkeypatch: pytest.MonkeyPatch, secret: str, key: str) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", secret)
    monkeypatch.setenv("STRIPE_PUBLISHABLE_KEY", key)
    assert Settings.load(ROOT / "config.yml").stripe_publishable_key == key


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("", "pk_live_1"),
        ("", "pk_test_1"),
        ("sk_test_1", SANDBOX_PUBLISHABLE_KEY),
        ("sk_live_1", "pk_test_1"),
        ("sk_test_1", "pk_live_1"),
        ("", "sk_test_1"),
        ("", "pk_test_<"),
    ],
)
def test_publishable_key_of_another_mode_is_refused(monkeypatch: pytest.MonkeyPatch, secret: str, key: str) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", secret)
    monkeypatch.setenv("STRIPE_PUBLISHABLE_KEY", key)
    with pytest.raises(ValueError, match="STRIPE_PUBLISHABLE_KEY"):
        Settings.load(ROOT / "config.yml")

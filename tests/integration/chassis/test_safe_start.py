"""The checks at start: which settings refuse the start, and which give a warning."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chassis.safe_start import USES, check
from chassis.settings import SANDBOX_KEYS, SANDBOX_WEBHOOK_SECRETS, Settings
from launcher.place import ROOT

ADMIN = "an-admin-key-of-a-test-shop"
DIGEST = hashlib.sha256(ADMIN.encode()).hexdigest()
BROKER = "amqp://user:word@broker//"
STRIPE, SHIPPO = "_".join(("sk", "live", "nobodys")), "_".join(("shippo", "live", "nobodys"))
STRIPE_TEST, SHIPPO_TEST = STRIPE.replace("live", "test"), SHIPPO.replace("live", "test")
LIVE = {
    "ADMIN_API_KEYS": ADMIN,
    "AMQP_URI": BROKER,
    "CART_ID_SECRET": "not-a-secret" * 3,
    "PUBLIC_URL": "https://shop.example",
    "MAIL_FROM": "us@shop.example",
    "OPERATOR_EMAIL": "night@shop.example",
    "SMS_FROM": "+12025550123",
    "SHIP_FROM_EMAIL": "us@shop.example",
    "STRIPE_API_KEY": STRIPE,
}
ALL = {
    **LIVE,
    "SHIPPO_API_KEY": SHIPPO,
    "TWILIO_ACCOUNT_SID": "AC1",
    "TWILIO_AUTH_TOKEN": "t",
    "SENDGRID_API_KEY": "SG1",
}


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*os.environ, *ALL):
        if name in ALL or name in ("DATABASE_URL", "LIVE_PROVIDERS", "ALLOW_SANDBOX_PAYMENTS") or "_WEBHOOK_" in name:
            monkeypatch.delenv(name, raising=False)


def warnings(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], part: str | None = None) -> list[str]:
    """Return the warnings; raise ValueError with the refusals."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return check(Settings.load(ROOT / "config.yml"), part, settings)


def refusals(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], part: str | None = None) -> list[str]:
    """Return the sentences that refuse the start; none contains a value of `settings`."""
    with pytest.raises(ValueError, match=r"[A-Z]+_[A-Z]+") as refused:
        warnings(monkeypatch, settings, part)
    said = str(refused.value)
    for name, value in settings.items():
        assert len(value) < 20 or value not in said, name
    return said.splitlines()


def test_a_shop_on_the_sandbox_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert warnings(monkeypatch, {}) == []


@pytest.mark.parametrize("settings", [LIVE, ALL], ids=["payments", "everything"])
def test_configured_live_shop_starts(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]) -> None:
    for part in (None, *USES):
        assert warnings(monkeypatch, settings, part) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ADMIN_API_KEYS": ""}, "ADMIN_API_KEYS must be set, because STRIPE_API_KEY is"),
        ({"ADMIN_API_KEYS": f"{ADMIN}, {ADMIN[:23]}"}, "Key 2 of ADMIN_API_KEYS has fewer than 24 characters"),
        ({"CART_ID_SECRET": ""}, "CART_ID_SECRET must be set"),
        ({"AMQP_URI": "amqp://guest:guest@broker//"}, "AMQP_URI has a default password"),
        ({"AMQP_URI": "amqp://shop:s%68op@broker//"}, "AMQP_URI has a default password"),
        ({"AMQP_URI": "amqp://broker//"}, "AMQP_URI has a default password"),
        ({"AMQP_URI": f"{BROKER};amqp://shop:shop@other//"}, "AMQP_URI has a default password"),
        ({"DATABASE_URL": "postgresql://shop:shop@postgres/shop"}, "DATABASE_URL has a default password"),
        ({"STRIPE_WEBHOOK_SECRET": SANDBOX_WEBHOOK_SECRETS["stripe"]}, "STRIPE_WEBHOOK_SECRET is the sandbox's"),
        ({"STRIPE_API_KEY": SANDBOX_KEYS["stripe"]}, "STRIPE_API_KEY is the sandbox's own key"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_live_start_is_refused(monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], said: str) -> None:
    sentences = refusals(monkeypatch, {**LIVE, **changes})
    assert len(sentences) == 1
    assert sentences[0].startswith(said)
    assert sentences[0].endswith(".")


@pytest.mark.parametrize("name", ["SHIPPO_API_KEY", "TWILIO_ACCOUNT_SID", "SENDGRID_API_KEY"])
def test_sandbox_payments_with_real_providers_are_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    settings = {**LIVE, "TWILIO_AUTH_TOKEN": "t", "STRIPE_API_KEY": "", name: "not-a-key"}
    assert refusals(monkeypatch, settings)[0].startswith(f"STRIPE_API_KEY must be set, because {name} is")
    assert warnings(monkeypatch, {**settings, "ALLOW_SANDBOX_PAYMENTS": "true"}) == []


OWN = "your_shop.acme:Acme"


@pytest.mark.parametrize("setting", ["PAYMENT_PROVIDER", "CARRIERS", "MAIL_PROVIDER", "SMS_PROVIDER"])
def test_provider_of_ones_own_counts_as_a_real_one(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    settings = {**LIVE, "STRIPE_API_KEY": "", setting: OWN, "ALLOW_SANDBOX_PAYMENTS": "true"}
    assert warnings(monkeypatch, settings) == []
    [said] = refusals(monkeypatch, {**settings, "ADMIN_API_KEYS": ""})
    assert said.startswith(f"ADMIN_API_KEYS must be set, because {setting} is")
    assert warnings(monkeypatch, {"ADMIN_API_KEYS": "", setting: OWN, "LIVE_PROVIDERS": "none"}) == []
    strict = Settings.load(ROOT / "config.yml")
    assert (strict.live, strict.cart_id_required, strict.rate_limits) == (False, False, False)
    monkeypatch.delenv("LIVE_PROVIDERS")
    strict = Settings.load(ROOT / "config.yml")
    assert (strict.live, strict.cart_id_required, strict.rate_limits) == (True, True, True)


def test_sandbox_payments_with_an_own_carrier_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {**LIVE, "STRIPE_API_KEY": "", "CARRIERS": f"shippo,{OWN}"}
    [said] = refusals(monkeypatch, settings)
    assert said.startswith("STRIPE_API_KEY must be set, because CARRIERS is")
    assert warnings(monkeypatch, {**settings, "PAYMENT_PROVIDER": "your_shop.pay:Pay"}) == []


def test_mail_from_the_default_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusals(monkeypatch, {**ALL, "MAIL_FROM": "shop@example.com"})[0].startswith("MAIL_FROM must be set")


@pytest.mark.parametrize(
    "key",
    [
        *(
            "a" * 24,
            "ab" * 20,
            "0123456789" * 3,
            "abcdefghijklmnopqrstuvwxyz",
            "change-me-change-me-change-me",
            "short",
        ),
        *("schlüssel-zu-einem-test-laden", "key\twith\ttabs\tinstead\tof", "sha256:", "sha256:" + "g" * 64),
        "sha256:" + "a" * 63,
    ],
)
def test_weak_admin_keys_are_refused_also_on_the_sandbox(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    assert refusals(monkeypatch, {"ADMIN_API_KEYS": key})[0].startswith("Key 1 of ADMIN_API_KEYS ")


@pytest.mark.parametrize("key", [ADMIN, f"sha256:{DIGEST}", f"sha256:{DIGEST.upper()}", f"{ADMIN}, sha256:{DIGEST}"])
def test_strong_and_hashed_admin_keys_are_accepted(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    assert warnings(monkeypatch, {"ADMIN_API_KEYS": key}) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "shop.example"])
def test_other_machines_need_admin_keys(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    for name in ("GATEWAY_HOST", "PUBLISH_ADDRESS"):
        [sentence] = refusals(monkeypatch, {name: host}, "gateway")
        assert sentence.startswith(f"ADMIN_API_KEYS must be set, because {name}={host} lets other machines in")
        assert warnings(monkeypatch, {name: host, "ADMIN_API_KEYS": ADMIN}) == []
        monkeypatch.delenv("ADMIN_API_KEYS")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost", ""])
def test_local_host_needs_no_admin_keys(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    assert warnings(monkeypatch, {"GATEWAY_HOST": host}) == []
    assert warnings(monkeypatch, {"GATEWAY_HOST": "0.0.0.0", "PUBLISH_ADDRESS": "127.0.0.1"}, "gateway") == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"STRIPE_API_KEY": STRIPE_TEST},
            "STRIPE_API_KEY is a test key together with SHIPPO_API_KEY and TWILIO_ACCOUNT_SID",
        ),
        ({"SHIPPO_API_KEY": SHIPPO_TEST}, "SHIPPO_API_KEY is a test key together with STRIPE_API_KEY"),
        ({"PUBLIC_URL": "http://shop.example"}, "PUBLIC_URL is not a public https address"),
        ({"PUBLIC_URL": "https://localhost"}, "PUBLIC_URL is not a public https address"),
        ({"SMS_FROM": "+15005550006"}, "SMS_FROM is the default number"),
        ({"OPERATOR_EMAIL": ""}, "OPERATOR_EMAIL is not set"),
        ({"SHIP_FROM_EMAIL": "shop@example.com"}, "SHIP_FROM_EMAIL is the default"),
    ],
)
def test_live_start_gives_a_warning(monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], said: str) -> None:
    [sentence] = warnings(monkeypatch, {**ALL, **changes})
    assert sentence.startswith(said)
    assert not any(key in sentence for key in (STRIPE_TEST, SHIPPO_TEST))


def test_published_sandbox_with_real_providers_gives_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    [sentence] = warnings(monkeypatch, {**LIVE, "SANDBOX_HOST": "0.0.0.0"})
    assert sentence.startswith("SANDBOX_HOST lets other machines control the sandbox")
    assert warnings(monkeypatch, ALL) == []


def test_service_with_only_its_own_secrets_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    cart = {"LIVE_PROVIDERS": "stripe,shippo", "AMQP_URI": BROKER, "STRIPE_API_KEY": STRIPE}
    assert warnings(monkeypatch, cart, "cart") == []
    assert refusals(monkeypatch, {**cart, "AMQP_URI": "amqp://shop:shop@rabbitmq//"}, "cart")
    monkeypatch.setenv("AMQP_URI", BROKER)
    monkeypatch.delenv("STRIPE_API_KEY")
    monkeypatch.setenv("LIVE_PROVIDERS", "stripe,shippo")
    settings = Settings.load(ROOT / "config.yml")
    with pytest.raises(ValueError, match="LIVE_PROVIDERS names stripe, so STRIPE_API_KEY must be set"):
        check(settings, "cart", {})
    with pytest.raises(ValueError, match="LIVE_PROVIDERS names shippo, so SHIPPO_API_KEY must be set"):
        check(settings, "shipping", {})
    with pytest.raises(ValueError, match="ADMIN_API_KEYS must be set"):
        check(settings, "gateway", {})


@pytest.mark.parametrize("command", [["gateway"], ["chassis.safe_start"], ["nameko", "run", "cart.service"]], ids=str)
def test_every_process_refuses_an_unsafe_start(command: list[str]) -> None:
    env = {
        **os.environ,
        "STRIPE_API_KEY": STRIPE,
        "AMQP_URI": BROKER,
        "ADMIN_API_KEYS": "",
        "CART_ID_REQUIRED": "false",
    }
    start = [sys.executable, "-m", *command]
    if command[0] == "nameko":
        start = [str(Path(sys.executable).with_name("nameko")), "run", "--config", "config.yml", "cart.service"]
    done = subprocess.run(start, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "ADMIN_API_KEYS must be set, because STRIPE_API_KEY is" in done.stderr
    assert STRIPE not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr

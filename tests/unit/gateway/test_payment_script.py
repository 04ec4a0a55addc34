"""Where the storefront loads Stripe's script from, and what its pages permit for that."""

from __future__ import annotations

import pytest
from stripe._api_version import _ApiVersion

from chassis.settings import SANDBOX_PUBLISHABLE_KEY, Settings
from gateway.payment_script import STRIPE_JS_RELEASE, payment_script
from launcher.place import ROOT
from sandbox.settings import STRIPE_PUBLISHABLE_KEY


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Those of a shop with the sandbox and a publishable key."""
    monkeypatch.setenv("SANDBOX_URL", "http://sandbox:8100")
    monkeypatch.setenv("STRIPE_PUBLISHABLE_KEY", SANDBOX_PUBLISHABLE_KEY)
    return Settings.load(ROOT / "config.yml")


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(("name", "value"), [("STRIPE_PUBLISHABLE_KEY", ""), ("PAYMENT_PROVIDER", "tests.a:B")])
def test_without_stripes_key_there_is_no_script(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert payment_script(Settings.load(ROOT / "config.yml")) is None


@pytest.mark.usefixtures("settings")
def test_script_of_the_real_stripe_has_stripes_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_1")
    monkeypatch.setenv("STRIPE_PUBLISHABLE_KEY", "pk_test_1")
    script = payment_script(Settings.load(ROOT / "config.yml"))
    assert script is not None
    assert script.url == f"https://js.stripe.com/{STRIPE_JS_RELEASE}/stripe.js"
    assert script.scripts == ("https://js.stripe.com", "https://*.js.stripe.com")
    assert script.frames == (*script.scripts, "https://hooks.stripe.com")
    assert script.connections == ("https://api.stripe.com",)


def test_script_is_of_the_release_that_the_sdk_speaks() -> None:
    assert STRIPE_JS_RELEASE == _ApiVersion.CURRENT_MAJOR


def test_sandbox_accepts_the_key_that_the_shop_demands() -> None:
    assert SANDBOX_PUBLISHABLE_KEY == STRIPE_PUBLISHABLE_KEY


def test_script_of_the_sandbox_is_its_stand_in(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    script = payment_script(settings)
    assert script is not None
    assert script.url == "http://sandbox:8100/sandbox/js/stripe.js"
    monkeypatch.setenv("SANDBOX_PUBLIC_URL", "https://shop.test/sand/")
    script = payment_script(Settings.load(ROOT / "config.yml"))
    assert script is not None
    assert script.url == "https://shop.test/sand/sandbox/js/stripe.js"
    assert script.scripts == script.frames == ("https://shop.test",)


@pytest.mark.parametrize("url", ["localhost:8100", "http://a; script-src *", "http://a 'self'", "javascript:1"])
def test_address_that_would_widen_the_policy_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("SANDBOX_PUBLIC_URL", url)
    with pytest.raises(ValueError, match="SANDBOX_PUBLIC_URL"):
        Settings.load(ROOT / "config.yml")

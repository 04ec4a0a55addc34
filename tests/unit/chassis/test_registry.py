"""The registry names the providers, makes those in use, and knows which service talks to each."""

from __future__ import annotations

import dataclasses
import re
import sys
from importlib import import_module
from types import ModuleType

import pytest
import yaml

from chassis.registry import BUNDLES, bundles, name_of, owner_of, title_of
from chassis.settings import Settings
from launcher.place import ROOT


def settings(**given: str) -> Settings:
    text = (ROOT / "config.yml").read_text(encoding="utf-8")
    plain = re.sub(r'!raw_env_var "\$\{\w+:?([^}]*)\}"', r'"\1"', text)
    plain = re.sub(r"\$\{\w+:([^}]*)\}", r"\1", plain)
    return Settings.from_config({**yaml.safe_load(plain), **given})


def owner(provider: str, found: Settings) -> str | None:
    return owner_of(provider, found.in_use)


def test_every_registered_bundle_exists() -> None:
    for reference in BUNDLES.values():
        module, _, name = reference.partition(":")
        assert isinstance(getattr(import_module(module), name), type)


def test_title_of_a_provider_is_the_name_of_its_class() -> None:
    assert [title_of(name) for name in BUNDLES] == ["Stripe", "Shippo", "SendGrid", "Twilio"]
    assert title_of("shops.acme:AcmePay") == "AcmePay"


def test_each_provider_in_use_has_one_owner() -> None:
    usual = settings()
    owners = {"stripe": "cart", "shippo": "shipping", "sendgrid": "notifications", "twilio": "notifications"}
    assert {name: owner(name, usual) for name in BUNDLES} == owners
    assert owner("acme", usual) is None
    other = settings(CARRIERS="shops.acme:Acme, shippo")
    assert (owner("acme", other), owner("shippo", other)) == ("shipping", "shipping")
    assert owner("shippo", settings(CARRIERS="shops.acme:Acme")) is None


def test_unregistered_bundle_is_made_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclasses.dataclass
    class Acme:
        settings: Settings

    module = ModuleType("shop_with_acme")
    module.Acme = Acme  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shop_with_acme", module)
    found = settings()
    assert bundles(("shop_with_acme:Acme",), found) == {"acme": Acme(found)}
    assert name_of("shop_with_acme:Acme") == "acme"


@pytest.mark.parametrize(
    "given",
    [
        {"CARRIERS": ""},
        {"CARRIERS": "ups"},
        {"CARRIERS": "a.b:"},
        {"CARRIERS": "a b:C"},
        {"CARRIERS": "shippo,shippo"},
        {"CARRIERS": "shippo,other:Shippo"},
        {"SMS_PROVIDER": "twilio,other:Texter"},
        {"MAIL_PROVIDER": ""},
        {"MAIL_PROVIDER": "a.mail:Acme", "SMS_PROVIDER": "a.sms:Acme"},
        {"CARRIERS": "shippo,a.ship:Acme", "PAYMENT_PROVIDER": "a.pay:Acme"},
        {"CARRIERS": "a.b:Stripe"},
    ],
)
def test_setting_that_names_no_provider_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(given))):
        settings(**given)

"""The gateway passes a webhook unchanged to the service that verifies it, and returns its result to the provider."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.gateway.asking import Running, assert_problem
from tests.integration.gateway.conftest import Doubles

MIB = 1024 * 1024
FORM = "application/x-www-form-urlencoded"
SENDGRID = ("X-Twilio-Email-Event-Webhook-Signature", "X-Twilio-Email-Event-Webhook-Timestamp")
# For each provider: the service, the verb, and the headers that the provider signs in.
HOOKS: list[tuple[str, str, str, tuple[str, ...]]] = [
    ("stripe", "cart", "webhook", ("Stripe-Signature",)),
    ("shippo", "shipping", "webhook", ("Shippo-Auth-Signature",)),
    ("twilio", "notifications", "webhook", ("X-Twilio-Signature",)),
    ("sendgrid", "notifications", "webhook", SENDGRID),
]
EVERY_BYTE = bytes(range(256)) + "ü€😀".encode()


def received(answer: Any, provider: str, signed: tuple[str, ...]) -> tuple[str, list[str]]:
    """The body and the signatures that reached the service."""
    name, raw, headers = answer.json["args"]
    assert name == provider
    return raw, [headers.get(each.upper(), "") for each in signed]


@pytest.mark.parametrize(("provider", "service", "verb", "signed"), HOOKS)
@pytest.mark.parametrize("slash", ["", "/"])
def test_every_byte_and_each_signature_reach_the_service(
    shop: Running, provider: str, service: str, verb: str, signed: tuple[str, ...], slash: str
) -> None:
    headers = {name: f"t=1,v1={place}" for place, name in enumerate(signed)}
    answer = shop.ask(
        "POST", f"/api/webhooks/{provider}{slash}", raw=EVERY_BYTE, headers={"Content-Type": FORM, **headers}
    )
    assert answer.status == 200
    assert (answer.json["service"], answer.json["verb"]) == (service, verb)
    raw, signatures = received(answer, provider, signed)
    assert raw.encode("latin-1") == EVERY_BYTE
    assert signatures == [headers[name] for name in signed]


@pytest.mark.parametrize(("provider", "service", "verb", "signed"), HOOKS)
@pytest.mark.parametrize("kind", [None, "application/json", "text/plain", FORM, "application/json; charset=latin-1"])
def test_any_content_type_is_accepted(
    shop: Running, provider: str, service: str, verb: str, signed: tuple[str, ...], kind: str | None
) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = shop.ask("POST", f"/api/webhooks/{provider}/", raw=b"a=b", headers=headers)
    assert (answer.status, received(answer, provider, signed)[0]) == (200, "a=b")


@pytest.mark.parametrize(("provider", "service", "verb", "signed"), HOOKS)
def test_missing_signature_is_passed_on_as_empty(
    shop: Running, provider: str, service: str, verb: str, signed: tuple[str, ...]
) -> None:
    answer = shop.ask("POST", f"/api/webhooks/{provider}/")
    assert (answer.status, received(answer, provider, signed)) == (200, ("", ["" for _ in signed]))


@pytest.mark.parametrize(("provider", "service", "verb", "signed"), HOOKS)
def test_secrets_of_the_shop_are_not_passed_on(
    shop: Running, provider: str, service: str, verb: str, signed: tuple[str, ...]
) -> None:
    headers = {"Authorization": "Bearer a-key", "Cookie": "cart_id=a-cart", "X-Other": "seen"}
    args = shop.ask("POST", f"/api/webhooks/{provider}/", raw=b"{}", headers=headers).json["args"]
    assert ("a-key" in str(args), "a-cart" in str(args)) == (False, False)
    assert verb != "webhook" or args[2]["X-OTHER"] == "seen"


@pytest.mark.parametrize(("provider", "service", "verb", "signed"), HOOKS)
@pytest.mark.parametrize(("failure", "status"), [("InvalidRequest", 400), ("Unavailable", 503), ("bug", 500)])
def test_failed_event_is_not_answered_2xx(
    shop: Running, provider: str, service: str, verb: str, signed: tuple[str, ...], failure: str, status: int
) -> None:
    assert_problem(shop.ask("POST", f"/api/webhooks/{provider}/", raw=f"fail-{failure}".encode()), status)


def test_late_service_is_answered_504(short_deadline_shop: Running) -> None:
    assert_problem(short_deadline_shop.ask("POST", "/api/webhooks/stripe/", raw=b"hang-40"), 504)


def test_a_body_may_have_a_mebibyte_and_no_more(shop: Running) -> None:
    whole = b"x" * MIB
    assert shop.ask("POST", "/api/webhooks/stripe/", raw=whole).json["args"][1] == whole.decode()
    assert_problem(shop.ask("POST", "/api/webhooks/stripe/", raw=whole + b"x"), 413)


def test_webhooks_need_no_key_and_accept_only_post(new_gateway: Any, doubles: Doubles) -> None:
    closed = new_gateway(
        ADMIN_API_KEYS="a-key-that-nobody-here-uses", CART_ID_REQUIRED="true", CART_ID_SECRET="not-a-secret" * 3
    )
    for provider, *_ in HOOKS:
        assert closed.ask("POST", f"/api/webhooks/{provider}/", raw=b"{}").status == 200
        refused = closed.ask("GET", f"/api/webhooks/{provider}/")
        assert (refused.status, refused.headers["allow"]) == (405, "POST, OPTIONS")
    assert_problem(closed.ask("POST", "/api/webhooks/paypal/", raw=b"{}"), 404)


def test_twilio_form_may_have_64_kibibytes_and_no_more(shop: Running) -> None:
    whole = b"x" * (MIB // 16)
    assert shop.ask("POST", "/api/webhooks/twilio/", raw=whole).json["args"][1] == whole.decode()
    assert_problem(shop.ask("POST", "/api/webhooks/twilio/", raw=whole + b"x"), 413)


def test_webhook_of_an_unregistered_provider_reaches_its_service(new_gateway: Any, doubles: Doubles) -> None:
    carriers = "shippo,tests.providers.acme_carrier.bundle:Acme"
    answer = new_gateway(CARRIERS=carriers, LIVE_PROVIDERS="none").ask("POST", "/api/webhooks/acme/", raw=b"{}")
    assert (answer.status, answer.json["service"], answer.json["args"][0]) == (200, "shipping", "acme")


def test_webhook_of_a_provider_that_is_not_in_use_is_404(new_gateway: Any, doubles: Doubles) -> None:
    other = new_gateway(CARRIERS="tests.providers.acme_carrier.bundle:Acme", LIVE_PROVIDERS="none")
    assert_problem(other.ask("POST", "/api/webhooks/shippo/", raw=b"{}"), 404)

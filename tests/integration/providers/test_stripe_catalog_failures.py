"""The catalogue while Stripe refuses, fails, or does not answer."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from chassis import deadline
from contracts.errors import Conflict, ProviderFailure, Unavailable
from products.rules.catalog import product_id
from products.stripe.catalog import StripeCatalog
from tests.integration.providers.stripe_catalog import add, catalog_at
from tests.running_sandbox import RunningSandbox, free_port
from tests.scripted_server import Scripted, ScriptedServer


def test_unreachable_stripe_is_unavailable(key: str) -> None:
    with pytest.raises(Unavailable) as failure:
        catalog_at(f"http://127.0.0.1:{free_port()}").get(product_id(key))
    assert failure.value.facts["retry_after"] > 0


@pytest.mark.parametrize(
    ("status", "failure"),
    [(401, ProviderFailure), (403, ProviderFailure), (409, Conflict), (418, ProviderFailure), (429, Unavailable)],
)
def test_http_status_maps_to_an_error_class(scripted: ScriptedServer, key: str, status: int, failure: type) -> None:
    scripted.answers = [Scripted(status, b'{"error": {"type": "api_error", "message": "No."}}')]
    with pytest.raises(failure):
        add(catalog_at(scripted.url), key)


def test_wrong_api_key_is_not_shown_to_the_caller(providers: RunningSandbox) -> None:
    wrong = "_".join(("sk", "wrong"))
    with pytest.raises(ProviderFailure) as failure:
        catalog_at(f"{providers.url}/stripe", wrong).get("prod_x")
    assert "wrong" not in f"{failure.value.detail}{failure.value.facts}"


@pytest.mark.parametrize(
    "answer",
    [
        Scripted(200, b"<html>"),
        Scripted(200, b"{}"),
        Scripted(200, b"[]"),
        Scripted(200, b'{"id": "prod_x", "object": "product"}'),
        Scripted(404, b"<html>"),
    ],
)
def test_malformed_answer_is_a_provider_failure(scripted: ScriptedServer, answer: Scripted) -> None:
    scripted.answers = [answer]
    with pytest.raises(ProviderFailure):
        add(catalog_at(scripted.url), "key")


@pytest.mark.parametrize("answer", [Scripted(drop=True), Scripted(503)])
def test_missing_answer_is_retried_with_the_same_key(scripted: ScriptedServer, answer: Scripted) -> None:
    scripted.answers = [answer]
    with pytest.raises(Unavailable):
        add(catalog_at(scripted.url), "key")
    assert len(scripted.asked) == 3
    assert len({headers["Idempotency-Key"] for _, _, headers, _ in scripted.asked}) == 1


def test_truncated_answer_is_unavailable(scripted: ScriptedServer) -> None:
    scripted.answers = [Scripted(200, b'{"id"', cut=True)]
    with pytest.raises(Unavailable):
        add(catalog_at(scripted.url), "key")


def test_replayed_failure_is_retried_with_a_new_key(scripted: ScriptedServer) -> None:
    kept = {"Content-Type": "application/json", "Idempotent-Replayed": "true", "Stripe-Should-Retry": "false"}
    scripted.answers = [Scripted(500, b'{"error": {"type": "api_error"}}', kept), Scripted(429)]
    with pytest.raises(Unavailable):
        add(catalog_at(scripted.url), "key")
    first, second = (headers["Idempotency-Key"] for _, _, headers, _ in scripted.asked)
    assert first != second


@pytest.fixture
def short_deadline() -> Iterator[None]:
    deadline.begin(time.monotonic() + 1.0)
    yield
    deadline.begin(None)


@pytest.mark.usefixtures("short_deadline")
def test_deadline_ends_a_hanging_stripe_call(catalog: StripeCatalog, providers: RunningSandbox, key: str) -> None:
    providers.fault("stripe", hang_rate=1)
    started = time.monotonic()
    with pytest.raises(Unavailable):
        add(catalog, key)
    assert time.monotonic() - started < 20

"""Stripe's files in the sandbox: uploads, and their use as evidence for a dispute."""

from __future__ import annotations

import io
import uuid
from typing import Any

import pytest
import requests
import stripe

from tests.integration.providers.sandbox.process import Sdks
from tests.integration.providers.sandbox.shapes import body_problems

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"
KEY = {"Authorization": "Bearer sk_sandbox"}


@pytest.fixture
def client(sdks: Sdks) -> stripe.StripeClient:
    return stripe.StripeClient(
        "sk_sandbox",
        base_addresses={"api": f"{sdks.url}/stripe", "files": f"{sdks.url}/stripe"},
        http_client=stripe.RequestsClient(timeout=40, session=requests.Session()),
    )


def upload(client: stripe.StripeClient, content: bytes = PDF, **options: Any) -> stripe.File:
    file = io.BytesIO(content)
    file.name = "receipt.pdf"
    asked: Any = {"purpose": "dispute_evidence", "file": file}
    return client.v1.files.create(asked, options=options or None)


def disputed(client: stripe.StripeClient) -> str:
    asked: Any = {
        "amount": 2000, "currency": "usd", "confirm": True, "payment_method": "pm_card_createDispute",
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
    }  # fmt: skip
    intent = client.v1.payment_intents.create(asked)
    return str(client.v1.disputes.list({"payment_intent": intent.id}).data[0].id)


def test_uploaded_file_is_shown_and_listed(client: stripe.StripeClient) -> None:
    made = upload(client)
    found = client.v1.files.retrieve(made.id)

    assert (found.size, found.type, found.purpose) == (len(PDF), "pdf", "dispute_evidence")
    assert list(body_problems(found.to_dict(), stripe.File)) == []
    assert client.v1.files.list({"purpose": "dispute_evidence", "limit": 1}).data[0].id == made.id
    assert client.v1.files.list({"purpose": "business_logo"}).data == []


@pytest.mark.parametrize(("content", "says"), [(b"text", "file type"), (PDF + b" " * 6_000_000, "too large")])
def test_unusable_file_is_refused(client: stripe.StripeClient, content: bytes, says: str) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=says):
        upload(client, content)


def test_file_must_be_uploaded_as_multipart(sdks: Sdks) -> None:
    form = {"purpose": "dispute_evidence", "file": "receipt.pdf"}
    answer = sdks.post("/stripe/v1/files", data=form, headers=KEY)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "file")


def test_repeated_upload_makes_one_file(client: stripe.StripeClient) -> None:
    key = uuid.uuid4().hex
    made = [upload(client, idempotency_key=key).id for _ in range(2)]
    assert made[0] == made[1]

    with pytest.raises(stripe.IdempotencyError):
        upload(client, PDF + b"\n", idempotency_key=key)


def test_evidence_takes_an_uploaded_file(client: stripe.StripeClient) -> None:
    receipt = upload(client).id
    evidence: Any = {"evidence": {"receipt": receipt}, "submit": False}
    dispute = client.v1.disputes.update(disputed(client), evidence)

    assert dispute.evidence.receipt == receipt
    assert dispute.evidence_details.has_evidence


def test_evidence_refuses_an_unknown_file(client: stripe.StripeClient) -> None:
    evidence: Any = {"evidence": {"receipt": "file_unknown"}}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.disputes.update(disputed(client), evidence)
    assert (refused.value.code, refused.value.param) == ("resource_missing", "evidence[receipt]")

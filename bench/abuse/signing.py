"""Webhooks with a valid signature and any body, such as a broken provider or a leaked secret could produce."""

from __future__ import annotations

import base64
import hashlib
import hmac
import sqlite3
import time
from contextlib import closing
from urllib.parse import parse_qsl

import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.abuse.target import Target
from chassis.settings import SANDBOX_KEYS, SANDBOX_TWILIO_TOKEN, SANDBOX_WEBHOOK_SECRETS

PROVIDERS = ("stripe", "shippo", "twilio", "sendgrid")
SENDGRID_KEY_SETTING = "sendgrid_webhook_key"


def path(provider: str) -> str:
    """Return the path of a provider's webhooks."""
    return f"/api/webhooks/{provider}/"


def headers(target: Target, provider: str, body: bytes) -> list[tuple[str, str]]:
    """Return the content type and valid signature of a webhook with that body, signed now."""
    now = str(int(time.time()))
    if provider == "twilio":
        return [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("X-Twilio-Signature", _of_form(f"{target.shop.url}{path('twilio')}", body)),
        ]
    if provider == "sendgrid":
        signature = _sendgrid_key(target).sign(now.encode() + body, ec.ECDSA(hashes.SHA256()))
        return [
            ("Content-Type", "application/json"),
            ("X-Twilio-Email-Event-Webhook-Signature", base64.b64encode(signature).decode()),
            ("X-Twilio-Email-Event-Webhook-Timestamp", now),
        ]
    name = {"stripe": "Stripe-Signature", "shippo": "Shippo-Auth-Signature"}[provider]
    secret = SANDBOX_WEBHOOK_SECRETS[provider].encode()
    proof = hmac.new(secret, now.encode() + b"." + body, hashlib.sha256).hexdigest()
    return [("Content-Type", "application/json"), (name, f"t={now},v1={proof}")]


def _of_form(url: str, body: bytes) -> str:
    form = dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True))
    text = url + "".join(name + value for name, value in sorted(form.items()))
    return base64.b64encode(hmac.new(SANDBOX_TWILIO_TOKEN.encode(), text.encode(), hashlib.sha1).digest()).decode()


def _sendgrid_key(target: Target) -> ec.EllipticCurvePrivateKey:
    """Return the key that the sandbox signs SendGrid's events with, from its database."""
    asked = f"{target.shop.sandbox_url}/sendgrid/v3/user/webhooks/event/settings/signed"
    requests.get(asked, headers={"Authorization": f"Bearer {SANDBOX_KEYS['sendgrid']}"}, timeout=30)  # this creates it
    file = target.shop.place.var_dir / "sandbox.db"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)) as connection:
        [kept] = connection.execute("SELECT value FROM settings WHERE name = ?", (SENDGRID_KEY_SETTING,)).fetchone()
    key = serialization.load_pem_private_key(kept.encode(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key

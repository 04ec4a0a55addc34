"""How each provider signs a webhook: the headers that accompany a body."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox import settings
from sandbox.sendgrid.event_key import mail_key
from sandbox.settings import SandboxSettings
from sandbox.state import State


def headers(provider: str, url: str, body: bytes, secrets: SandboxSettings, state: State) -> dict[str, str]:
    """Return the content type and the signature headers of a webhook that is sent now.

    url: the callback URL from the shop, which Twilio signs. The machine's time is signed, not the sandbox's, because
    the receiver checks it against the machine's clock.
    """
    now = str(int(time.time()))
    if provider == "stripe":
        return {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": _timed(body, secrets.stripe_secret, now),
        }
    if provider == "shippo":
        return {
            "Content-Type": "application/json",
            "Shippo-Auth-Signature": _timed(body, secrets.shippo_secret, now),
        }
    if provider == "twilio":
        return {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Twilio-Signature": _form(url, body, settings.TWILIO_TOKEN),
        }
    signature = mail_key(state).sign(now.encode() + body, ec.ECDSA(hashes.SHA256()))
    return {
        "Content-Type": "application/json",
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        "X-Twilio-Email-Event-Webhook-Timestamp": now,
    }


def _timed(body: bytes, secret: str, now: str) -> str:
    proof = hmac.new(secret.encode(), now.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={now},v1={proof}"


def _form(url: str, body: bytes, token: str) -> str:
    signed = url + "".join(name + value for name, value in sorted(parse_qsl(body.decode(), keep_blank_values=True)))
    return base64.b64encode(hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest()).decode()

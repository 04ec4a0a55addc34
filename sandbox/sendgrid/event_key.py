"""The key that signs SendGrid's event webhooks."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.state import State

_MAIL_KEY = "sendgrid_webhook_key"


def mail_key(state: State) -> ec.EllipticCurvePrivateKey:
    """Return SendGrid's key for webhooks, created on first use and stored."""
    kept = state.setting(_MAIL_KEY)
    if kept is None:
        made = ec.generate_private_key(ec.SECP256R1())
        kept = made.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        state.set_setting(_MAIL_KEY, kept)
    key = serialization.load_pem_private_key(kept.encode(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def mail_public_key(state: State) -> str:
    """Return the public half, as SendGrid shows it: base64 of its DER."""
    public = mail_key(state).public_key()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()

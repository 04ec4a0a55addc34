"""Signatures in SendGrid's format."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

SIGNER = ec.generate_private_key(ec.SECP256R1())


def key_text(key: ec.EllipticCurvePrivateKey = SIGNER) -> str:
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return base64.b64encode(key.public_key().public_bytes(encoding, form)).decode()


def sign(body: bytes, moment: str, key: ec.EllipticCurvePrivateKey = SIGNER) -> str:
    return base64.b64encode(key.sign(moment.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()

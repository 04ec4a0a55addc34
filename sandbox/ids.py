"""Identifiers in the providers' formats."""

from __future__ import annotations

import secrets
import string

_ALPHANUMERIC = string.ascii_letters + string.digits


def alphanumeric(prefix: str, length: int) -> str:
    """Return a Stripe-like identifier: `prefix` and `length` random letters and digits."""
    return prefix + "".join(secrets.choice(_ALPHANUMERIC) for _ in range(length))


def hexadecimal(prefix: str = "") -> str:
    """Return a Shippo object_id (no prefix) or a Twilio SID (`SM`): `prefix` and 32 hexadecimal digits."""
    return prefix + secrets.token_hex(16)

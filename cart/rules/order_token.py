"""The token of an order: its bearer may read the order, its label, tracking and rates without the cart."""

from __future__ import annotations

import hmac
import secrets

# 192 random bits. The prefix lets scanners of repositories and logs recognize a token.
PREFIX = "ot_"
TOKEN_BYTES = 24


def new_token() -> str:
    """A token that nobody can guess: ``ot_`` and 32 characters that need no escaping in a URL."""
    return f"{PREFIX}{secrets.token_urlsafe(TOKEN_BYTES)}"


def opens(given: str, token: str | None) -> bool:
    """Whether `given` is the order's token, compared in constant time; False while the order has none."""
    return token is not None and hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())

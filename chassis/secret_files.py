"""Secrets from files: for a secret setting `X`, `X_FILE` names a file that holds its value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

SECRETS = (
    *("AMQP_URI", "DATABASE_URL", "ADMIN_API_KEYS", "CART_ID_SECRET", "RATE_LIMIT_URL"),
    *("STRIPE_API_KEY", "SHIPPO_API_KEY", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "SENDGRID_API_KEY"),
    *("STRIPE_WEBHOOK_SECRET", "SHIPPO_WEBHOOK_SECRET", "SENDGRID_WEBHOOK_PUBLIC_KEY"),
)

Value = TypeVar("Value")


def with_secret_files(values: Mapping[str, Value], env: Mapping[str, str]) -> dict[str, Value | str]:
    """`values` with each secret that `env` names a file for, stripped of surrounding white space.

    Raises ValueError, naming the variable, when a file cannot be read or is empty, or when the secret is set both ways.
    """
    found: dict[str, Value | str] = dict(values)
    for name in SECRETS:
        path = env.get(f"{name}_FILE")
        if not path:
            continue
        if env.get(name):
            raise ValueError(f"Set {name} or {name}_FILE, not both.")
        try:
            secret = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = (error.strerror or "unknown error") if isinstance(error, OSError) else "it is not text"
            raise ValueError(f"The file of {name}_FILE cannot be read: {reason}.") from None
        if not secret:
            raise ValueError(f"The file of {name}_FILE is empty.")
        found[name] = secret
    return found

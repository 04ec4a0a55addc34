"""The sandbox's settings from the environment, and the keys that it accepts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

STRIPE_KEY = "sk_sandbox"
STRIPE_PUBLISHABLE_KEY = "pk_test_sandbox"
SHIPPO_KEY = "shippo_sandbox"
TWILIO_ACCOUNT = "AC" + "0" * 32
TWILIO_TOKEN = "sandbox"  # noqa: S105 - not a secret: the sandbox guards nothing
SENDGRID_KEY = "SG.sandbox"
# The default secrets that webhooks are signed with.
STRIPE_WEBHOOK_SECRET = "_".join(("whsec", "sandbox", "stripe"))
SHIPPO_WEBHOOK_SECRET = "_".join(("whsec", "sandbox", "shippo"))


class BadSetting(Exception):
    """A variable that the sandbox cannot use; the message is one sentence for a person."""


@dataclass(frozen=True)
class SandboxSettings:
    """Where the sandbox listens and keeps its file.

    host, port: the address to bind (port 0: any free one). var_dir: the folder of `sandbox.db`. public_url: the base of
    label and 3-D Secure URLs; None means the bound address. webhook_url: the gateway that webhooks are sent to;
    stripe_secret, shippo_secret: the secrets of these two providers' webhooks.
    """

    host: str
    port: int
    var_dir: Path
    public_url: str | None
    webhook_url: str = "http://127.0.0.1:8000"
    stripe_secret: str = STRIPE_WEBHOOK_SECRET
    shippo_secret: str = SHIPPO_WEBHOOK_SECRET

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> SandboxSettings:
        """Return the settings of the environment (see .env.example); BadSetting when one is unusable."""
        port = environment.get("SANDBOX_PORT") or "8100"
        if not port.isdigit() or int(port) > 65535:
            raise BadSetting(f"SANDBOX_PORT must be a port number from 0 to 65535, not {port!r}.")
        public_url = environment.get("SANDBOX_PUBLIC_URL") or None
        gateway_port = environment.get("GATEWAY_PORT") or "8000"
        webhook_url = environment.get("WEBHOOK_URL") or f"http://127.0.0.1:{gateway_port}"
        for name, url in (("SANDBOX_PUBLIC_URL", public_url), ("WEBHOOK_URL", webhook_url)):
            if url is not None and not url.startswith(("http://", "https://")):
                raise BadSetting(f"{name} must begin with http:// or https://, not {url!r}.")
        return cls(
            host=environment.get("SANDBOX_HOST") or "127.0.0.1",
            port=int(port),
            var_dir=Path(environment.get("VAR_DIR") or "var"),
            public_url=public_url.rstrip("/") if public_url else None,
            webhook_url=webhook_url.rstrip("/"),
            stripe_secret=environment.get("STRIPE_WEBHOOK_SECRET") or STRIPE_WEBHOOK_SECRET,
            shippo_secret=environment.get("SHIPPO_WEBHOOK_SECRET") or SHIPPO_WEBHOOK_SECRET,
        )

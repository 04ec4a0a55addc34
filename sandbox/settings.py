"""What the sandbox reads from its environment, and the keys that it accepts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

STRIPE_KEY = "sk_sandbox"
SHIPPO_KEY = "shippo_sandbox"
TWILIO_ACCOUNT = "AC" + "0" * 32
TWILIO_TOKEN = "sandbox"  # noqa: S105 - not a secret: the sandbox guards nothing
SENDGRID_KEY = "SG.sandbox"


class BadSetting(Exception):
    """A variable that the sandbox cannot use; its message is one sentence for a person."""


@dataclass(frozen=True)
class SandboxSettings:
    """Where the sandbox listens and keeps its file.

    host, port: the address to bind (port 0: any free one). var_dir: the folder of `sandbox.db`.
    public_url: what label and 3-D Secure addresses start with; None means the bound address.
    """

    host: str
    port: int
    var_dir: Path
    public_url: str | None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> SandboxSettings:
        """The settings of SANDBOX_HOST, SANDBOX_PORT, VAR_DIR, SANDBOX_PUBLIC_URL; BadSetting when one is unusable."""
        port = environment.get("SANDBOX_PORT") or "8100"
        if not port.isdigit() or int(port) > 65535:
            raise BadSetting(f"SANDBOX_PORT must be a port number from 0 to 65535, not {port!r}.")
        public_url = environment.get("SANDBOX_PUBLIC_URL") or None
        if public_url is not None and not public_url.startswith(("http://", "https://")):
            raise BadSetting(f"SANDBOX_PUBLIC_URL must begin with http:// or https://, not {public_url!r}.")
        return cls(
            host=environment.get("SANDBOX_HOST") or "127.0.0.1",
            port=int(port),
            var_dir=Path(environment.get("VAR_DIR") or "var"),
            public_url=public_url.rstrip("/") if public_url else None,
        )

"""The location and settings of one copy of the shop: its directories, ports and environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from chassis.secret_files import SECRETS, with_secret_files
from launcher.problem import Problem

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("products", "shipping", "notifications", "cart")
PROVIDER_KEYS = ("STRIPE_API_KEY", "SHIPPO_API_KEY", "TWILIO_ACCOUNT_SID", "SENDGRID_API_KEY")
MAX_COPIES = 64


@dataclass(frozen=True)
class Place:
    """One copy of the shop.

    Attributes:
        var_dir: absolute, real path of its data, logs and record.
        gateway_host / gateway_port, sandbox_host / sandbox_port: where they listen.
        amqp_uri: the configured broker, or None for one of its own.
        sandbox_url: the configured sandbox, or None for one of its own.
        copies: service -> number of processes.
        env: the environment of every process, without what is specific to one copy (AMQP_URI, ports).
    """

    var_dir: Path
    gateway_host: str
    gateway_port: int
    sandbox_host: str
    sandbox_port: int
    amqp_uri: str | None = field(repr=False)  # may hold a password
    sandbox_url: str | None
    copies: Mapping[str, int]
    env: Mapping[str, str] = field(repr=False)  # may hold keys

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Place:
        """Parse the variables of `.env.example` from `env`. Raises Problem naming the invalid variable."""
        gateway_port, sandbox_port = (
            _number(env, "GATEWAY_PORT", 8000, 65535),
            _number(env, "SANDBOX_PORT", 8100, 65535),
        )
        if gateway_port == sandbox_port:
            raise Problem(f"GATEWAY_PORT and SANDBOX_PORT must differ; both are {gateway_port}.")
        return cls(
            # A relative VAR_DIR is relative to the repository, not to the caller's directory.
            var_dir=Path(os.path.realpath(ROOT / (env.get("VAR_DIR") or "var"))),
            gateway_host=env.get("GATEWAY_HOST") or "127.0.0.1",
            gateway_port=gateway_port,
            sandbox_host=env.get("SANDBOX_HOST") or "127.0.0.1",
            sandbox_port=sandbox_port,
            amqp_uri=env.get("AMQP_URI") or None,
            sandbox_url=env.get("SANDBOX_URL") or None,
            copies={service: _number(env, f"{service.upper()}_COPIES", 1, MAX_COPIES) for service in SERVICES},
            env=dict(env),
        )

    @property
    def gateway_url(self) -> str:
        """The gateway's URL on this machine."""
        return f"http://{_reachable(self.gateway_host)}:{self.gateway_port}"

    @property
    def own_sandbox(self) -> bool:
        """True when this copy runs a sandbox: some provider has no key, and no other sandbox is configured."""
        return self.sandbox_url is None and not all(self.env.get(name) for name in PROVIDER_KEYS)

    @property
    def effective_sandbox_url(self) -> str:
        """The URL of the sandbox that the services use for a provider without a key."""
        return self.sandbox_url or f"http://{_reachable(self.sandbox_host)}:{self.sandbox_port}"


def environment(root: Path = ROOT, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the process environment merged over `root/.env`, with secrets read from their files. An empty variable of
    .env counts as not set. Raises Problem when a secret's file cannot be used."""
    given = os.environ if env is None else env
    written = {name: value for name, value in dotenv_values(root / ".env", interpolate=False).items() if value}
    merged = {**written, **given}
    try:
        found = with_secret_files(merged, merged)
    except ValueError as error:
        raise Problem(str(error)) from error
    return {
        name: value for name, value in found.items() if name.removesuffix("_FILE") not in SECRETS or name in SECRETS
    }


def _reachable(host: str) -> str:
    wildcard = host in ("0.0.0.0", "::", "")  # noqa: S104  compared with, not bound to
    host = "127.0.0.1" if wildcard else host
    return f"[{host}]" if ":" in host else host


def _number(env: Mapping[str, str], name: str, default: int, highest: int) -> int:
    text = env.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= highest:
        raise Problem(f"{name} must be a whole number from 1 to {highest}, not {text!r}.")
    return int(text)

"""A sandbox of the bench's own, and what must be known of it beforehand: its routes and its kinds of events."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.conformance.exchanges import PROVIDERS, Caller, Record, basic
from sandbox import settings
from sandbox.sendgrid.api import SendGrid
from sandbox.shippo.api import Shippo
from sandbox.state import State
from sandbox.stripe.api import Stripe
from sandbox.twilio.api import Twilio

ROOT = Path(__file__).resolve().parents[2]
CONTACTS = {
    "account": settings.TWILIO_ACCOUNT,
    "mail": "chloe@example.com",
    "sender": "shop@example.com",
    "number": "+14155550123",
}
HEADERS = {
    "stripe": {"Authorization": f"Bearer {settings.STRIPE_KEY}"},
    "shippo": {"Authorization": f"ShippoToken {settings.SHIPPO_KEY}"},
    "twilio": basic(settings.TWILIO_ACCOUNT, settings.TWILIO_TOKEN),
    "sendgrid": {"Authorization": f"Bearer {settings.SENDGRID_KEY}"},
}


@contextmanager
def running_sandbox(webhook_url: str) -> Iterator[str]:
    """Start a sandbox that sends its webhooks to this URL; yield its own URL, and stop it at the end."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SANDBOX_PUBLIC")},
            "SANDBOX_HOST": "127.0.0.1",
            "SANDBOX_PORT": "0",
            "VAR_DIR": folder,
            "WEBHOOK_URL": webhook_url,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()
            process.wait(timeout=10)
            if process.stdout is not None:
                process.stdout.close()


def callers(base: str, record: Record) -> dict[str, Caller]:
    """Return who calls each provider of the sandbox at `base`."""
    return {name: Caller(name, f"{base}/{name}", HEADERS[name], record) for name in PROVIDERS}


def routes() -> Mapping[str, list[tuple[str, str]]]:
    """Return the (method, path with {names}) pairs that each provider of the sandbox serves."""
    with tempfile.TemporaryDirectory() as folder:
        state = State(Path(folder) / "sandbox.db")
        try:
            return {each.name: each.routes() for each in (Stripe(state), Shippo(state), Twilio(state), SendGrid(state))}
        finally:
            state.close()

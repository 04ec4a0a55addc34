"""Runs a sandbox as its own process on a free port, and points the four real SDKs at it."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests
import sendgrid
import shippo
import stripe
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from launcher.place import ROOT

START_TIMEOUT_S = 90
stripe.enable_telemetry = False


class SandboxProcess:
    """`python -m sandbox` on a free port with its file in `var_dir`; usable as a context manager.

    constants: values that replace the sandbox's own constants, keyed by module and name.
    """

    def __init__(
        self, var_dir: Path, port: int = 0, constants: Mapping[str, float] | None = None, **environment: str
    ) -> None:
        self.var_dir = var_dir
        settings = {"SANDBOX_PORT": str(port), "SANDBOX_HOST": "127.0.0.1", "VAR_DIR": str(var_dir)}
        # A shop that runs on this machine must not receive a test's webhooks.
        settings = {**settings, "WEBHOOK_URL": "http://127.0.0.1:9", **environment}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SANDBOX_")}
        self.process = subprocess.Popen(
            [sys.executable, *(["-c", _program_with(constants)] if constants else ["-m", "sandbox"])],
            cwd=ROOT,
            env={**kept, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        line = self._first_line()
        if not line.startswith("sandbox ready on "):
            self.kill()
            _, errors = self.process.communicate(timeout=20)
            raise RuntimeError(f"the sandbox did not start: {line!r} {errors!r}")
        self.url = line.split()[-1]

    def _first_line(self) -> str:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            return self.process.stdout.readline() if selector.select(START_TIMEOUT_S) else ""

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def terminate(self, within: float = 90.0) -> tuple[int, float]:
        """Send SIGTERM; return the exit status and the seconds until the exit."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=within)
        return status, time.monotonic() - started

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=20)

    def __enter__(self) -> SandboxProcess:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.kill()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def _program_with(constants: Mapping[str, float]) -> str:
    """Return the source of a program that runs the sandbox with these constants."""
    lines = [f"import {name.rpartition('.')[0]}\n{name} = {value!r}" for name, value in constants.items()]
    return "\n".join([*lines, "import runpy", "runpy.run_module('sandbox', run_name='__main__')"])


class TimedSession(requests.Session):
    """A session that sets a timeout on every request, because Shippo's SDK sets none."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def send(self, request: Any, **options: Any) -> requests.Response:
        options.setdefault("timeout", self._seconds)
        return super().send(request, **options)


class Sdks:
    """The providers' SDKs, each with the sandbox's key; the `..._with` methods take another key."""

    def __init__(self, url: str, seconds: float = 40.0) -> None:
        self.url = url
        self.seconds = seconds
        self.stripe = self.stripe_with("sk_sandbox")
        self.shippo = self.shippo_with("shippo_sandbox")
        self.twilio = self.twilio_with("sandbox")
        self.sendgrid = self.sendgrid_with("SG.sandbox")

    def stripe_with(self, key: str, retries: int = 2, seconds: float | None = None) -> stripe.StripeClient:
        return stripe.StripeClient(
            key,
            base_addresses={"api": f"{self.url}/stripe"},
            max_network_retries=retries,
            http_client=stripe.RequestsClient(timeout=seconds or self.seconds, session=requests.Session()),
        )

    def shippo_with(self, key: str) -> shippo.Shippo:
        return shippo.Shippo(
            key, server_url=f"{self.url}/shippo", client=TimedSession(self.seconds), shippo_api_version="2018-02-08"
        )

    def twilio_with(self, token: str) -> Client:
        client = Client(
            "AC" + "0" * 32, token, environment={"_": ""}, http_client=TwilioHttpClient(timeout=self.seconds)
        )
        client.api.base_url = f"{self.url}/twilio"
        return client

    def sendgrid_with(self, key: str) -> sendgrid.SendGridAPIClient:
        client = sendgrid.SendGridAPIClient(key, host=f"{self.url}/sendgrid")
        client.client.timeout = self.seconds
        return client

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=self.seconds, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return requests.post(self.url + path, timeout=self.seconds, **options)

    def put(self, path: str, **options: Any) -> requests.Response:
        return requests.put(self.url + path, timeout=self.seconds, **options)

    def delete(self, path: str, **options: Any) -> requests.Response:
        return requests.delete(self.url + path, timeout=self.seconds, **options)

"""A stand-in for the shop's gateway that receives the sandbox's webhooks, and what tests ask about them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

from tests.integration.providers.sandbox.process import Sdks
from tests.scripted_server import Listening

ALL_EVENTS = ["*"]
CALLBACK = "https://shop.example/api/webhooks/twilio/"
STRIPE_SECRET, SHIPPO_SECRET = "_".join(("whsec", "sandbox", "stripe")), "_".join(("whsec", "sandbox", "shippo"))


class Arrival(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Gateway:
    """Receives webhooks and accepts or refuses them; `port` may be the port of a closed gateway."""

    def __init__(self, port: int = 0) -> None:
        self.arrived: list[Arrival] = []
        self.answers: list[int] = []
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                gateway.arrived.append(Arrival(self.path, headers, body))
                self.send_response(gateway.answers.pop(0) if gateway.answers else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = Listening(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def of(self, provider: str) -> list[Arrival]:
        return [one for one in list(self.arrived) if one.path == f"/api/webhooks/{provider}/"]

    def kinds(self) -> list[str]:
        """Return the types of Stripe's events, in the order of their arrival."""
        return [one.json["type"] for one in self.of("stripe")]


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until the condition is true; return its value."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found


def switch(webhook_sdks: Sdks, provider: str, **switches: Any) -> None:
    answer = webhook_sdks.put(f"/sandbox/webhooks/{provider}", json=switches)
    assert answer.status_code == 200, answer.text


def counts(webhook_sdks: Sdks, provider: str) -> dict[str, int]:
    found: dict[str, int] = webhook_sdks.get(f"/sandbox/webhooks/{provider}").json()["counts"]
    return found

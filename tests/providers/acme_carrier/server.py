"""Acme itself: a tiny HTTP server that keeps what it quoted and sold, and sends signed webhooks."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from tests.providers.acme_carrier.bundle import HEADER, LABEL_CHANGED, MOVED, sign
from tests.scripted_server import Listening

ANSWER_TIMEOUT_S = 40
SERVICES = (("Snail", 101, 9), ("Rocket", 9_900, 1))  # a name, cents for each parcel, days


class AcmeServer:
    """Acme on a free port.

    Attributes:
        url: its address; secret: signs its webhooks.
        labels: by id, each with its rate, number, reference and refund.
        down: whether it answers every request with 500.
    """

    def __init__(self) -> None:
        self.secret = uuid.uuid4().hex
        self.labels: dict[str, dict[str, Any]] = {}
        self.down = False
        self._rates: dict[str, dict[str, Any]] = {}
        self._steps: dict[str, list[dict[str, Any]]] = {}
        self._changed = threading.Condition()
        self._server = Listening(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, look: Callable[[], Any], seconds: float = 60.0) -> Any:
        """Wait until `look` finds something after a request, and return that."""
        with self._changed:
            found = self._changed.wait_for(look, seconds)
        assert found, f"not within {seconds} s"
        return found

    def move(self, number: str, status: str, shop_url: str) -> requests.Response:
        """Move a parcel, and report that to the shop."""
        step = {"status": status, "status_date": datetime.now(UTC).isoformat()}
        self._steps[number].append(step)
        return self.send(shop_url, MOVED, {"number": number, "step": step})

    def send(self, shop_url: str, kind: str, body: dict[str, Any], secret: str = "") -> requests.Response:
        """Send a webhook, signed with Acme's secret or another one."""
        raw = json.dumps({"id": uuid.uuid4().hex, "kind": kind, "body": body}).encode()
        headers = {HEADER: sign(secret or self.secret, raw)}
        url = f"{shop_url}/api/webhooks/acme/"
        return requests.post(url, data=raw, headers=headers, timeout=ANSWER_TIMEOUT_S)

    def change_label(self, label_id: str, shop_url: str) -> requests.Response:
        """Report to the shop that a label has changed."""
        return self.send(shop_url, LABEL_CHANGED, {"label": label_id})

    def answer(self, method: str, target: str, body: Any) -> tuple[int, Any]:
        """Answer one request: its status and JSON."""
        path, asked = urlsplit(target).path.strip("/").split("/"), parse_qs(urlsplit(target).query)
        match method, *path:
            case "POST", "shipments":
                shipment = f"acme{uuid.uuid4().hex}"
                for name, cents, days in SERVICES:
                    rate_id = f"{shipment}-{name}"
                    rate = {"id": rate_id, "shipment": shipment, "service": name, "days": days}
                    self._rates[rate_id] = {**rate, "cents": cents * len(body["parcels"])}
                return 200, self._shipment(shipment)
            case "GET", "shipments", shipment:
                return 200, self._shipment(shipment)
            case "POST", "labels":
                if body["rate"] not in self._rates:
                    return 422, {}
                return 200, self._sell(body["rate"], body["reference"])
            case "GET", "labels":
                rates = asked.get("rate")
                return 200, [each for each in self.labels.values() if rates is None or each["rate"] in rates]
            case "GET", "labels", label if label in self.labels:
                return 200, self.labels[label]
            case "POST", "labels", label, "refund" if label in self.labels:
                self.labels[label]["refunded"] = True
                return 200, self.labels[label]
            case "GET", "tracks", number if number in self._steps:
                return 200, self._steps[number]
        return 404, {}

    def _shipment(self, shipment: str) -> dict[str, Any]:
        return {"id": shipment, "rates": [each for each in self._rates.values() if each["shipment"] == shipment]}

    def _sell(self, rate_id: str, reference: str) -> dict[str, Any]:
        label_id, number = f"label{uuid.uuid4().hex}", f"ACME{uuid.uuid4().int % 10**12}"
        self._steps[number] = [{"status": "PRE_TRANSIT", "status_date": datetime.now(UTC).isoformat()}]
        facts = {"id": label_id, "rate": rate_id, "reference": reference, "number": number, "bought": time.time()}
        self.labels[label_id] = {**facts, "url": f"{self.url}/labels/{label_id}", "refunded": False}
        return self.labels[label_id]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        acme = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def answer(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with acme._changed:
                    status, body = acme.answer(self.command, self.path, json.loads(raw or b"null"))
                    acme._changed.notify_all()
                answer = json.dumps(body).encode()
                self.send_response(500 if acme.down else status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = answer

            def log_message(self, *_args: object) -> None:
                pass

        return Handler

"""AcmePay itself: a tiny HTTP server that keeps payments, refunds and idempotency keys, and sends signed webhooks."""

from __future__ import annotations

import json
import queue
import re
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from tests.providers.acme_pay.bundle import (
    KEY_HEADER,
    MISSING,
    PAYMENT_CHANGED,
    REFUND_CHANGED,
    REPLAYED_HEADER,
    SIGNATURE_HEADER,
    sign,
)
from tests.scripted_server import Listening

VISA, POOR, BANK = "acme-visa", "acme-poor", "acme-bank"  # taken; declined; its bank asks for a confirmation
SMALLEST_AMOUNT = 50
# Small, so that the tests read several pages.
PAGE = 3
# How a request fails: it is done, and its answer is lost; it is not done; a failure is kept under its key.
LOSE, BUSY, BREAK = "lose", "busy", "break"
ANSWER_TIMEOUT_S = 40
RESEND_INTERVAL_S = 1.0

Answer = tuple[int, Any]


class AcmePayServer:
    """AcmePay on a free port.

    Attributes:
        url: its address; secret: signs its webhooks.
        shop_url: the shop that receives them; "" for none.
        payments, refunds: by id, the oldest first.
        trouble: ``{"POST /payments/.+/take": LOSE}``: how the requests that match a pattern fail.
        delivered: the kind of each delivered webhook, and its payment.
    """

    def __init__(self) -> None:
        self.secret = uuid.uuid4().hex
        self.shop_url = ""
        self.payments: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        self.trouble: dict[str, str] = {}
        self.delivered: list[tuple[str, str]] = []
        self._keys: dict[str, tuple[Any, Answer]] = {}
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._lock = threading.RLock()
        self._server = Listening(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        threading.Thread(target=self._deliver, daemon=True).start()

    def stop(self) -> None:
        self._events.put(None)
        self._server.shutdown()
        self._server.server_close()

    def of_order(self, order_id: str) -> list[dict[str, Any]]:
        """The payments of an order, the oldest first."""
        return [each for each in list(self.payments.values()) if each["order"] == order_id]

    def taken(self, order_id: str) -> list[int]:
        """The amounts that were taken for an order."""
        return [each["amount"] for each in self.of_order(order_id) if each["status"] == "paid"]

    # What happens at AcmePay without the shop

    def approve(self, payment_id: str) -> None:
        """The card's holder confirms the payment at the bank."""
        with self._lock:
            assert self.payments[payment_id]["status"] == "asking"
            self._take(self.payments[payment_id])

    def charge(self, order_id: str, amount: int) -> str:
        """Take money for an order; return the id of the payment."""
        with self._lock:
            payment = self._open({"order": order_id, "amount": amount, "currency": "usd"})
            self._take(payment)
        payment_id: str = payment["id"]
        return payment_id

    def give_back(self, payment_id: str, amount: int) -> None:
        """Refund some of a payment in AcmePay's dashboard."""
        with self._lock:
            assert self._refund(self.payments[payment_id], amount, None)[0] == 200

    def send(self, kind: str, payment_id: str, secret: str = "", age_s: float = 0.0) -> requests.Response:
        """Send one webhook, signed `age_s` ago with AcmePay's secret or another one."""
        return self._send(self._event(kind, payment_id), secret or self.secret, age_s)

    # The API

    def answer(self, method: str, target: str, body: Any, key: str | None) -> tuple[Answer, bool]:
        """Answer one request, and say whether the answer was given before. A key stands for one request."""
        asked = (method, target, body)
        with self._lock:
            if key in self._keys:
                first, answer = self._keys[key]
                return (answer, True) if first == asked else ((400, _said("key_reused", "The key was used.")), False)
            line = f"{method} {urlsplit(target).path}"
            trouble = next((how for what, how in list(self.trouble.items()) if re.fullmatch(what, line)), None)
            if trouble == BUSY:
                return (503, _said("busy", "AcmePay is busy.")), False
            answer = (500, _said("broken", "AcmePay failed.")) if trouble == BREAK else self._do(method, target, body)
            answer = json.loads(json.dumps(answer))
            if key is not None:
                self._keys[key] = asked, answer
            return ((0, None) if trouble == LOSE else answer), False

    def _do(self, method: str, target: str, body: Any) -> Answer:
        path, asked = urlsplit(target).path.strip("/").split("/"), parse_qs(urlsplit(target).query)
        match method, *path:
            case "POST", "payments":
                if body["amount"] < SMALLEST_AMOUNT:
                    return 422, _said("too_small", "The amount is too small.")
                return 200, self._open(body)
            case "GET", ("payments" | "refunds") as kind:
                return 200, self._page(getattr(self, kind), asked)
            case "GET", "refunds", refund if refund in self.refunds:
                return 200, self.refunds[refund]
            case _, "payments", payment, *rest if payment in self.payments:
                return self._do_with(self.payments[payment], method, rest, body)
        return 404, _said(MISSING, "AcmePay does not know this.")

    def _do_with(self, payment: dict[str, Any], method: str, rest: list[str], body: Any) -> Answer:
        match method, *rest:
            case ("GET",):
                return 200, payment
            case "GET", "refunds":
                found = [each for each in self.refunds.values() if each["payment"] == payment["id"]]
                return 200, found[::-1]
            case "POST", "take":
                return self._charge(payment, body["card"])
            case "POST", "void":
                if payment["status"] == "paid":
                    return 409, _said("paid", "The payment is paid.")
                payment["status"] = "void"
                self._report(PAYMENT_CHANGED, payment["id"])
                return 200, payment
            case "POST", "refunds":
                return self._refund(payment, body["amount"], body["reference"])
        return 404, _said(MISSING, "AcmePay does not know this.")

    def _open(self, asked: dict[str, Any]) -> dict[str, Any]:
        payment_id = f"ap-{uuid.uuid4().hex}"
        kept = {"id": payment_id, "status": "new", "receipt": None, "challenge": None, "refusal": None}
        kept |= {"order": asked["order"], "amount": asked["amount"], "currency": asked["currency"]}
        self.payments[payment_id] = payment = {**kept, "refunded": 0, "made": time.time()}
        return payment

    def _charge(self, payment: dict[str, Any], card: str) -> Answer:
        if payment["status"] not in ("new", "asking"):
            return 409, _said(payment["status"], f"The payment is {payment['status']}.")
        if card == VISA:
            self._take(payment)
            return 200, payment
        if card == BANK:
            page = {"type": "acme_page", "url": f"{self.url}/bank/{payment['id']}"}
            payment["challenge"] = {"client_secret": f"{payment['id']}_secret_{uuid.uuid4().hex}", "next_action": page}
            payment["status"] = "asking"
            return 200, payment
        if card == POOR:
            payment["status"] = "new"
            refusal = {"code": "card_declined", "decline_code": "no_money", "detail": "The card has no money."}
            payment["refusal"] = refusal
            return 402, _said("no_money", refusal["detail"])
        return 422, _said("no_card", "There is no such card.")

    def _take(self, payment: dict[str, Any]) -> None:
        payment.update(status="paid", receipt=f"ac-{uuid.uuid4().hex}")
        self._report(PAYMENT_CHANGED, payment["id"])

    def _refund(self, payment: dict[str, Any], amount: int, reference: str | None) -> Answer:
        if payment["status"] != "paid" or amount > payment["amount"] - payment["refunded"]:
            return 422, _said("too_much", "That is more than is left.")
        payment["refunded"] += amount
        refund = {"id": f"ar-{uuid.uuid4().hex}", "payment": payment["id"], "amount": amount, "reference": reference}
        self.refunds[refund["id"]] = {**refund, "status": "done", "made": time.time()}
        self._report(REFUND_CHANGED, payment["id"])
        return 200, self.refunds[refund["id"]]

    def _page(self, kept: dict[str, dict[str, Any]], asked: dict[str, list[str]]) -> dict[str, Any]:
        found = [each for each in reversed(kept.values()) if each["made"] >= float(asked["since"][0])]
        after = asked.get("after")
        start = 0 if after is None else [each["id"] for each in found].index(after[0]) + 1
        page = found[start : start + PAGE]
        return {"items": page, "next": page[-1]["id"] if len(found) > start + PAGE else None}

    # Webhooks

    def _event(self, kind: str, payment_id: str) -> dict[str, Any]:
        order = self.payments[payment_id]["order"] if payment_id in self.payments else None
        return {"id": uuid.uuid4().hex, "kind": kind, "payment": payment_id, "order": order}

    def _report(self, kind: str, payment_id: str) -> None:
        if self.shop_url:
            self._events.put(self._event(kind, payment_id))

    def _deliver(self) -> None:
        """Deliver each event until the shop has stored it."""
        while (event := self._events.get()) is not None:
            while self.shop_url:
                try:
                    if self._send(event, self.secret).status_code == 200:
                        self.delivered.append((event["kind"], event["payment"]))
                        break
                except requests.RequestException:
                    pass
                time.sleep(RESEND_INTERVAL_S)

    def _send(self, event: dict[str, Any], secret: str, age_s: float = 0.0) -> requests.Response:
        raw = json.dumps(event).encode()
        headers = {SIGNATURE_HEADER: sign(secret, raw, str(int(time.time() - age_s)))}
        url = f"{self.shop_url}/api/webhooks/acmepay/"
        return requests.post(url, data=raw, headers=headers, timeout=ANSWER_TIMEOUT_S)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        acme = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def answer(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked = json.loads(raw or b"null")
                (status, body), replayed = acme.answer(self.command, self.path, asked, self.headers.get(KEY_HEADER))
                if not status:
                    self.close_connection = True
                    return
                answer = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                if replayed:
                    self.send_header(REPLAYED_HEADER, "yes")
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = answer

            def log_message(self, *_args: object) -> None:
                pass

        return Handler


def _said(code: str, detail: str) -> dict[str, str]:
    return {"code": code, "detail": detail}

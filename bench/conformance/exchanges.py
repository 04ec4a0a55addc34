"""Requests to a provider over HTTP, each kept with its answer; and the webhooks that a provider sends."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import requests

PROVIDERS = ("stripe", "shippo", "twilio", "sendgrid")
# The limit of one answer (seconds).
ANSWER_TIMEOUT_S = 60
# How long what takes a moment at a provider is awaited, and the pause between two looks (seconds).
POLL_TIMEOUT_S, POLL_PAUSE_S = 60, 0.3


@dataclass(frozen=True)
class Exchange:
    """One request to a provider and its answer.

    Attributes:
        chapter: the part of the tour that sent it.
        path: without the query.
        headers: of the answer.
        text: the answer's body.
        is_partial: the answer is documented to lack fields of its object.
    """

    provider: str
    chapter: str
    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    text: str
    is_partial: bool = False

    @cached_property
    def body(self) -> Any:
        """The answer's JSON; None when there is none."""
        try:
            return json.loads(self.text) if self.text else None
        except json.JSONDecodeError:
            return None

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status}"


@dataclass(frozen=True)
class Webhook:
    """One event that a provider sent: its kind, and its body as JSON or as the pairs of a form."""

    provider: str
    kind: str
    body: Any


@dataclass
class Record:
    """Everything that a tour saw."""

    exchanges: list[Exchange] = field(default_factory=list)
    webhooks: list[Webhook] = field(default_factory=list)


class Caller:
    """Sends requests to one provider, and records the answers.

    Args:
        base: the provider's address.
        headers: the key, in the provider's own header.
    """

    def __init__(self, provider: str, base: str, headers: Mapping[str, str], record: Record) -> None:
        self.provider = provider
        self.base = base.rstrip("/")
        self.chapter = ""
        self._record = record
        self._session = requests.Session()
        self._session.trust_env = not base.startswith("http://127.0.0.1")
        self._own = dict(headers)

    def ask_until(self, path: str, holds: Callable[[Any], bool], query: Mapping[str, Any] | None = None) -> Exchange:
        """Read `path` until its JSON is as wanted, or for a minute; only the last answer is recorded."""
        until = time.monotonic() + POLL_TIMEOUT_S
        while True:
            found = self.ask("GET", path, query=query)
            if found.status >= 400 or holds(found.body) or time.monotonic() > until:
                return found
            self._record.exchanges.pop()
            time.sleep(POLL_PAUSE_S)

    def ask(
        self,
        method: str,
        path: str,
        *,
        form: Mapping[str, Any] | None = None,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        anonymous: bool = False,
        raw: bytes | None = None,
        is_partial: bool = False,
    ) -> Exchange:
        """Send one request; return it with its answer.

        Args:
            form: the parameters of a form body, nested as Stripe's are.
            body: a JSON body.
            query: the parameters of the query.
            anonymous: without the key.
            raw: the bytes of the body; `headers` names their content type.
            is_partial: the answer is documented to lack fields of its object.
        """
        sent = {**({} if anonymous else self._own), **(headers or {})}
        data: Any = raw
        if form is not None:
            data = list(flat(form))
        elif body is not None:
            data = json.dumps(body)
            sent["Content-Type"] = "application/json"
        answer = self._session.request(
            method,
            self.base + path,
            params=list(flat(query or {})),
            data=data,
            headers=sent,
            timeout=ANSWER_TIMEOUT_S,
        )
        found = Exchange(
            *(self.provider, self.chapter, method, path),
            *(answer.status_code, dict(answer.headers), answer.text, is_partial),
        )
        self._record.exchanges.append(found)
        return found


def flat(parameters: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the pairs of nested parameters in Stripe's form encoding: {"a": {"b": [1]}} is a[b][0]=1."""
    if isinstance(parameters, Mapping):
        for key, value in parameters.items():
            yield from flat(value, f"{name}[{key}]" if name else str(key))
    elif isinstance(parameters, list | tuple):
        for place, value in enumerate(parameters):
            yield from flat(value, f"{name}[{place}]")
    else:
        yield name, str(parameters).lower() if isinstance(parameters, bool) else str(parameters)


def basic(user: str, password: str = "") -> dict[str, str]:
    """Return the header of HTTP Basic."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


class Receiver:
    """A server that takes the webhooks which the sandbox sends to a shop."""

    def __init__(self, record: Record) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                record.webhooks.extend(_webhooks(self.path, body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop taking webhooks."""
        self._server.shutdown()
        self._server.server_close()


def _webhooks(path: str, body: bytes) -> Iterator[Webhook]:
    named = re.search(r"/webhooks/(\w+)", path)
    provider = named[1] if named else "twilio"
    if provider == "twilio":
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        yield Webhook(provider, form.get("MessageStatus") or form.get("SmsStatus", ""), form)
        return
    parsed = json.loads(body)
    for each in parsed if provider == "sendgrid" else [parsed]:
        yield Webhook(provider, each.get("type" if provider == "stripe" else "event", ""), each)

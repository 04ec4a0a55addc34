"""The sandbox's page, and what it reads: its files, the feed, the stream of changes, and mails as they look."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
from aiohttp import web

from sandbox.context import Context
from sandbox.control import json_response, refusal
from sandbox.entries import detail, summary
from sandbox.faults import PROVIDERS
from sandbox.feed import KINDS, MAX_PAGE, TooManyListeners
from sandbox.ledger import shown_mail
from sandbox.option_control import described

FILES = Path(__file__).parent / "page"
DEFAULT_PAGE = 50
# How often an idle stream sends a comment, and how long a client may take to accept what is sent (seconds).
HEARTBEAT_S, WRITE_TIMEOUT_S = 15.0, 10.0
# Changes within this time are sent together (seconds).
PACE_S = 0.05
# A stream reads this many changed entries at a time. A reader that missed more than MAX_RESUME reads the list again.
BATCH, MAX_RESUME = 50, 500
# How long a browser waits before it connects again (milliseconds).
RETRY_MS = 1000
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# Nothing of another host, no inline script or style, no frame around the page.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
# A mail may style itself and contain its own images. It runs no script and loads nothing; its links open a new tab.
MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)
_MAIL_START = re.compile(r"\s*(?:<!doctype[^>]*>)?\s*(?:<html[^>]*>)?\s*(?:<head[^>]*>)?", re.IGNORECASE)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def add_page_routes(application: web.Application, sandbox: Context) -> None:
    """Add the page and what it reads to the application."""
    control = _Control(sandbox)
    application.router.add_routes(
        [
            web.get("/", control.page),
            web.get("/sandbox", control.moved),
            web.get("/sandbox/", control.moved),
            web.get("/sandbox/page/{file}", control.file),
            web.get("/sandbox/feed", control.feed),
            web.get("/sandbox/feed/{kind}/{id}", control.entry),
            web.get("/sandbox/stream", control.stream),
            web.get("/sandbox/mails/{id}", control.mail),
        ]
    )
    application.on_shutdown.append(sandbox.feed.close)


class _Control:
    def __init__(self, sandbox: Context) -> None:
        self.sandbox = sandbox
        self.state = sandbox.state
        self.feeds = sandbox.feed
        self.files = {path.name: path.read_bytes() for path in FILES.iterdir() if path.suffix in _TYPES}

    async def page(self, request: web.Request) -> web.Response:
        return self._file("index.html")

    async def moved(self, request: web.Request) -> web.Response:
        return web.Response(status=308, headers={"Location": "/"})

    async def file(self, request: web.Request) -> web.Response:
        name = request.match_info["file"]
        return self._file(name) if name in self.files else refusal(404, "the page has no such file")

    def _file(self, name: str) -> web.Response:
        headers = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache"}
        kind = _TYPES[Path(name).suffix]
        return web.Response(body=self.files[name], content_type=kind, charset="utf-8", headers=headers)

    async def feed(self, request: web.Request) -> web.Response:
        """Answer {"position", "entries", "has_more", "shop_url"}: entries newest first, `position` for the stream.

        Query: `limit` (1…200), `before` (a place: only older ones), `kind`, `order_id`.
        """
        query = request.query
        known = ("limit", "before", "kind", "order_id")
        unknown = sorted(set(query) - set(known))
        if unknown:
            return refusal(400, f"unknown filter: {', '.join(unknown)}; known: {', '.join(known)}")
        limit, before, kind = query.get("limit", str(DEFAULT_PAGE)), query.get("before"), query.get("kind")
        if not _whole(limit) or not 1 <= int(limit) <= MAX_PAGE:
            return refusal(400, f"limit must be a whole number from 1 to {MAX_PAGE}")
        if before is not None and not _whole(before):
            return refusal(400, "before must be the place of an entry")
        if kind is not None and kind not in KINDS:
            return refusal(400, f"kind must be one of {', '.join(KINDS)}")
        position = self.feeds.position(self.feeds.last_change())
        entries, more = self.feeds.newest(int(limit), int(before) if before else None, kind, query.get("order_id"))
        return _unstored(
            {
                "position": position,
                "entries": [summary(self.state, entry) for entry in entries],
                "has_more": more,
                "shop_url": self._shop_url(),
            }
        )

    def _shop_url(self) -> str | None:
        """The shop as a browser reaches it: unknown when the webhooks' target is a container's name."""
        url = self.sandbox.settings.webhook_url
        return url if urlsplit(url).hostname in _LOOPBACK else None

    async def entry(self, request: web.Request) -> web.Response:
        entry = self.feeds.entry(request.match_info["kind"], request.match_info["id"])
        return refusal(404, "no such entry") if entry is None else _unstored(detail(self.state, entry))

    async def mail(self, request: web.Request) -> web.Response:
        """Answer a mail as it looks: its HTML, or its text with `?part=text` or when it has no HTML."""
        mail = self.state.get("mail", request.match_info["id"])
        if mail is None:
            return refusal(404, "no such mail")
        shown = shown_mail(mail)
        headers = {"Content-Security-Policy": MAIL_POLICY, "Cache-Control": "no-store"}
        if shown["html"] is None or request.query.get("part") == "text":
            return web.Response(text=shown["text"] or "", content_type="text/plain", headers=headers)
        start = _MAIL_START.match(shown["html"])
        at = start.end() if start else 0
        text = f'{shown["html"][:at]}<base target="_blank">{shown["html"][at:]}'
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Send server-sent events until the client disconnects: `entry` (a new or changed one), `switches` (faults and
        deliveries), `reset` (read the list again).

        `Last-Event-ID`, or `?after=` at first, is the position after which changes are sent; else those from now on.
        """
        given = request.headers.get("Last-Event-ID") or request.query.get("after")
        try:
            after = self.feeds.change_at(given) if given else self.feeds.last_change()
        except ValueError:
            return refusal(400, "Last-Event-ID or after must be a position that the feed or the stream gave")
        try:
            with self.feeds.listen(lambda: request.transport is None or request.transport.is_closing()) as wake:
                return await self._send(request, wake, after)
        except TooManyListeners:
            answer = refusal(503, "too many pages listen already; close one")
            answer.headers["Retry-After"] = "5"
            return answer

    async def _send(self, request: web.Request, wake: asyncio.Event, after: int | None) -> web.StreamResponse:
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        news = [f"retry: {RETRY_MS}\n\n".encode()]
        if after is None or self.feeds.changes_since(after, MAX_RESUME + 1) > MAX_RESUME:
            after = self.feeds.last_change()
            news.append(_event("reset", b"{}", self.feeds.position(after)))
        switches = b""
        try:
            while not self.feeds.closed:
                wake.clear()
                now = orjson.dumps(self._switches())
                if now != switches:
                    switches = now
                    news.append(_event("switches", switches))
                entries = self.feeds.changed_since(after, BATCH)
                for entry in entries:
                    after = entry.change
                    text = orjson.dumps(summary(self.state, entry))
                    news.append(_event("entry", text, self.feeds.position(after)))
                if news:
                    async with asyncio.timeout(WRITE_TIMEOUT_S):
                        await response.write(b"".join(news))
                news = []
                if len(entries) < BATCH:
                    try:
                        async with asyncio.timeout(HEARTBEAT_S):
                            await wake.wait()
                    except TimeoutError:
                        news.append(b": nothing new\n\n")
                await asyncio.sleep(PACE_S)
        except (TimeoutError, ConnectionError):
            # The client has disconnected or accepts nothing any more; it may come back with its last position.
            if request.transport is not None:
                request.transport.abort()
        else:
            with suppress(ConnectionError):
                await response.write_eof()
        return response

    def _switches(self) -> dict[str, Any]:
        return {
            "faults": {provider: self.sandbox.faults.describe(provider) for provider in PROVIDERS},
            "webhooks": {provider: self.sandbox.webhooks.describe(provider) for provider in PROVIDERS},
            "options": described(self.state),
        }


def _event(name: str, data: bytes, position: str | None = None) -> bytes:
    identity = f"id: {position}\n" if position else ""
    return f"{identity}event: {name}\ndata: ".encode() + data + b"\n\n"


def _unstored(body: Any) -> web.Response:
    answer = json_response(body)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18

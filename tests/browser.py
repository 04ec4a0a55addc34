"""A real browser for tests: Debian's Chromium without a window, driven by Playwright.

The browser is started once per module: while Playwright runs, no other test of the same thread can run an event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from launcher import packages, processes

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Playwright, ViewportSize

PHONE: ViewportSize = {"width": 390, "height": 844}
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
# A page that does nothing for this long has failed (ms).
PAGE_TIMEOUT_MS = 30_000
# Playwright bounds every call except closing, which may hang in a page that navigates; then Chromium is killed (s).
CLOSE_TIMEOUT_S = 20.0
# The variable by which Chromium's processes are found.
MARK = "SHOP_TEST_CHROMIUM"
# Every name that ends like this is this machine, so that pages of a foreign host can be tested.
FOREIGN = "foreign.example"


@dataclass
class Tab:
    """A page in a new, empty browser profile.

    Attributes:
        page: Playwright's.
        errors: what the console reported as an error, and uncaught exceptions.
        requested: the URL of each request that left.
    """

    page: Page
    errors: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)

    def hosts(self) -> set[str]:
        """The hosts, with their ports, that were asked for something."""
        return {urlsplit(url).netloc for url in self.requested if not url.startswith(("data:", "blob:", "about:"))}

    def run(self, script: str, argument: Any = None) -> Any:
        """Run JavaScript in the page, an expression or a function of `argument`; returns its result."""
        return self.page.evaluate(script, argument)


@contextlib.contextmanager
def _asyncios_own_loop() -> Iterator[None]:
    """Hug makes uvloop the default, which starts processes by a fork that eventlet warns about."""
    policy = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
    try:
        yield
    finally:
        asyncio.set_event_loop_policy(policy)


class Chromium:
    """The browser of a module. It is killed if it does not close, and the next tab starts it again."""

    def __init__(self, playwright: Playwright, program: str) -> None:
        self._playwright = playwright
        self._program = program
        self._copy = uuid.uuid4().hex
        self._browser: Browser | None = None

    def new_context(self, **options: Any) -> BrowserContext:
        """A new, empty profile; it takes the options of `Browser.new_context`."""
        if self._browser is None or not self._browser.is_connected():
            self._browser = self._playwright.chromium.launch(
                executable_path=self._program,
                # No machine that tests has a graphics card, and Chromium's stand-in for one costs much CPU.
                args=[f"--host-resolver-rules=MAP *.{FOREIGN} 127.0.0.1", "--disable-gpu"],
                env={**os.environ, MARK: self._copy},
            )
        return self._browser.new_context(**options)

    def end(self, close: Callable[[], None]) -> None:
        """Call `close`, and kill Chromium if that does not return. Then Playwright's call fails, which is ignored:
        what should be closed is gone."""
        from playwright.sync_api import Error

        killed = threading.Event()

        def kill() -> None:
            killed.set()
            processes.kill(self._copy, mark=MARK)

        timer = threading.Timer(CLOSE_TIMEOUT_S, kill)
        timer.start()
        try:
            close()
        except Error:
            if not killed.is_set():
                raise
        finally:
            timer.cancel()
            timer.join()

    def close(self) -> None:
        """End the browser."""
        if self._browser is not None and self._browser.is_connected():
            self.end(self._browser.close)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    """The browser."""
    from playwright.sync_api import expect, sync_playwright  # most tests need no browser

    expect.set_options(timeout=PAGE_TIMEOUT_MS)
    program = shutil.which("chromium")
    assert program is not None, f"Pages are tested in Chromium. {packages.by_hand(packages.CHROMIUM)}"
    with _asyncios_own_loop(), sync_playwright() as playwright:
        browser = Chromium(playwright, program)
        yield browser
        browser.close()


@pytest.fixture
def open_tab(chromium: Chromium) -> Iterator[Callable[..., Tab]]:
    """A function that opens a tab in a new profile; it takes the size and options of `Browser.new_context`."""
    opened: list[BrowserContext] = []

    def new(viewport: ViewportSize = DESKTOP, **options: Any) -> Tab:
        context = chromium.new_context(viewport=viewport, **options)
        context.set_default_timeout(PAGE_TIMEOUT_MS)
        opened.append(context)
        tab = Tab(context.new_page())
        tab.page.on("console", lambda said: tab.errors.append(said.text) if said.type == "error" else None)
        tab.page.on("pageerror", lambda error: tab.errors.append(str(error)))
        tab.page.on("request", lambda request: tab.requested.append(request.url))
        return tab

    yield new
    for context in opened:
        chromium.end(context.close)


@pytest.fixture
def tab(open_tab: Callable[..., Tab]) -> Tab:
    """A tab as wide as a desk's screen."""
    return open_tab()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Keep the tests' output free of requests."""


@pytest.fixture
def serve_folder() -> Iterator[Callable[[Path], int]]:
    """A function that serves a folder over HTTP from this machine, and returns the port."""
    servers: list[ThreadingHTTPServer] = []

    def serve(folder: Path) -> int:
        server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        port: int = server.server_address[1]
        return port

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()

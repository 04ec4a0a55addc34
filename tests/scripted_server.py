"""An HTTP server that answers what it is told, in turn: for answers that no sandbox gives."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Listening(ThreadingHTTPServer):
    """With room for connections that are not taken yet: socketserver's five overflow on a busy machine, and whoever
    comes then waits for a second."""

    request_queue_size = 128


@dataclass
class Scripted:
    """One answer.

    Attributes:
        body: sent as it is; drop: the connection is closed without an answer instead.
        cut: fewer bytes are sent than announced, then the connection is closed.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    drop: bool = False
    cut: bool = False


class ScriptedServer:
    """Answers what is in `answers`, the last one for ever; keeps what it was asked in `asked`."""

    def __init__(self) -> None:
        self.answers: list[Scripted] = [Scripted()]
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self._server = Listening(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                scripted.asked.append((self.command, self.path, dict(self.headers), self.rfile.read(length)))
                now = scripted.answers.pop(0) if len(scripted.answers) > 1 else scripted.answers[0]
                if now.drop:
                    self.close_connection = True
                    return
                self.send_response(now.status)
                for name, value in now.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(now.body) + (100 if now.cut else 0)))
                self.end_headers()
                self.wfile.write(now.body)
                self.close_connection = self.close_connection or now.cut

            do_GET = do_POST = answer

            def log_message(self, *_args: object) -> None:
                pass

        return Handler


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    """A server that answers what it is told."""
    server = ScriptedServer()
    yield server
    server.stop()

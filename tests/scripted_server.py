"""An HTTP server that gives scripted answers in turn, for answers that the sandbox never gives."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Listening(ThreadingHTTPServer):
    """A server with a longer queue of connections.

    socketserver queues five. On a busy machine that queue overflows, and the next client waits for a second.
    """

    request_queue_size = 128


@dataclass
class Scripted:
    """One answer.

    Attributes:
        body: the bytes of the answer.
        drop: close the connection without an answer.
        cut: send fewer bytes than announced, then close the connection.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    drop: bool = False
    cut: bool = False


class ScriptedServer:
    """Gives the `answers` in turn and repeats the last one. Records each request in `asked`."""

    def __init__(self) -> None:
        self.answers: list[Scripted] = [Scripted()]
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self._server = Listening(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Stop the server."""
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
    """A server that gives scripted answers."""
    server = ScriptedServer()
    yield server
    server.stop()

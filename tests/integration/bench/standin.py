"""A sandbox that plays the real providers, behind a proxy that changes some of its answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import requests

from tests.scripted_server import Listening

Change = Callable[[str, str, Any], Any]


class StandIn:
    """A proxy in front of a sandbox.

    Args:
        target: the sandbox's URL.
        change: is given method, path and JSON body of each answer, and returns the body to send.
    """

    def __init__(self, target: str, change: Change) -> None:
        stand_in = self
        self.keys: set[str] = set()
        self.asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length) if length else None
                stand_in.keys.add(self.headers.get("Authorization", ""))
                stand_in.asked.append(f"{self.command} {self.path.split('?')[0]}")
                kept = {name: value for name, value in self.headers.items() if name not in ("Host", "Accept-Encoding")}
                answer = requests.request(self.command, target + self.path, data=body, headers=kept, timeout=60)
                content = answer.content
                if "json" in answer.headers.get("Content-Type", ""):
                    content = json.dumps(change(self.command, self.path, answer.json())).encode()
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name not in ("Content-Length", "Transfer-Encoding", "Date", "Server", "Connection"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = do_PUT = _pass

            def log_message(self, *_: Any) -> None:
                pass

        self._server = Listening(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop taking requests."""
        self._server.shutdown()
        self._server.server_close()

"""``python -m gateway``: serve the shop on GATEWAY_HOST:GATEWAY_PORT with GATEWAY_WORKERS processes."""

from __future__ import annotations

import os
import sys

import orjson

from chassis import safe_start
from chassis.settings import Settings
from gateway.rpc import Deadlines


def main() -> int:
    """Serve until a signal stops it; returns the exit status. A refusal to start is printed as one sentence."""
    host = os.environ.get("GATEWAY_HOST") or "127.0.0.1"
    try:
        settings = Settings.load()
        warnings = safe_start.check(settings, "gateway")
        port = _number("GATEWAY_PORT", 8000, 65535)
        workers = _number("GATEWAY_WORKERS", 2, 64)
        leave_s = _number("GATEWAY_LEAVE_SECONDS", 0, 60)
    except (OSError, ValueError) as error:
        return _refuse(str(error))
    # Imported only once the settings are valid: this import takes a second.
    from gateway import server

    try:
        server.require_free(host, port)
    except OSError as error:
        return _refuse(f"Port {port} of {host} cannot be listened on: {error.strerror or error}.")
    for warning in warnings:
        print(orjson.dumps({"event": warning, "level": "warning", "service": "gateway"}).decode(), flush=True)
    server.serve(host, port, workers, Deadlines(settings).longest, leave_s)
    return 0


def _number(name: str, default: int, most: int) -> int:
    least = min(default, 1)
    value = os.environ.get(name) or str(default)
    if not (value.isascii() and value.isdigit() and least <= int(value) <= most):
        raise ValueError(f"{name} must be a whole number from {least} to {most}, not {value!r}.")
    return int(value)


def _refuse(sentence: str) -> int:
    for line in sentence.splitlines():
        print(f"gateway: {line}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

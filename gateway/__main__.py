"""``python -m gateway``: serve the shop on GATEWAY_HOST:GATEWAY_PORT with GATEWAY_WORKERS processes."""

from __future__ import annotations

import os
import sys
import warnings

# Said by Nameko's import at every start, and nothing that whoever runs the shop could do anything about.
warnings.filterwarnings("ignore", message="pkg_resources is deprecated")

from chassis.settings import Settings  # noqa: E402
from gateway import auth, identity  # noqa: E402
from gateway.rpc import Deadlines  # noqa: E402


def main() -> int:
    """Serve until told to stop; the exit status. What stands in the way is said in one sentence."""
    host = os.environ.get("GATEWAY_HOST") or "127.0.0.1"
    try:
        settings = Settings.load()
        auth.check(settings)
        identity.check(settings)
        port = _number("GATEWAY_PORT", 8000, 65535)
        workers = _number("GATEWAY_WORKERS", 2, 64)
    except (OSError, ValueError) as error:
        return _refuse(str(error))
    # Not before the settings are known to be good: these import what takes a second.
    from gateway import server

    try:
        server.require_free(host, port)
    except OSError as error:
        return _refuse(f"Port {port} of {host} cannot be listened on: {error.strerror or error}.")
    server.serve(host, port, workers, Deadlines(settings).longest)
    return 0


def _number(name: str, default: int, most: int) -> int:
    value = os.environ.get(name) or str(default)
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= most):
        raise ValueError(f"{name} must be a whole number from 1 to {most}, not {value!r}.")
    return int(value)


def _refuse(sentence: str) -> int:
    print(f"gateway: {sentence}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

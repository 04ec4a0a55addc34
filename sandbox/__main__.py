"""`python -m sandbox`: the four providers on SANDBOX_HOST:SANDBOX_PORT, their state in VAR_DIR/sandbox.db."""

from __future__ import annotations

import asyncio
import logging
import sys

from sandbox.server import serve
from sandbox.settings import BadSetting, SandboxSettings


def main() -> int:
    """Run the sandbox with the settings of the environment; return the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = SandboxSettings.from_environment()
    except BadSetting as error:
        print(error, file=sys.stderr)
        return 1
    return asyncio.run(serve(settings))


if __name__ == "__main__":
    sys.exit(main())

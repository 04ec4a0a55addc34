"""``python -m launcher.start_service NAME``: check the settings, migrate, wait for the broker, become the service.

Containers run this. SIGTERM ends it at every stage: until Nameko has its own handler, the default action does.
"""

from __future__ import annotations

import sys

from chassis import safe_start
from chassis.db import migrate
from launcher import after_broker


def main(arguments: list[str]) -> int:
    """Become the service; returns, with the exit status, only on failure."""
    [service] = arguments
    status = safe_start.main([service]) or migrate.main([service])
    return status or after_broker.main(["nameko", "run", "--config", "config.yml", f"{service}.service"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What the start of a service costs: it imports no library that it does not use."""

from __future__ import annotations

import subprocess
import sys

from launcher.place import ROOT

# Together they once took a third of a service's start.
UNUSED = {"aiohttp", "alembic", "httpx", "mako", "pygments", "redis", "rich"}
IMPORTED = """
import sys
import nameko.cli.run
import cart.service, notifications.service, products.service, shipping.service
print(*{name.partition(".")[0] for name in sys.modules})
"""


def test_services_import_no_unused_library() -> None:
    command = [sys.executable, "-W", "ignore", "-c", IMPORTED]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    imported = set(ran.stdout.split())
    assert {"cart", "stripe", "pybreaker", "structlog"} <= imported
    assert not imported & UNUSED

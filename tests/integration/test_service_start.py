"""What the start of a service costs: it imports no library that it does not use."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from launcher.place import ROOT

# Together they once took a third of a service's start.
UNUSED = {"aiohttp", "alembic", "dns", "httpx", "mako", "pygments", "redis", "rich"}
IMPORTED = """
import sys
import nameko.cli.run
import cart.service, notifications.service, products.service, shipping.service
print(*{name.partition(".")[0] for name in sys.modules})
"""
# A service's process looks up a numeric address and a name, in both ways that libraries do.
LOOKED_UP = """
import nameko.cli.run
import json, socket, sys
import yaml
from chassis.container import ShopContainer

class Service:
    name = "any"

nameko.cli.main.setup_yaml_parser()
ShopContainer(Service, yaml.safe_load(open("config.yml")))
server = socket.create_server(("127.0.0.1", 0))
port = server.getsockname()[1]
imported = []
for host in ("127.0.0.1", "localhost"):
    WAY
    imported.append("eventlet.support.greendns" in sys.modules)
print(json.dumps(imported))
"""


def printed(program: str) -> str:
    """What a Python program prints in the environment of a service."""
    command = [sys.executable, "-W", "ignore", "-c", program]
    env = {**os.environ, "EVENTLET_NO_GREENDNS": "yes"}
    ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_services_import_no_unused_library() -> None:
    imported = set(printed(IMPORTED).split())
    assert {"cart", "stripe", "pybreaker", "structlog"} <= imported
    assert not imported & UNUSED


@pytest.mark.parametrize("way", ["socket.getaddrinfo(host, port)", "socket.create_connection((host, port), 20)"])
def test_lookups_are_imported_at_the_first_name(way: str) -> None:
    assert json.loads(printed(LOOKED_UP.replace("WAY", way))) == [False, True]

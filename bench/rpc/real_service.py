"""The shop's own products service instead of the stub: the same gateway, with SQL behind the hop."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Mapping

from bench.rpc import sides
from bench.rpc.sides import HOST, Processes, Side
from launcher.place import ROOT
from launcher.ports import free_port
from launcher.problem import Problem
from launcher.readiness import answers

PRODUCT = {
    "name": "Wally bone",
    "description": "A rope of cotton for the jaw that never tires",
    "price": 5000,
    "attributes": ["size", "gender"],
    "attributes_sku": {"size": "Medium", "gender": "Unisex"},
    "metadata": {"category": "food", "for": "cats", "type": "fish"},
    "package_dimensions": {"height": 5, "length": 5, "weight": 5, "width": 5},
}


def put_in_place(processes: Processes, env: Mapping[str, str], uri: str, ours: Side, name: str) -> Side:
    """Replace the stub with the real service with its sandbox and database, and put one product on sale.

    Raises Problem when a part does not start.
    """
    processes.stop("our-service")
    port = free_port()
    real = sides.our_env(env, uri, processes.folder, ours.port, 1)
    real.update(SANDBOX_HOST=HOST, SANDBOX_PORT=str(port), SANDBOX_URL=f"http://{HOST}:{port}")
    real["WEBHOOK_URL"] = f"http://{HOST}:9"  # no service receives them here
    processes.start("sandbox", [sys.executable, "-m", "sandbox"], real)
    processes.until(lambda: answers(f"http://{HOST}:{port}/sandbox/health"), "sandbox")
    migrated = subprocess.run(
        [sys.executable, "-m", "chassis.db.migrate", "products"], cwd=ROOT, env=real, capture_output=True, timeout=60
    )
    if migrated.returncode != 0:
        raise Problem("The database could not be migrated.", migrated.stderr.decode(errors="replace")[-1500:])
    sides.start_our_service(processes, real, "products.service", name="products")
    readiness = Side("products", ours.port, "/api/products/")
    processes.until(lambda: sides.answers(readiness), "products")
    request = urllib.request.Request(  # noqa: S310
        readiness.url, json.dumps(PRODUCT).encode(), {"Content-Type": "application/json"}
    )
    with sides.DIRECT.open(request, timeout=15) as response:
        product = json.load(response)
    return Side(name, ours.port, f"/api/products/{product['id']}")

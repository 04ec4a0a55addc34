"""The measurement's environment: the machine, the versions, and the commit."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from launcher.place import ROOT

PACKAGES = (
    "hug",
    "nameko",
    "amqp",
    "eventlet",
    "orjson",
    "fastapi",
    "uvicorn",
    "uvloop",
    "faststream",
    "aio-pika",
)


def about(broker: str, packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """Return everything that may explain other figures on another machine, including the versions of `packages`."""
    return {
        "broker": broker,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "commit": _commit(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _commit() -> str:
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return said.stdout.strip() or "unknown"

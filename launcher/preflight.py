"""Checks before the first installation what would prevent the first start: ports, the broker, and permissions.

`install_run_project` runs this with the system's Python, hence only the standard library is imported. The launcher
repeats the checks, with all settings, when it starts the shop.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from launcher import packages
from launcher.ports import is_free

ROOT = Path(__file__).resolve().parent.parent
STARTS = ("", "--detach", "-d")
NEED_A_BROKER = (*STARTS, "test", "bench")
PORTS = {"GATEWAY_PORT": "8000", "SANDBOX_PORT": "8100"}
READ = (*PORTS, "GATEWAY_HOST", "SANDBOX_HOST", "AMQP_URI", "VAR_DIR")
_LINE = re.compile(r"""\s*(?:export\s+)?(\w+)\s*=\s*(?:'([^']*)'|"([^"]*)"|([^#\s]*))""")


def problems(command: str, env: Mapping[str, str], root: Path = ROOT) -> list[str]:
    """Return sentences that say what prevents `command` and what to do about it; empty when nothing does.

    Args:
        command: the first argument of `install_run_project`, or "".
        env: the process environment; it overrides `root/.env`.
        root: the checkout.
    """
    settings = {**_written(root / ".env"), **{name: env[name] for name in READ if name in env}}
    found = [*_unwritable(root, root / (settings.get("VAR_DIR") or "var"))]
    if command in STARTS:
        found += _taken_ports(settings)
    if command in NEED_A_BROKER and not settings.get("AMQP_URI") and not _can_have_rabbitmq():
        found.append(packages.no_rabbitmq())
    return found


def _written(path: Path) -> dict[str, str]:
    """Return the settings of an .env file as far as they matter here; the launcher reads them with python-dotenv
    later."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    read = {}
    for line in lines:
        if (match := _LINE.match(line)) and match[1] in READ:
            read[match[1]] = match[2] or match[3] or match[4] or ""
    return {name: value for name, value in read.items() if value}


def _unwritable(*folders: Path) -> list[str]:
    found = []
    for folder in folders:
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if not os.access(existing, os.W_OK):
            found.append(f"This user cannot write to {existing}.")
    return sorted(set(found))


def _taken_ports(settings: Mapping[str, str]) -> list[str]:
    found = []
    for name, usual in PORTS.items():
        host = settings.get(name.replace("PORT", "HOST")) or "127.0.0.1"
        text = settings.get(name) or usual
        if text.isascii() and text.isdigit() and not is_free(int(text), host):
            found.append(f"Port {text} is in use by another program; stop that, or set {name} to a free port.")
    return found


def _can_have_rabbitmq() -> bool:
    installed = packages.rabbitmq_server() is not None
    return installed or packages.available() is not None or packages.container_engine_runs()


def main(arguments: Sequence[str]) -> int:
    """Print what prevents the command; return the exit status."""
    found = problems(arguments[0] if arguments else "", os.environ)
    for sentence in found:
        print(sentence, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

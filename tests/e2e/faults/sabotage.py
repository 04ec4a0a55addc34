"""Removes a guard of the shop: mutated copies of single modules replace the real modules.

A process that starts with the saboteur's folder on `PYTHONPATH` imports the mutated copy of a module, if there is one.
The product code knows nothing of this.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from launcher.place import ROOT

# The text of `sitecustomize.py`, which Python imports when it starts.
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
    """The removal of one guard.

    Attributes:
        what: the guard.
        module: the file of the guard, relative to the root of the repository.
        part: the process to restart.
        changes: pairs of a text and its replacement; each text occurs exactly once.
    """

    what: str
    module: str
    part: str
    changes: tuple[tuple[str, str], ...]

    def mutated(self) -> str:
        """The module without its guard. Raises AssertionError when a text does not occur exactly once."""
        text = (ROOT / self.module).read_text(encoding="utf-8")
        for old, new in self.changes:
            assert text.count(old) == 1, f"{self.module} has {text.count(old)} times: {old}"
            text = text.replace(old, new)
        return text


class Saboteur:
    """Replaces real modules by mutated ones.

    Args:
        folder: holds the mutants; `env` points the processes of the shop to it.
    """

    def __init__(self, folder: Path) -> None:
        self._mutants = folder / "mutants"
        self._mutants.mkdir(parents=True)
        (folder / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
        self.env = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}

    def place(self, sabotages: Iterable[Sabotage]) -> None:
        """Make processes that start from now on import these mutants, and no others."""
        for file in self._mutants.iterdir():
            file.unlink()
        for sabotage in sabotages:
            name = sabotage.module.removesuffix(".py").replace("/", ".")
            (self._mutants / f"{name}.py").write_text(sabotage.mutated(), encoding="utf-8")


IDEMPOTENCY_KEYS = Sabotage(
    "the idempotency keys",
    "gateway/idempotency.py",
    "gateway",
    (('sent = request.env.get("HTTP_IDEMPOTENCY_KEY")', "sent = None"),),
)
# The digest alone turns a repeated checkout into one order, also without the idempotency keys.
ORDER_DIGEST = Sabotage(
    "the order's digest",
    "cart/checkout.py",
    "cart",
    (
        ("unpaid = self.store.orders.unpaid(cart_id, digest)", "unpaid = None"),
        ("self.store.orders.place(order, key, digest)", "self.store.orders.place(order, key)"),
    ),
)
ORDER_CLAIM = Sabotage(
    "the order's claim",
    "cart/store/orders.py",
    "cart",
    (
        ('busy = order.status in AT_WORK and not row["void"]', "busy = False"),
        (
            "self._claims.update(order.id, order.claim)",
            "sa.update(orders).where(orders.c.id == order.id)",
        ),
    ),
)
# The mutant reads the quantity first and writes it later, so it misses the sales in between.
STOCK = Sabotage(
    "the stock's compare-and-set",
    "products/store/stock.py",
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
# Without the comparison, every payer of a code redeems it.
REDEMPTION = Sabotage(
    "the code's number of redemptions",
    "cart/store/discounts.py",
    "cart",
    (("discounts.c.active & _free()", "discounts.c.active"),),
)
# Without it, a transaction whose answer was lost is refused the second time, because its reference is in use. The shop
# does not learn its id, and cannot reverse it.
TAX_KEY = Sabotage(
    "the key of a tax transaction",
    "cart/stripe/payments.py",
    "cart",
    (("lambda options: ask(self._stripe, options), key", "lambda options: ask(self._stripe, {}), key"),),
)
OUTBOX = Sabotage(
    "the outbox",
    "cart/bootstrap.py",
    "cart",
    (("[orders, refunds, *deliveries, events]", "[orders, refunds, events]"),),
)
COMPLETER = Sabotage(
    "the completer",
    "cart/bootstrap.py",
    "cart",
    (("            store.orders.stalled,", "            lambda limit: [],"),),
)

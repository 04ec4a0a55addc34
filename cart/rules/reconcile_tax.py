"""The rules for differences between an order and its records at the tax provider; like `reconcile.py`, without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cart.rules.order import Order
from cart.rules.reconcile import OWE_TAX, by_hand, mendable, under_way
from cart.rules.tax import REVERSAL, UNDOES, Entry, failed_reversals, owed, sale_key, undo_key
from contracts.differences import Difference

Task = Mapping[str, Any]


def compare_taxes(
    orders: Iterable[Order], tasks: Mapping[str, Mapping[str, Task]], until: float
) -> tuple[list[Difference], list[str]]:
    """The differences between our orders and the work of recording their taxes.

    Args:
        orders: a page of them.
        tasks: order id -> key -> task, of this kind of work.
        until: an order that changed after that (Unix seconds) may still be in progress.

    Returns them, and the keys of the tasks that the provider has a record of.
    """
    found: list[Difference] = []
    recorded: list[str] = []
    for order in orders:
        wanted, rows = owed(order), tasks.get(order.id, {})
        if under_way(order, until):
            continue
        missing = [key for key in wanted if key not in rows]
        if missing:
            theirs = f"the outbox says: no {', '.join(missing)}"
            found.append(mendable(order, "paid, and its tax not recorded", theirs, "record it", OWE_TAX))
        undone = [
            row for row in failed_reversals(rows.values(), wanted) if undo_key(row["details"]["refund"]) not in rows
        ]
        if undone:
            theirs = f"reversed as {', '.join(_entry(row) or row['key'] for row in undone)}"
            found.append(mendable(order, "tax reversed, and not refunded", theirs, "undo it", OWE_TAX))
        for key, row in rows.items():
            if row["state"] == "failed":
                advice = "replay it when the cause is gone, or record it by hand"
                found.append(by_hand(order, "tax given up", f"the outbox says: {key}: {row['error']}", advice))
            elif _entry(row) is not None:
                recorded.append(key)
            elif row["state"] == "done" and row["answer"] is not None:
                advice = "its answer was lost: find it by its reference in the provider's report of transactions"
                found.append(by_hand(order, "tax record of unknown id", f"the outbox says: {key} done", advice))
    return found, recorded


def compare_entries(
    entries: Mapping[str, Entry | None],
    tasks: Mapping[str, Task],
    orders: Mapping[str, Order],
    until: float,
    provider: str,
) -> list[Difference]:
    """The differences between recorded taxes and what the provider has.

    Args:
        entries: what the provider has, by the key of the task that recorded it.
        tasks: those tasks, and the sales of their orders, by key.
        orders: their orders, by id.
        provider: its name, as people read it.
    """
    found = []
    for key, entry in entries.items():
        row = tasks[key]
        order = orders.get(row["subject"])
        if order is None or order.tax is None or under_way(order, until):
            continue
        if entry is None:
            theirs = f"{provider} says: no such transaction ({_entry(row)})"
            found.append(
                by_hand(order, f"tax unknown at {provider}", theirs, "is this the key of the account that has it?")
            )
        elif not _same(entry, row, order, tasks):
            advice = f"correct it in {provider}'s dashboard; the shop records each tax once"
            found.append(by_hand(order, "another tax was recorded", f"{provider} says: {entry}", advice))
    return found


def _same(entry: Entry, row: Task, order: Order, tasks: Mapping[str, Task]) -> bool:
    if row["kind"] == REVERSAL:
        details = row["details"]
        if UNDOES in details:
            reversal = _entry(tasks.get(details[UNDOES], {}))
            return (entry.reference, entry.amount, entry.reverses) == (row["key"], details["amount"], reversal)
        sale = _entry(tasks.get(sale_key(order.id), {}))
        return (entry.reference, entry.amount, entry.reverses) == (details["refund"], -details["amount"], sale)
    assert order.tax is not None
    return (entry.reference, entry.amount, entry.tax, entry.reverses) == (
        order.id,
        order.amount,
        order.tax.amount,
        None,
    )


def _entry(row: Task) -> str | None:
    answer = row.get("answer") or {}
    found: str | None = answer.get("entry")
    return found

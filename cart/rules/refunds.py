"""Which failed refunds the shop repeats, and which need a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cart.rules.attention import DISPUTE
from cart.rules.dispute import Case
from cart.rules.order import Order
from cart.rules.payments import OrderRefund
from contracts.currencies import amount_for_people

# A refund is requested (or about to be), counts as made, or has failed for good.
ASKED, DONE, FAILED = "asked", "done", "failed"

# Stripe's reason for a pending refund that fails because its charge is disputed:
# https://docs.stripe.com/api/refunds/object#refund_object-failure_reason.
REFUND_DISPUTED = "charge_for_pending_refund_disputed"

Row = Mapping[str, Any]


def is_repeated(row: Row, refund: OrderRefund, rows: Iterable[Row], left: int) -> bool:
    """Whether the shop repeats its refund `row`, which has just failed: once, and only for a reason that may pass.

    Args:
        refund: the provider's view of it.
        rows: all refunds of the order.
        left: what can be refunded of the order, in the currency's smallest unit.
    """
    return (
        refund.passing
        and refund.refund_id == row["id"]
        and row["repeats"] is None
        and row["amount"] <= left
        and not refunded_elsewhere(row, rows)
    )


def refunded_elsewhere(row: Row, rows: Iterable[Row]) -> bool:
    """Whether somebody has made another refund at the provider after `row`, perhaps in place of it."""
    return any(each["state"] == DONE and _is_elsewhere(each) and each["began"] >= row["began"] for each in rows)


def left_to_dispute(row: Row, cases: Iterable[Case]) -> bool:
    """Whether a failed refund needs nobody, because a dispute has returned its money or may still do so.

    Args:
        cases: what is recorded of the order's payment; none while the dispute is not known here.
    """
    disputes = [case for case in cases if case.kind == DISPUTE]
    undecided = not disputes or any(case.is_open for case in disputes)
    return REFUND_DISPUTED in (row["error"] or "") and (
        undecided or sum(case.lost for case in disputes) >= row["amount"]
    )


def made_good(rows: Sequence[Row], whole: bool) -> set[str]:
    """The ids of the failed refunds whose money has gone back by later ones. Each later one counts once.

    Args:
        rows: all refunds of the order, oldest first.
        whole: whether all money of the order has gone back.
    """
    failed = [row for row in rows if row["state"] == FAILED]
    if whole:
        return {row["id"] for row in failed}
    left = {row["id"]: row["amount"] for row in rows if row["state"] == DONE}
    found: set[str] = set()
    for row in failed:
        if row["repeats"] is not None:
            found |= {row["id"]} if row["repeats"] in found else set()
            continue
        later = [each["id"] for each in rows if each["id"] in left and each["began"] >= row["ended"]]
        if row["provider_id"] is None or sum(left[name] for name in later) < row["amount"]:
            continue
        found.add(row["id"])
        owed = row["amount"]
        for name in later:
            used = min(owed, left[name])
            left[name], owed = left[name] - used, owed - used
    return found


def failure(order: Order, row: Row) -> str:
    """What an operator needs to know about a refund that has failed."""
    amount = amount_for_people(row["amount"], order.currency)
    goods = " Its stock was released, and nothing is sent for it any more." if order.over else ""
    reason = row["error"] or "No reason is known."
    return f"{amount} did not go back. {reason} The order is {order.public_status}.{goods}"


def _is_elsewhere(row: Row) -> bool:
    return bool(row["key"] == row["provider_id"])

"""The rules for differences between the provider's disputes and fraud warnings and ours; like `reconcile.py`, without
I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cart.rules.attention import DISPUTE
from cart.rules.dispute import Case
from cart.rules.order import Order
from cart.rules.reconcile import LOOK_AT_DISPUTES, said, under_way
from contracts.differences import Difference


def compare_cases(
    cases: Iterable[Case], ours: Mapping[str, Case], by_payment: Mapping[str, Order], until: float, provider: str
) -> list[Difference]:
    """The differences between a page of the provider's cases and ours.

    Args:
        cases: the page.
        ours: our cases that the page names, by id.
        by_payment: the orders of the payments, by the payment's id.
        until: younger records (Unix seconds) may still be in progress.
        provider: its name, as people read it.
    """
    found = []
    for case in cases:
        order, known = by_payment.get(case.payment), ours.get(case.id)
        if case.created > until or order is None or under_way(order, until) or not order.settled:
            continue
        words = _words(case)
        theirs = f"{provider} says: {case}"
        if known is None:
            found.append(_mendable(f"{words} unknown here", order, said(order), theirs))
        elif known != case:
            found.append(_mendable(f"{words} recorded differently", order, str(known), theirs))
        elif not _is_shown(case, order):
            found.append(_mendable("dispute not shown by its order", order, f"{said(order)}, {order.dispute}", theirs))
    return found


def compare_missing_cases(cases: Iterable[Case], by_payment: Mapping[str, Order], provider: str) -> list[Difference]:
    """The differences for our cases that the provider does not have."""
    return [
        _mendable(f"{_words(case)} unknown at {provider}", order, str(case), f"{provider} says: none")
        for case in cases
        if (order := by_payment.get(case.payment)) is not None
    ]


def _words(case: Case) -> str:
    return case.kind.replace("_", " ")


def _is_shown(case: Case, order: Order) -> bool:
    """Whether an order shows the provider's dispute, or a newer one, and has lost what that has taken."""
    if case.kind != DISPUTE:
        return True
    shown = order.dispute
    return shown is not None and (shown.id != case.id or shown == case.shown()) and order.amount_lost >= case.lost


def _mendable(kind: str, order: Order, ours: str, theirs: str) -> Difference:
    fix = {"do": LOOK_AT_DISPUTES, "order": order.id}
    return Difference(kind, order.id, ours, theirs, "record what the provider says now", fix=fix)

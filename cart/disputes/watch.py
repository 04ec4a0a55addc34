"""Watches for disputes and fraud warnings in case their event was lost. A dispute lasts for months: every hour the
provider is asked for those that are not decided."""

from __future__ import annotations

from typing import Protocol

from cart.disputes.record import DisputeRecords
from cart.rules.dispute import Case
from cart.watch import Watch
from chassis.records import SetAside

CURSOR = "disputes"
# How long after a fraud warning its payment is asked for (seconds). A warning is over once the payment is disputed or
# refunded (https://docs.stripe.com/api/radar/early_fraud_warnings/object), which may never happen. Cardholders usually
# dispute within 120 days of the payment: https://docs.stripe.com/disputes/how-disputes-work.
WARNING_S = 120 * 86400.0


class CaseLists(Protocol):
    """The provider's lists of disputes and fraud warnings. All methods raise as `Payments.find` does."""

    def cases(self, after: str | None, since: float) -> tuple[list[Case | SetAside], str | None]:
        """A page of those made since then (Unix seconds), and the cursor of the next one; None at the end."""

    def case(self, case_id: str, kind: str) -> Case | SetAside | None:
        """One of them, or None when there is none of this kind with this id."""


class DisputeWatch(Watch):
    """Records disputes and fraud warnings whose event was lost.

    Args:
        records: its store and clock are used here, too.
        lists: the provider's lists.
    """

    def __init__(self, records: DisputeRecords, lists: CaseLists) -> None:
        store = records.store

        def unknown(page: list[Case]) -> set[str]:
            known = store.disputes.by_id([case.id for case in page])
            return {case.payment for case in page if known.get(case.id) != case}

        super().__init__(
            *(CURSOR, store.positions, lists.cases, unknown, records.refresh, records.clock),
            unsettled=lambda: store.disputes.open_payments(records.clock() - WARNING_S),
        )

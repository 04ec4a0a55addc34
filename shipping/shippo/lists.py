"""Shippo's list of the labels that it sold, page by page, the newest first."""

from __future__ import annotations

from contextlib import suppress

from shippo import Shippo
from shippo.models import components, operations

from chassis.records import SetAside, Unreadable, read_one
from contracts.errors import NotFound
from shipping.rules.reconcile import FAILED, KEPT, PENDING, QUEUED, REFUNDED, SOLD, Rate, Sold
from shipping.shippo.charges import ShippoCharges
from shipping.shippo.failures import asking
from shipping.shippo.records import gathering
from shipping.shippo.shapes import rate_id_of

PAGE = 100
_STATUS = components.TransactionStatusEnum
STATES: dict[components.TransactionStatusEnum | None, str] = {
    _STATUS.SUCCESS: SOLD,
    _STATUS.REFUNDED: REFUNDED,
    _STATUS.REFUNDPENDING: PENDING,
    _STATUS.REFUNDREJECTED: KEPT,
    _STATUS.ERROR: FAILED,
    _STATUS.QUEUED: QUEUED,
    _STATUS.WAITING: QUEUED,
}


class ShippoLists:
    """The labels that Shippo has sold, including those without a record of ours.

    Args:
        shippo: the SDK's client.
        charges: reads the invoices.
    """

    def __init__(self, shippo: Shippo, charges: ShippoCharges) -> None:
        self._shippo = shippo
        self.charges = charges.between

    def sold(self, number: int, since: float) -> tuple[list[Sold | SetAside], int | None]:
        """Return page `number` (from 1) of the labels bought since then (Unix seconds), and the number of the next
        page; None at the end.

        The list has no date filter: it ends with the first page that is entirely older. A label that cannot be read
        appears in the page as set aside. Raises Unavailable, ProviderFailure.
        """
        with asking("transactions.list"), gathering() as aside:
            request = operations.ListTransactionsRequest(page=number, results=PAGE)
            page = self._shippo.transactions.list(request)
            found = [read_one("label at Shippo", each, _sold) for each in page.results or []] + aside
        recent = [each for each in found if isinstance(each, SetAside) or each.created >= since]
        return recent, number + 1 if page.next and recent else None

    def one(self, transaction_id: str) -> Sold | SetAside | None:
        """Return one label, or None when Shippo does not know it. Raises as `sold`."""
        with suppress(NotFound), asking("transactions.get", may_miss=True):
            return read_one("label at Shippo", self._shippo.transactions.get(transaction_id), _sold)
        return None

    def rate(self, rate_id: str) -> Rate | None:
        """Return what was bought at a rate, or None when Shippo no longer knows it. Raises as `sold`."""
        with suppress(NotFound), asking("rates.get", may_miss=True):
            rate = self._shippo.rates.get(rate_id)
            return Rate(str(rate.shipment), str(rate.provider))
        return None


def _sold(transaction: components.Transaction) -> Sold:
    if not transaction.object_id:
        raise Unreadable("it has no id")
    return Sold(
        id=transaction.object_id,
        rate_id=rate_id_of(transaction) or "",
        reference=transaction.metadata or "",
        state=STATES[transaction.status],
        tracking_number=transaction.tracking_number or None,
        label_url=transaction.label_url or None,
        created=transaction.object_created.timestamp() if transaction.object_created else 0.0,
    )

"""The carriers, through Shippo's SDK. Shippo's terms and failure modes do not pass beyond this adapter."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from shippo import Shippo
from shippo.models import components, operations

from chassis.deadline import bounded
from chassis.providers.http_session import ProviderSession
from chassis.records import SetAside, read_each
from contracts.errors import InvalidRequest, OutcomeUnknown, ProviderFailure, Refused, ShopError, Unavailable
from shipping.rules.carriers import Label, Quote
from shipping.rules.customs import Filing, filing, is_declared
from shipping.rules.shipment import amounts_in
from shipping.shippo.charges import ShippoCharges
from shipping.shippo.failures import RETRY_AFTER, asking, buying
from shipping.shippo.lists import ShippoLists
from shipping.shippo.records import gathering, leave_unreadable_out
from shipping.shippo.shapes import corrections, messages, public_rate, public_track, rate_id_of

API_VERSION = "2018-02-08"
REFERENCE_LENGTH = 100  # Shippo's limit of `metadata`
# Shippo finishes queued work within a few seconds; a longer wait would use up the caller's deadline.
QUEUED_SECONDS = 8.0
POLL_SECONDS = 0.5
# A shipment has a rate per carrier service: a few dozen. A hundred per page, with a limit in case the list never ends.
PAGE, MAX_PAGES = 100, 10

PENDING = (components.TransactionStatusEnum.QUEUED, components.TransactionStatusEnum.WAITING)
STATUS = components.TransactionStatusEnum
REFUNDS: dict[components.TransactionStatusEnum | None, str] = {
    STATUS.REFUNDED: "refunded",
    STATUS.REFUNDPENDING: "pending",
    STATUS.REFUNDREJECTED: "used",
}
# The states of a refund; ERROR means that the carrier rejects it.
GIVEN_BACK = {
    components.RefundStatus.SUCCESS: "refunded",
    components.RefundStatus.QUEUED: "pending",
    components.RefundStatus.PENDING: "pending",
    components.RefundStatus.ERROR: "used",
}
EXEMPTIONS = {
    Filing.CANADA: components.CustomsDeclarationEelPfcEnum.NOEEI_30_36,
    Filing.LOW_VALUE: components.CustomsDeclarationEelPfcEnum.NOEEI_30_37_A,
}
PENDING_SHIPMENT = (components.ShipmentStatus.QUEUED, components.ShipmentStatus.WAITING)


class ShippoCarriers:
    """Shippo as an implementation of the port `shipping.rules.carriers.Carriers`.

    Args:
        key: the API key ("shippo_...").
        base: the URL to use instead of Shippo's own, or None.
        ship_from: the shop's address, in Shippo's terms.
        connect, read: timeouts in seconds.
        sleep: waits between two requests about queued work.
    """

    def __init__(
        self,
        key: str,
        base: str | None,
        ship_from: Mapping[str, str],
        connect: float,
        read: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ship_from = dict(ship_from)
        self._sleep = sleep
        self.longest_call = connect + read
        self.longest_answer = read
        # The SDK has no timeout and ignores proxies and certificate bundles; the session handles these.
        session = ProviderSession(connect, read, "Shippo")
        self._shippo = Shippo(key, server_url=base, client=session, shippo_api_version=API_VERSION)
        self._charges = ShippoCharges(session, key, base, API_VERSION)
        leave_unreadable_out(self._shippo)

    @property
    def lists(self) -> ShippoLists:
        """The labels that Shippo has sold, including those without a record of ours."""
        return ShippoLists(self._shippo, self._charges)

    def quote(
        self,
        address: Mapping[str, Any],
        parcels: Sequence[Mapping[str, str]],
        contents: Sequence[Mapping[str, Any]],
        reference: str,
        currency: str,
    ) -> Quote:
        """See the port."""
        declared = contents and is_declared(address, self._ship_from)
        request = components.ShipmentCreateRequest(
            address_from=_address(self._ship_from),
            address_to=_address(address),
            parcels=[components.ParcelCreateRequest(**parcel) for parcel in parcels],  # type: ignore[arg-type]  # units as text
            metadata=reference[:REFERENCE_LENGTH],
            customs_declaration=_declaration(contents, self._ship_from, address) if declared else None,
            async_=False,
        )
        with asking("shipments.create"), gathering() as aside:
            shipment = self._shippo.shipments.create(request)
            for _ in self._while_queued():
                if shipment.status not in PENDING_SHIPMENT:
                    break
                shipment = self._shippo.shipments.get(shipment.object_id)
            rates, more = read_each("rate of Shippo's", shipment.rates, public_rate)
        remarks = messages(shipment.messages)
        if shipment.status in PENDING_SHIPMENT:
            raise Unavailable("The carriers take too long to quote.", {"retry_after": RETRY_AFTER})
        if not rates and (aside or more):
            raise ProviderFailure("Shippo's rates cannot be read.")
        if shipment.status == components.ShipmentStatus.ERROR or not rates:
            remarks = remarks or ["No carrier delivers to this address."]
            raise Refused("No carrier takes this shipment: " + " ".join(remarks), {"errors": {"address": remarks}})
        if not any(amounts_in(rate, currency) for rate in rates):
            rates = self._converted(shipment.object_id, currency)
        return Quote(shipment.object_id, rates, remarks, corrections(address, shipment.address_to))

    def _converted(self, shipment_id: str, currency: str) -> list[dict[str, Any]]:
        """Return a shipment's rates in a currency in which no carrier quoted; none if Shippo does not convert to it.

        Asking Shippo for another currency queues the shipment again, and it lists no rates until it is done.
        """
        try:
            for _ in self._while_queued():
                found = self.rates(shipment_id, currency.upper())
                if found:
                    return found
        except InvalidRequest:
            return []
        raise Unavailable("The carriers take too long to quote.", {"retry_after": RETRY_AFTER})

    def rates(self, shipment_id: str, currency: str) -> list[dict[str, Any]]:
        """See the port."""
        found: list[dict[str, Any]] = []
        try:
            for number in range(1, MAX_PAGES + 1):
                request = operations.ListShipmentRatesByCurrencyCodeRequest(
                    shipment_id=shipment_id, currency_code=currency, page=number, results=PAGE
                )
                with asking("rates.list", may_miss=True):
                    page = self._shippo.rates.list_shipment_rates_by_currency_code(request)
                    found += read_each("rate of Shippo's", page.results, public_rate)[0]
                if not page.next:
                    break
        except Refused as refused:
            said = "Shippo has no rates in this currency."
            raise InvalidRequest(said, {"errors": {"currency": [refused.detail]}}) from refused
        return found

    def buy(self, rate_id: str, reference: str) -> Label:
        """See the port."""
        request = components.TransactionCreateRequest(
            rate=rate_id,
            async_=False,
            label_file_type=components.LabelFileTypeEnum.PDF,
            metadata=reference[:REFERENCE_LENGTH],
        )
        with buying():
            transaction = self._shippo.transactions.create(request)
            if not transaction.object_id:
                raise ValueError("a transaction without an id")
        return self._settled(transaction)

    def bought(self, rate_id: str) -> Label | None:
        """See the port."""
        waiting = None
        unreadable: list[SetAside] = []
        for number in range(1, MAX_PAGES + 1):
            with asking("transactions.list"), gathering() as aside:
                request = operations.ListTransactionsRequest(rate=rate_id, page=number, results=PAGE)
                page = self._shippo.transactions.list(request)
                # Filtered again: if Shippo ignored the filter, this shipment must not get another shipment's label.
                found = [each for each in page.results or [] if rate_id_of(each) == rate_id]
            for transaction in found:
                if transaction.status == components.TransactionStatusEnum.SUCCESS:
                    return self._settled(transaction)
                if transaction.status in PENDING:
                    waiting = transaction
            unreadable += aside
            if not page.next:
                break
        if unreadable and waiting is None:  # one of them may be the requested label
            raise ProviderFailure("Shippo's list of labels cannot be read.")
        try:
            return self._settled(waiting) if waiting else None
        except Refused:
            return None  # it was queued, and has failed in the meantime

    def track(self, carrier: str, tracking_number: str, transaction_id: str = "") -> dict[str, Any]:
        """See the port."""
        with asking("tracks.get", may_miss=True):
            token = carrier.lower().replace(" ", "_")  # a rate says "DHL Express", tracking dhl_express
            return public_track(self._shippo.tracking_status.get(tracking_number, token))

    def refund_status(self, transaction_id: str) -> str | None:
        """See the port."""
        with asking("transactions.get"):
            transaction = self._shippo.transactions.get(transaction_id)
            where = transaction.tracking_status
            moved = where is not None and where.value not in ("UNKNOWN", "PRE_TRANSIT")
        return REFUNDS.get(transaction.status) or ("used" if moved else None)

    def refund(self, transaction_id: str) -> str:
        """See the port."""
        with asking("refunds.create"):
            refund = self._shippo.refunds.create(transaction_id, async_=False)
            if refund.status is None:
                raise ValueError("a refund without a status")
            return GIVEN_BACK[refund.status]

    def _settled(self, transaction: components.Transaction) -> Label:
        """Return the label of a transaction, waiting while it is queued."""
        try:
            for _ in self._while_queued():
                if transaction.status not in PENDING:
                    break
                with asking("transactions.get"):
                    transaction = self._shippo.transactions.get(transaction.object_id or "")
        except ShopError as error:
            raise OutcomeUnknown("The label is being bought; Shippo does not say yet how it ended.") from error
        if transaction.status == components.TransactionStatusEnum.SUCCESS and transaction.label_url:
            return Label(str(transaction.object_id), transaction.label_url, transaction.tracking_number or None)
        if transaction.status == components.TransactionStatusEnum.ERROR:
            remarks = messages(transaction.messages) or ["Shippo gives no reason."]
            raise Refused("The label was not bought: " + " ".join(remarks), {"errors": {"rate_id": remarks}})
        raise OutcomeUnknown("The label is being bought; it is not there yet.", {"retry_after": RETRY_AFTER})

    def _while_queued(self) -> Iterator[None]:
        """Yield while it is worth asking about queued work; sleeps before each round but the first."""
        end = time.monotonic() + bounded(QUEUED_SECONDS)
        yield
        while time.monotonic() + POLL_SECONDS < end:
            self._sleep(POLL_SECONDS)
            yield


def _declaration(
    contents: Sequence[Mapping[str, Any]], ship_from: Mapping[str, str], address: Mapping[str, str | None]
) -> components.CustomsDeclarationCreateRequest:
    """Return a declaration of the shop's own goods, sold; undeliverable parcels are returned."""
    items = [
        # The country of manufacture is unknown, so the country of dispatch is declared.
        components.CustomsItemCreateRequest(origin_country=ship_from["country"], **each)
        for each in contents
    ]
    return components.CustomsDeclarationCreateRequest(
        certify=True,
        certify_signer=ship_from["name"],
        contents_type=components.CustomsDeclarationContentsTypeEnum.MERCHANDISE,
        non_delivery_option=components.CustomsDeclarationNonDeliveryOptionEnum.RETURN,
        # USPS requires the exemption under which no export is filed.
        eel_pfc=EXEMPTIONS.get(filing(address, ship_from)),
        items=items,
    )


def _address(given: Mapping[str, Any]) -> components.AddressCreateRequest:
    named = {field: value for field, value in given.items() if value}
    return components.AddressCreateRequest(**named)

"""The carriers, through Shippo's SDK. Its words, and its many ways to fail, stop here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import requests
from nameko.extensions import DependencyProvider
from shippo import Shippo  # type: ignore[import-untyped]
from shippo.models import components, operations  # type: ignore[import-untyped]
from shippo.models.errors import SDKError  # type: ignore[import-untyped]
from urllib3.exceptions import MaxRetryError, NewConnectionError

from chassis.deadline import bounded
from chassis.logs import log
from chassis.provider_http import ProviderSession
from chassis.settings import Settings
from contracts.errors import InvalidRequest, NotFound, OutcomeUnknown, ProviderFailure, Refused, ShopError, Unavailable
from shipping.carriers import Label, Quote
from shipping.shippo_shapes import messages, public_rate, public_track, rate_id_of

API_VERSION = "2018-02-08"
REFERENCE_LENGTH = 100  # Shippo's limit of `metadata`
# Shippo finishes what it queued within a few seconds; a longer wait would eat the caller's deadline.
QUEUED_SECONDS = 8.0
POLL_SECONDS = 0.5
# A shipment has a rate for each carrier's services: a few dozen. A hundred a page, and an end for a list without one.
PAGE, MOST_PAGES = 100, 10
RETRY_AFTER = 2  # seconds, when Shippo names none

PENDING = (components.TransactionStatusEnum.QUEUED, components.TransactionStatusEnum.WAITING)
PENDING_SHIPMENT = (components.ShipmentStatus.QUEUED, components.ShipmentStatus.WAITING)
# What the SDK's parsing raises over an answer that it cannot read.
UNREADABLE = (KeyError, ValueError, AttributeError, TypeError)


class ShippoCarriers:
    """Shippo behind the port `shipping.carriers.Carriers`.

    Args:
        key: the API key ("shippo_...").
        base: the URL to use in place of Shippo's own, or None.
        ship_from: the shop's address, in Shippo's words.
        connect, read: timeouts in seconds.
        sleep: how to wait between two questions about what is queued.
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
        # The SDK has no timeout and ignores proxies and certificate bundles: the session sees to both.
        self._shippo = Shippo(
            key, server_url=base, client=ProviderSession(connect, read), shippo_api_version=API_VERSION
        )

    def quote(self, address: Mapping[str, str | None], parcels: Sequence[Mapping[str, str]], reference: str) -> Quote:
        """See the port."""
        request = components.ShipmentCreateRequest(
            address_from=_address(self._ship_from),
            address_to=_address(address),
            parcels=[components.ParcelCreateRequest(**parcel) for parcel in parcels],  # type: ignore[arg-type]
            metadata=reference[:REFERENCE_LENGTH],
            async_=False,
        )
        with _asking("shipments.create"):
            shipment = self._shippo.shipments.create(request)
            for _ in self._while_queued():
                if shipment.status not in PENDING_SHIPMENT:
                    break
                shipment = self._shippo.shipments.get(shipment.object_id)
            rates = [public_rate(rate) for rate in shipment.rates]
        remarks = messages(shipment.messages)
        if shipment.status in PENDING_SHIPMENT:
            raise Unavailable("The carriers take too long to quote.", {"retry_after": RETRY_AFTER})
        if shipment.status == components.ShipmentStatus.ERROR or not rates:
            remarks = remarks or ["No carrier delivers to this address."]
            raise Refused("No carrier takes this shipment: " + " ".join(remarks), {"errors": {"address": remarks}})
        return Quote(shipment.object_id, rates, remarks)

    def rates(self, shipment_id: str, currency: str) -> list[dict[str, Any]]:
        """See the port."""
        found: list[dict[str, Any]] = []
        try:
            for number in range(1, MOST_PAGES + 1):
                request = operations.ListShipmentRatesByCurrencyCodeRequest(
                    shipment_id=shipment_id, currency_code=currency, page=number, results=PAGE
                )
                with _asking("rates.list", may_miss=True):
                    page = self._shippo.rates.list_shipment_rates_by_currency_code(request)
                    found += [public_rate(rate) for rate in page.results or []]
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
        with _buying():
            transaction = self._shippo.transactions.create(request)
            if not transaction.object_id:
                raise ValueError("a transaction without an id")
        return self._settled(transaction)

    def bought(self, rate_id: str) -> Label | None:
        """See the port."""
        waiting = None
        for number in range(1, MOST_PAGES + 1):
            with _asking("transactions.list"):
                request = operations.ListTransactionsRequest(rate=rate_id, page=number, results=PAGE)
                page = self._shippo.transactions.list(request)
                # Filtered again: a list that ignored the filter must not lend this shipment another one's label.
                found = [each for each in page.results or [] if rate_id_of(each) == rate_id]
            for transaction in found:
                if transaction.status == components.TransactionStatusEnum.SUCCESS:
                    return self._settled(transaction)
                if transaction.status in PENDING:
                    waiting = transaction
            if not page.next:
                break
        try:
            return self._settled(waiting) if waiting else None
        except Refused:
            return None  # it was queued, and has failed meanwhile

    def track(self, carrier: str, tracking_number: str) -> dict[str, Any]:
        """See the port."""
        with _asking("tracks.get", may_miss=True):
            token = carrier.lower().replace(" ", "_")  # a rate says "DHL Express", tracking dhl_express
            return public_track(self._shippo.tracking_status.get(tracking_number, token))

    def _settled(self, transaction: components.Transaction) -> Label:
        """The label of a transaction, waiting while it is queued."""
        try:
            for _ in self._while_queued():
                if transaction.status not in PENDING:
                    break
                with _asking("transactions.get"):
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
        """Turns for as long as it is worth asking about what is queued; sleeps before each but the first."""
        end = time.monotonic() + bounded(QUEUED_SECONDS)
        yield
        while time.monotonic() < end:
            self._sleep(POLL_SECONDS)
            yield


class CarriersProvider(DependencyProvider):
    """Gives a service its carriers."""

    def setup(self) -> None:
        settings = Settings.from_config(self.container.config)
        self.carriers = ShippoCarriers(
            settings.shippo.key,
            settings.shippo.base,
            settings.ship_from,
            settings.provider_connect_timeout,
            settings.provider_timeout,
        )

    def get_dependency(self, worker_ctx: Any) -> ShippoCarriers:
        return self.carriers


@contextmanager
def _asking(what: str, may_miss: bool = False) -> Iterator[None]:
    """Translate the failures of a question, which costs nothing and can be asked again.

    Args:
        what: the SDK's method, for the log.
        may_miss: whether status 404 is an answer to this question (else it means that we ask in the wrong place).
    """
    try:
        yield
    except SDKError as error:
        if error.status_code == 404 and may_miss:
            raise NotFound("Shippo does not know this.") from error
        raise _answered(error, what) from error
    except requests.RequestException as error:
        log.warning("shippo does not answer", asked=what, error=type(error).__name__)
        raise Unavailable("Shippo cannot be reached.", {"retry_after": RETRY_AFTER}) from error
    except UNREADABLE as error:
        log.error("shippo answered what cannot be read", asked=what, error=type(error).__name__)
        raise ProviderFailure("Shippo answered what cannot be read.") from error


@contextmanager
def _buying() -> Iterator[None]:
    """Translate the failures of a purchase: whatever is not plainly "nothing bought" may have bought a label."""
    what = "transactions.create"
    try:
        yield
    except SDKError as error:
        if error.status_code < 400 or error.status_code >= 500:
            log.warning("shippo answered a purchase badly", status=error.status_code)
            done = error.status_code in (500, 503)  # a gateway's 502 and 504 leave the request under way behind it
            raise OutcomeUnknown("Shippo failed while buying the label.", {"answered": done}) from error
        raise _answered(error, what) from error
    except requests.RequestException as error:
        log.warning("shippo does not answer", asked=what, error=type(error).__name__)
        if _never_sent(error):
            raise Unavailable("Shippo cannot be reached.", {"retry_after": RETRY_AFTER}) from error
        raise OutcomeUnknown("Shippo did not say whether the label was bought.") from error
    except UNREADABLE as error:
        log.error("shippo answered what cannot be read", asked=what, error=type(error).__name__)
        raise OutcomeUnknown("Shippo answered the purchase with what cannot be read.") from error


def _answered(error: SDKError, what: str) -> ShopError:
    """What an answer other than success means."""
    status = error.status_code
    if status in (400, 409, 422):
        errors = _field_errors(error.body)
        said = " ".join(message for field in errors.values() for message in field)
        return Refused(said or "Shippo refuses this.", {"errors": errors})
    if status == 429 or status >= 500:
        log.warning("shippo is not well", asked=what, status=status)
        return Unavailable("Shippo is not available.", {"retry_after": _retry_after(error.raw_response)})
    # 401 and 403 say that our key is wrong; anything else is no answer to a question of ours.
    log.error("shippo refuses the shop", asked=what, status=status)
    return ProviderFailure(f"Shippo answered with status {status}.")


def _field_errors(body: str) -> dict[str, list[str]]:
    """Shippo's ``{"field": ["message"]}`` as field to messages; `address_to` under the caller's word for it."""
    try:
        given = json.loads(body)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        return {}
    return {("address" if field == "address_to" else field): list(_leaves(value)) for field, value in given.items()}


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for field, inner in value.items():
            for leaf in _leaves(inner):
                yield leaf if str(field).startswith("__") else f"{field}: {leaf}"
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield str(value)


def _retry_after(response: requests.Response) -> int:
    value = response.headers.get("Retry-After", "")
    return min(int(value), 3600) if value.isdigit() else RETRY_AFTER


def _never_sent(error: requests.RequestException) -> bool:
    """True when no connection was made, so that Shippo cannot have heard of it."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


def _address(given: Mapping[str, str | None]) -> components.AddressCreateRequest:
    return components.AddressCreateRequest(**{field: value for field, value in given.items() if value})  # type: ignore[arg-type]

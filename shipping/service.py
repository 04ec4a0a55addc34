"""The shipping service: shipping costs, labels, and parcel tracking."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from nameko.containers import WorkerContext
from nameko.extensions import DependencyProvider

from chassis.clock import now as clock_now
from chassis.crash_points import crash_point
from chassis.deadline import bounded
from chassis.injection import injected
from chassis.rpc.entrypoint import rpc
from chassis.settings import Settings
from chassis.store_provider import StoreProvider
from chassis.work.ask_once import AskOnce
from chassis.work.sweep import SWEEP_INTERVAL_S, SWEEP_TIME_S, swept
from chassis.work.tasks import FAILED, Task, listed, replayed
from chassis.work.timer import timer
from contracts.errors import InvalidRequest, NotFound, Refused, ShopError
from shipping.labels.buy import LabelDesk
from shipping.labels.refund import VoidDesk
from shipping.reconcile.audit import LabelAudit
from shipping.rules.customs import contents
from shipping.rules.parcel import pack
from shipping.rules.purchase import LabelPurchase
from shipping.rules.shipment import Address, Shipment, currency_code, currency_of, methods, page_order, public_address
from shipping.shippo.carriers import CarriersProvider
from shipping.shippo.webhooks import verified
from shipping.store.lookups import rates_key, tracking_key
from shipping.store.shipments import ShippingStore
from shipping.tracker import Tracker

POINTS = ("shipment:quote:asked", "shipment:quote:done")

# A method called `list` hides the type from the annotations of its class.
Rows = list[dict[str, Any]]

LONGEST_KEY = 255
Ids = list[str]  # defined outside the class because `list` is a method inside it


class SettingsProvider(DependencyProvider):
    """The settings of the process."""

    def setup(self) -> None:
        self.settings = Settings.from_config(self.container.config)

    def get_dependency(self, worker_ctx: WorkerContext) -> Settings:
        return self.settings


class ShippingService:
    name = "shipping"

    settings = injected(SettingsProvider())
    store = injected(StoreProvider(ShippingStore))
    carriers = injected(CarriersProvider())

    @rpc(expected_exceptions=ShopError, most=14)
    def create(
        self, key: str, order_id: str, address_to: dict[str, Any], items: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """Ask the carriers for the cost of sending items to an address. The same key returns the same shipment.

        Args:
            key: the caller's, at most 255 characters.
            order_id: the shop's order, for Shippo's records.
            address_to: ``name``, ``line1``, ``city``, ``country`` required; ``line2``, ``state``, ``postal_code``,
                ``email``, ``phone``.
            items: ``[{"quantity", "package_dimensions": {"height", "length", "width" (in), "weight" (oz)}}]``; error
                messages name an item by its ``description`` or ``parent``. The customs declaration of a parcel that
                goes abroad needs ``description``, ``price`` (of one unit, in the currency's smallest unit) and
                ``currency`` of every item; without it, carriers quote but sell no label.

        Returns:
            ``{"object_id", "methods": [{"id", "amount" (smallest unit), "currency", "description",
            "delivery_estimate"}], "selected"}``: the shipment, the shipping methods in the currency of the items (the
            shop's own if they have none), and the id of the cheapest.

        Raises:
            InvalidRequest: the address or an item is incomplete.
            Conflict: the items have more than one currency.
            Refused: no carrier knows the address, or accepts the items.
            Unavailable, ProviderFailure: Shippo cannot answer; repeating is safe.
        """
        _require_text(key=key)
        shipment = self.store.by_key(key)
        if shipment is None:
            address = Address.parse(address_to).for_carrier()
            parcels = [parcel.public() for parcel in pack(items)]
            declared = contents(items)
            currency = currency_of(items, self.settings.currency)
            quote = self.carriers.quote(address, parcels, declared, str(order_id or ""), currency)
            crash_point("shipment:quote:asked")
            ways = methods(quote.rates, currency, datetime.now(UTC).date())
            if not ways:
                raise Refused(f"No carrier quotes a price in {currency.upper()}.")
            shipment = self.store.add(
                Shipment(
                    object_id=quote.shipment_id,
                    key=key,
                    order_id=str(order_id or ""),
                    created=clock_now(),
                    address=address,
                    parcels=parcels,
                    contents=declared,
                    rates=quote.rates,
                    methods=ways,
                )
            )
            crash_point("shipment:quote:done")
        return shipment.offer()

    @rpc(expected_exceptions=ShopError)
    def list(self, order_by: str | None = None, limit: int = 100, starting_after: str | None = None) -> dict[str, Any]:
        """Return a page of the shipments, the newest first.

        Args:
            order_by: created, object_id, name, city, state or country; a leading "-" reverses. None: -created.
            limit: 1 to 100.
            starting_after: `next_cursor` of the previous page, or the id of its last shipment.

        Returns:
            ``{"data": [{"object_id", "address_to": {...}}], "has_more", "next_cursor"}``

        Raises:
            InvalidRequest: an argument is invalid.
        """
        field, backwards, limit = page_order(order_by, limit)
        page, following = self.store.page(field, backwards, limit, starting_after)
        data = [{"object_id": each.object_id, "address_to": public_address(each.address)} for each in page]
        return {"data": data, "has_more": following is not None, "next_cursor": following}

    @rpc(expected_exceptions=ShopError, most=14)
    def rates(self, shipment_id: str, currency: str) -> dict[str, Any]:
        """Return a shipment's rates in a currency, at most one minute old.

        Returns:
            ``{"object_id", "rate_items": [...]}``, each with all of Shippo's fields, nulls included.

        Raises:
            NotFound: no such shipment.
            InvalidRequest: no such currency.
        """
        code, shipment = currency_code(currency), self._shipment(shipment_id).object_id
        ask = partial(self.carriers.rates, shipment, code)
        return {"object_id": shipment, "rate_items": self.store.lookups.answer(rates_key(shipment, code), ask)}

    @rpc(expected_exceptions=ShopError, most=14)
    def buy_label(self, shipment_id: str, rate_id: str, key: str) -> dict[str, Any]:
        """Buy a shipment's label, once; a second call returns the same label.

        Args:
            shipment_id, rate_id: what was chosen at checkout.
            key: the caller's, for the record.

        Returns:
            ``{"object_id", "label_url", "carrier", "tracking_number"}``, the shipment's id first.

        Raises:
            NotFound: no such shipment, or not its rate.
            Conflict: its label was bought at another rate, or was refunded (fact ``voided``).
            Refused: the carrier rejects it.
            OutcomeUnknown, Unavailable: not known, or not possible, right now; repeating is safe.
        """
        _require_text(key=key)
        return self._desk().buy(self._shipment(shipment_id), rate_id, key)

    @rpc(expected_exceptions=ShopError, most=6)
    def refund_label(self, shipment_id: str, key: str) -> dict[str, Any]:
        """Refund a shipment's label, once; from then on none is bought for it. A second call returns the current
        status.

        Args:
            shipment_id: the shipment of the label.
            key: the caller's, at most 255 characters.

        Returns:
            ``{"object_id", "status"}``: "refunded", "pending" (the carrier has not decided yet; ask again), "used" (the
            parcel has moved, or the carrier keeps the money: the label stays), or "none" (there is no label).

        Raises:
            NotFound: no such shipment.
            OutcomeUnknown, Unavailable, ProviderFailure: not known, or not possible, right now; repeating is safe.
        """
        _require_text(key=key)
        return self._voids().give_back(self._shipment(shipment_id).object_id)

    @rpc(expected_exceptions=ShopError)
    def label(self, shipment_id: str) -> dict[str, Any]:
        """Return a shipment's label: ``{"object_id", "label_url"}``.

        Raises:
            NotFound: no such shipment.
            Conflict: it has no label yet.
        """
        label = self._label(shipment_id)
        return {"object_id": label["object_id"], "label_url": label["label_url"]}

    @rpc(expected_exceptions=ShopError, most=14)
    def tracking(self, shipment_id: str) -> dict[str, Any]:
        """Return where a shipment is: ``{"object_id", "carrier", "tracking_number", "tracking_status",
        "tracking_history"}``.

        A number unknown to the carrier has a null status and an empty history. Shippo is asked at most once a minute,
        and after each event with news of the parcel.

        Raises:
            NotFound: no such shipment.
            Conflict: it has no label yet.
        """
        label = self._label(shipment_id)
        where: dict[str, Any] = {"tracking_status": None, "tracking_history": []}
        if label["tracking_number"]:
            where = self.store.lookups.answer(tracking_key(label["tracking_number"]), partial(self._track, label))
        return {
            "object_id": label["object_id"],
            "carrier": label["carrier"],
            "tracking_number": label["tracking_number"],
            **where,
        }

    @rpc(expected_exceptions=ShopError)
    def movements(self, after: int = 0, limit: int = 100) -> Rows:
        """Return the steps of the parcels after a sequence number: a complete feed that ends with the latest step.

        Args:
            after: the ``seq`` of the last step that the caller knows; 0 for all.
            limit: 1 to 1000.

        Returns:
            ``[{"seq", "shipment_id", "tracking_number", "status", "at"}]`` by ``seq``, which only grows; ``status`` is
            UNKNOWN, PRE_TRANSIT, TRANSIT, DELIVERED, RETURNED or FAILURE; ``at`` is the carrier's time, Unix seconds.
        """
        _require_number("after", after, 0, 2**62)
        _require_number("limit", limit, 1, 1000)
        return self.store.moves.after(after, limit)

    @rpc(expected_exceptions=ShopError)
    def moved(self, after: int = 0, limit: int = 100) -> Rows:
        """As `movements`, for carts of the previous release during a rolling upgrade."""
        return self.movements(after, limit)

    @rpc(expected_exceptions=ShopError)
    def shippo_event(self, raw: str, signature: str) -> dict[str, Any]:
        """Accept an event from Shippo.

        Args:
            raw: the body, each byte a character (latin-1).
            signature: the header ``Shippo-Auth-Signature``.

        Returns:
            ``{"received": True, "duplicate"}`` once it is stored.

        Raises:
            InvalidRequest: it is not from Shippo, too old, or no event.
            Unavailable: it cannot be stored; Shippo must send it again.
        """
        event = verified(raw, signature, self.settings.shippo_webhook_secret, time.time())
        return self._tracker().keep(event.event_id, event.kind, event.data)

    @rpc(expected_exceptions=ShopError)
    def tasks(self, state: str = FAILED, limit: int = 100) -> Rows:
        """Shippo's events in a state (``failed``, ``waiting``, ``done``), oldest first.

        Raises InvalidRequest for any other state, or a limit outside of 1 to 1000.
        """
        return listed([self.store.inbox.tasks], state, limit)

    @rpc(expected_exceptions=ShopError)
    def replay(self, key: str) -> Task:
        """Retry an event whose handling was given up; returns it as it then is. Raises NotFound when there is none."""
        return replayed([self.store.inbox.tasks], key).rows(key=key)[0]

    @rpc(expected_exceptions=ShopError, most=2)
    def audit(
        self, part: str, cursor: str | None = None, since: float = 0.0, until: float = 9e12, ids: Ids | None = None
    ) -> dict[str, Any]:
        """Compare one page of our labels with Shippo's; see `LabelAudit.page`."""
        return LabelAudit(self.store, self.carriers.lists).page(part, cursor, since, until, ids)

    @rpc(expected_exceptions=ShopError)
    def shipments_with_label(self, shipment_ids: Ids) -> Ids:
        """Return the shipments that have a label which was not refunded (or whose refund the carrier rejected)."""
        return LabelAudit(self.store, self.carriers.lists).shipments_with_label(shipment_ids)

    @rpc(expected_exceptions=ShopError)
    def labelled(self, shipment_ids: Ids) -> Ids:
        """As `shipments_with_label`, for carts of the previous release during a rolling upgrade."""
        return self.shipments_with_label(shipment_ids)

    @rpc(expected_exceptions=ShopError)
    def unreturned(self, shipment_ids: Ids) -> Ids:
        """Return the shipments that have a label without a refund request."""
        return LabelAudit(self.store, self.carriers.lists).unreturned(shipment_ids)

    @rpc(expected_exceptions=ShopError, most=2)
    def mend(self, fix: dict[str, Any]) -> str:
        """Repair a difference that `audit` found, as it proposed; see `LabelAudit.mend`."""
        return LabelAudit(self.store, self.carriers.lists).mend(fix)

    @rpc(expected_exceptions=ShopError)
    def health(self) -> dict[str, str]:
        """Whether the service can work: ``{"status", "database"}``. Raises Unavailable when not."""
        self.store.ping()
        return {"status": "ok", "database": "ok"}

    @timer(interval=SWEEP_INTERVAL_S)
    def handle_events(self) -> None:
        """Handle the waiting events."""
        swept(lambda: self._tracker().handle_due(time.monotonic() + SWEEP_TIME_S))

    @timer(interval=SWEEP_INTERVAL_S)
    def poll_parcels(self) -> None:
        """Ask about parcels without news for a long time, because Shippo's events may be lost."""
        swept(lambda: self._tracker().poll(self.settings.tracking_poll))

    @timer(interval=3600)
    def forget_events(self) -> None:
        """Delete records that exist only to detect repetitions, once they have expired."""
        swept(lambda: self._tracker().forget())
        swept(self.store.lookups.forget)

    def _track(self, label: dict[str, Any]) -> dict[str, Any]:
        where: dict[str, Any] = {"tracking_status": None, "tracking_history": []}
        with suppress(NotFound):  # the carrier learns of a label some time after its purchase
            where = self.carriers.track(label["carrier"], label["tracking_number"])
            self._tracker().record_status(label["tracking_number"], where, outdate=False)
        return where

    def _desk(self) -> LabelDesk:
        return LabelDesk(self.store, self.carriers, AskOnce(bounded))

    def _voids(self) -> VoidDesk:
        return VoidDesk(self._desk(), self.store, self.carriers)

    def _tracker(self) -> Tracker:
        return Tracker(self.store, self.carriers, self._voids())

    def _shipment(self, shipment_id: str) -> Shipment:
        shipment: Shipment | None = self.store.get(shipment_id)
        if shipment is None:
            raise NotFound(f"There is no shipment {shipment_id}.")
        return shipment

    def _label(self, shipment_id: str) -> dict[str, Any]:
        shipment = self._shipment(shipment_id)
        purchase: LabelPurchase | None = self.store.purchase(shipment.object_id)
        if purchase is None:
            raise LabelPurchase.missing(shipment_id)
        return purchase.public()


def _require_text(**given: Any) -> None:
    for field, value in given.items():
        if not isinstance(value, str) or not 0 < len(value) <= LONGEST_KEY:
            errors = {field: [f"must be a text of 1 to {LONGEST_KEY} characters"]}
            raise InvalidRequest(f"The {field} makes no sense.", {"errors": errors})


def _require_number(field: str, value: Any, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        errors = {field: [f"must be a whole number from {least} to {most}"]}
        raise InvalidRequest(f"The {field} makes no sense.", {"errors": errors})

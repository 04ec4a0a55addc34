"""The shipping service: shipping costs, labels, and parcel tracking."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

from chassis import webhook_service
from chassis.clock import now as clock_now
from chassis.crash_points import crash_point
from chassis.injection import injected
from chassis.rpc.entrypoint import rpc
from chassis.store_provider import StoreProvider
from chassis.work.sweep import SWEEP_INTERVAL_S, swept
from chassis.work.timer import timer
from contracts.errors import InvalidRequest, NotFound, Refused, ShopError
from shipping.bootstrap import Shipping
from shipping.composite import answers
from shipping.rules.customs import check_filing, contents
from shipping.rules.parcel import pack
from shipping.rules.purchase import LabelPurchase
from shipping.rules.shipment import Address, Shipment, currency_code, currency_of, methods, page_order, public_address
from shipping.store.lookups import rates_key, tracking_key

POINTS = ("shipment:quote:asked", "shipment:quote:done")

# A method called `list` hides the type from the annotations of its class.
Rows = list[dict[str, Any]]

LONGEST_KEY = 255
Ids = list[str]  # defined outside the class because `list` is a method inside it


class ShippingService(webhook_service.WebhookService):
    name = "shipping"

    shop = injected(StoreProvider(Shipping, wired=True))

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
            Refused: no carrier knows the address, or accepts the items, or their export must be filed first.
            Unavailable, ProviderFailure: Shippo cannot answer; repeating is safe.
        """
        _require_text(key=key)
        shipment = self.shop.store.by_key(key)
        if shipment is None:
            address = Address.parse(address_to).for_carrier()
            parcels = [parcel.public() for parcel in pack(items)]
            declared = contents(items)
            currency = currency_of(items, self.shop.settings.currency)
            origin = self.shop.settings.ship_from
            check_filing(address, origin, declared)
            quote = self.shop.carriers.quote(address, parcels, declared, str(order_id or ""), currency)
            check_filing(address, origin, declared, quote.rates)
            crash_point("shipment:quote:asked")
            ways = methods(quote.rates, currency, datetime.now(UTC).date())
            if not ways:
                raise Refused(f"No carrier quotes a price in {currency.upper()}.")
            shipment = self.shop.store.add(
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
        page, following = self.shop.store.page(field, backwards, limit, starting_after)
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
        code, shipment = currency_code(currency), self._shipment(shipment_id)

        def ask() -> Rows:
            found = answers([partial(self.shop.carriers.rates, each, code) for each in shipment.at_carriers()])
            return [rate for rates in found for rate in rates]

        key = rates_key(shipment.object_id, code)
        return {"object_id": shipment.object_id, "rate_items": self.shop.store.lookups.answer(key, ask)}

    @rpc(expected_exceptions=ShopError, most=14)
    def buy_label(self, shipment_id: str, rate_id: str, key: str) -> dict[str, Any]:
        """Buy a shipment's label, once; a second call returns the same label.

        Args:
            shipment_id, rate_id: what was chosen at checkout.
            key: the caller's, for the record.

        Returns:
            ``{"object_id", "label_url", "tracking_number", "carrier", "labels": [{"label_url", "tracking_number"}]}``,
            the shipment's id first.

        Raises:
            NotFound: no such shipment, or not its rate.
            Conflict: its label was bought at another rate, or was refunded (fact ``voided``).
            Refused: the carrier rejects it.
            OutcomeUnknown, Unavailable: not known, or not possible, right now; repeating is safe.
        """
        _require_text(key=key)
        return self.shop.labels.buy(self._shipment(shipment_id), rate_id, key)

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
        return self.shop.refunds.give_back(self._shipment(shipment_id).object_id)

    @rpc(expected_exceptions=ShopError)
    def label(self, shipment_id: str) -> dict[str, Any]:
        """Return a shipment's label: ``{"object_id", "label_url", "labels"}``.

        Raises:
            NotFound: no such shipment.
            Conflict: it has no label yet.
        """
        label, _ = self._label(shipment_id)
        return {name: label[name] for name in ("object_id", "label_url", "labels")}

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
        label, transaction_id = self._label(shipment_id)
        carrier, number = label["carrier"], label["tracking_number"]
        where: dict[str, Any] = {"tracking_status": None, "tracking_history": []}
        if number:
            ask = partial(self.shop.tracker.ask, carrier, number, transaction_id, outdate=False)
            where = self.shop.store.lookups.answer(tracking_key(number), ask)
        return {"object_id": label["object_id"], "carrier": carrier, "tracking_number": number, **where}

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
        return self.shop.store.moves.after(after, limit)

    @rpc(expected_exceptions=ShopError)
    def moved(self, after: int = 0, limit: int = 100) -> Rows:
        """As `movements`, for carts of the previous release during a rolling upgrade."""
        return self.movements(after, limit)

    @rpc(expected_exceptions=ShopError)
    def shippo_event(self, raw: str, signature: str) -> dict[str, Any]:
        """As `webhook`, for gateways of the previous release during a rolling upgrade."""
        return self.webhook("shippo", raw, {"Shippo-Auth-Signature": signature})

    @rpc(expected_exceptions=ShopError)
    def shipments_with_label(self, shipment_ids: Ids) -> Ids:
        """Return the shipments that have a label which was not refunded (or whose refund the carrier rejected)."""
        return self.shop.audit.shipments_with_label(shipment_ids)

    @rpc(expected_exceptions=ShopError)
    def labelled(self, shipment_ids: Ids) -> Ids:
        """As `shipments_with_label`, for carts of the previous release during a rolling upgrade."""
        return self.shipments_with_label(shipment_ids)

    @rpc(expected_exceptions=ShopError)
    def unreturned(self, shipment_ids: Ids) -> Ids:
        """Return the shipments that have a label without a refund request."""
        return self.shop.audit.unreturned(shipment_ids)

    @timer(interval=SWEEP_INTERVAL_S)
    def poll_parcels(self) -> None:
        """Ask about parcels without news for a long time, because Shippo's events may be lost."""
        swept(lambda: self.shop.tracker.poll(self.shop.settings.tracking_poll))

    def _shipment(self, shipment_id: str) -> Shipment:
        shipment = self.shop.store.get(shipment_id)
        if shipment is None:
            raise NotFound(f"There is no shipment {shipment_id}.")
        return shipment

    def _label(self, shipment_id: str) -> tuple[dict[str, Any], str]:
        """Return a shipment's label as other services see it, and its transaction."""
        purchase = self.shop.store.purchase(self._shipment(shipment_id).object_id)
        if purchase is None or (purchase.label is None and not purchase.closed):
            raise LabelPurchase.missing(shipment_id)
        return purchase.public(), purchase.label.transaction_id if purchase.label else ""


def _require_text(**given: Any) -> None:
    for field, value in given.items():
        if not isinstance(value, str) or not 0 < len(value) <= LONGEST_KEY:
            errors = {field: [f"must be a text of 1 to {LONGEST_KEY} characters"]}
            raise InvalidRequest(f"The {field} makes no sense.", {"errors": errors})


def _require_number(field: str, value: Any, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        errors = {field: [f"must be a whole number from {least} to {most}"]}
        raise InvalidRequest(f"The {field} makes no sense.", {"errors": errors})

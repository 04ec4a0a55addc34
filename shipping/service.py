"""The shipping service: what a parcel costs, its label, and where it is."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from nameko.dependency_providers import Config

from chassis.database import StoreProvider
from chassis.deadline import bounded
from chassis.entrypoint import rpc
from contracts.errors import InvalidRequest, NotFound, Refused, ShopError
from shipping.customs import contents
from shipping.label import LabelDesk, Purchase
from shipping.parcel import pack
from shipping.shipment import Address, Shipment, currency_code, methods, page_order, public_address
from shipping.shippo_carriers import CarriersProvider
from shipping.store import ShippingStore

LONGEST_KEY = 255


class ShippingService:
    name = "shipping"

    config = Config()
    store = StoreProvider(ShippingStore)
    carriers = CarriersProvider()

    @rpc(expected_exceptions=ShopError)
    def create(
        self, key: str, order_id: str, address_to: dict[str, Any], items: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """Ask the carriers what it costs to send items to an address. The same key answers the same shipment.

        Args:
            key: the caller's, at most 255 characters.
            order_id: the shop's order, for Shippo's records.
            address_to: ``name``, ``line1``, ``city``, ``country`` required; ``line2``, ``state``, ``postal_code``,
                ``email``, ``phone``.
            items: ``[{"quantity", "package_dimensions": {"height", "length", "width" (in), "weight" (oz)}}]``;
                ``description`` or ``parent`` name one in a refusal; ``description``, ``price`` (of a unit, in its
                smallest unit) and ``currency`` of every one make the customs declaration of a parcel that goes abroad,
                without which carriers quote but sell no label.

        Returns:
            ``{"object_id", "methods": [{"id", "amount" (cents), "currency", "description", "delivery_estimate"}],
            "selected"}``: the shipment, the ways to send it, the id of the cheapest.

        Raises:
            InvalidRequest: the address or an item is incomplete.
            Refused: no carrier knows the address, or takes the items.
            Unavailable, ProviderFailure: Shippo cannot say; repeating is safe.
        """
        _require_text(key=key)
        shipment = self.store.by_key(key)
        if shipment is None:
            address = Address.parse(address_to).for_carrier()
            parcels = [parcel.public() for parcel in pack(items)]
            declared = contents(items)
            quote = self.carriers.quote(address, parcels, declared, str(order_id or ""))
            ways = methods(quote.rates, self.config["CURRENCY"], datetime.now(timezone.utc).date())
            if not ways:
                raise Refused("No carrier quotes in the shop's currency.", {"errors": {"address": quote.messages}})
            shipment = self.store.add(
                Shipment(
                    object_id=quote.shipment_id,
                    key=key,
                    order_id=str(order_id or ""),
                    created=time.time(),
                    address=address,
                    parcels=parcels,
                    contents=declared,
                    rates=quote.rates,
                    methods=ways,
                )
            )
        return shipment.offer()

    @rpc(expected_exceptions=ShopError)
    def list(self, order_by: str | None = None, limit: int = 100, starting_after: str | None = None) -> dict[str, Any]:
        """A page of the shipments, the newest first.

        Args:
            order_by: created, object_id, name, city, state or country; a leading "-" reverses. None: -created.
            limit: 1 to 100.
            starting_after: the id of the last shipment of the page before.

        Returns:
            ``{"data": [{"object_id", "address_to": {...}}], "has_more"}``

        Raises:
            InvalidRequest: any of the arguments makes no sense.
        """
        field, backwards, limit = page_order(order_by, limit)
        page, has_more = self.store.page(field, backwards, limit, starting_after)
        data = [{"object_id": each.object_id, "address_to": public_address(each.address)} for each in page]
        return {"data": data, "has_more": has_more}

    @rpc(expected_exceptions=ShopError)
    def rates(self, shipment_id: str, currency: str) -> dict[str, Any]:
        """A shipment's rates in a currency, as Shippo gives them now.

        Returns:
            ``{"object_id", "rate_items": [...]}``, each with every field of Shippo's, nulls included.

        Raises:
            NotFound: no such shipment.
            InvalidRequest: no such currency.
        """
        code = currency_code(currency)
        return {
            "object_id": self._shipment(shipment_id).object_id,
            "rate_items": self.carriers.rates(shipment_id, code),
        }

    @rpc(expected_exceptions=ShopError)
    def buy_label(self, shipment_id: str, rate_id: str, key: str) -> dict[str, Any]:
        """Buy a shipment's label, once; a second call answers the same label.

        Args:
            shipment_id, rate_id: what was chosen at checkout.
            key: the caller's, for the record.

        Returns:
            ``{"object_id", "label_url", "carrier", "tracking_number"}``, the shipment's id first.

        Raises:
            NotFound: no such shipment, or not its rate.
            Conflict: its label is bought at another rate.
            Refused: the carrier will not have it.
            OutcomeUnknown, Unavailable: not known, or not possible, right now; repeating is safe.
        """
        _require_text(key=key)
        desk = LabelDesk(self.store, self.carriers, bounded)
        return desk.buy(self._shipment(shipment_id), rate_id, key)

    @rpc(expected_exceptions=ShopError)
    def label(self, shipment_id: str) -> dict[str, Any]:
        """A shipment's label: ``{"object_id", "label_url"}``.

        Raises:
            NotFound: no such shipment.
            Conflict: it has no label yet.
        """
        label = self._label(shipment_id)
        return {"object_id": label["object_id"], "label_url": label["label_url"]}

    @rpc(expected_exceptions=ShopError)
    def tracking(self, shipment_id: str) -> dict[str, Any]:
        """Where a shipment is: ``{"object_id", "carrier", "tracking_number", "tracking_status", "tracking_history"}``.

        A number that the carrier does not know yet has a null status and an empty history.

        Raises:
            NotFound: no such shipment.
            Conflict: it has no label yet.
        """
        label = self._label(shipment_id)
        where: dict[str, Any] = {"tracking_status": None, "tracking_history": []}
        if label["tracking_number"]:
            with suppress(NotFound):  # the carrier hears of a label some time after it was bought
                where = self.carriers.track(label["carrier"], label["tracking_number"])
        return {
            "object_id": label["object_id"],
            "carrier": label["carrier"],
            "tracking_number": label["tracking_number"],
            **where,
        }

    @rpc(expected_exceptions=ShopError)
    def health(self) -> dict[str, str]:
        """Whether the service can work: ``{"status", "database"}``. Raises Unavailable when not."""
        self.store.ping()
        return {"status": "ok", "database": "ok"}

    def _shipment(self, shipment_id: str) -> Shipment:
        shipment: Shipment | None = self.store.get(shipment_id)
        if shipment is None:
            raise NotFound(f"There is no shipment {shipment_id}.")
        return shipment

    def _label(self, shipment_id: str) -> dict[str, Any]:
        shipment = self._shipment(shipment_id)
        purchase: Purchase | None = self.store.purchase(shipment.object_id)
        if purchase is None:
            raise Purchase.missing(shipment_id)
        return purchase.public()


def _require_text(**given: Any) -> None:
    for field, value in given.items():
        if not isinstance(value, str) or not 0 < len(value) <= LONGEST_KEY:
            errors = {field: [f"must be a text of 1 to {LONGEST_KEY} characters"]}
            raise InvalidRequest(f"The {field} makes no sense.", {"errors": errors})

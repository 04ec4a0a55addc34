"""The shipping service: shipping costs, labels, and parcel tracking."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

from chassis import webhook_service
from chassis.crash_points import crash_point
from chassis.injection import injected
from chassis.logs import log
from chassis.rpc.entrypoint import rpc
from chassis.store_provider import StoreProvider
from chassis.work.sweep import SWEEP_INTERVAL_S, swept
from chassis.work.timer import timer
from contracts.errors import InvalidRequest, NotFound, ProviderFailure, ShopError, require_number
from shipping.bootstrap import Shipping
from shipping.composite import answers
from shipping.labels.costs import READ_INTERVAL_S
from shipping.rules.purchase import public
from shipping.rules.shipment import Address, Shipment, currency_code, currency_of, page_order, public_address, summed
from shipping.rules.terms import Terms
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
                ``email``, ``phone``; ``keep``: true if the carrier's corrections of it do not matter.
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
            Refused: no carrier knows the address, or accepts the items, or their export must be filed first; or the
                carrier corrects the address (fact ``suggestion``: the whole one).
            Unavailable, ProviderFailure: Shippo cannot answer; repeating is safe.
        """
        _require_text(key=key)
        shipment = self.shop.store.by_key(key)
        if shipment is None:
            address = Address.parse(address_to).for_carrier()
            currency = currency_of(items, self.shop.settings.currency)
            keep = address_to.get("keep") is True
            parts = self.shop.quotes.shipments(key, str(order_id or ""), address, items, currency, keep)
            crash_point("shipment:quote:asked")
            shipment = self.shop.store.add(*parts)
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
        """Return a shipment's rates in a currency, for all its parcels, at most one minute old.

        Returns:
            ``{"object_id", "rate_items": [...]}``, each with all of Shippo's fields, nulls included.

        Raises:
            NotFound: no such shipment.
            InvalidRequest: no such currency.
        """
        code, shipment = currency_code(currency), self._shipment(shipment_id)
        parts = self.shop.store.parts(shipment)
        counts = Counter(part.kind for part in parts)

        def of_one(part: Shipment) -> Rows:
            found = answers([partial(self.shop.carriers.rates, each, code) for each in part.at_carriers()])
            return [rate for rates in found for rate in rates]

        def ask() -> Rows:
            return summed([(counts[part.kind], of_one(part)) for part in parts if part.twin_of is None])

        key = rates_key(shipment.object_id, code)
        return {"object_id": shipment.object_id, "rate_items": self.shop.store.lookups.answer(key, ask)}

    @rpc(expected_exceptions=ShopError, most=14)
    def buy_label(
        self, shipment_id: str, rate_id: str, key: str, most: int | None = None, service: str | None = None
    ) -> dict[str, Any]:
        """Buy a shipment's labels, one per parcel, each once; a second call returns the same labels.

        A rate that is too old, or that the carrier refuses, is quoted again. The same service is then bought at the
        same or a lower price.

        Args:
            shipment_id, rate_id: what was chosen at checkout.
            key: the caller's, for the record.
            most: an operator's limit for all labels together, in the smallest unit of the carrier's currency; None: no
                label may cost more than was quoted.
            service: the token of another service, which an operator has chosen; only with `most`.

        Returns:
            ``{"object_id", "label_url", "tracking_number", "carrier", "parcels", "labels": [{"label_url",
            "tracking_number"}]}``, the shipment's id first; ``labels`` has one per parcel, and ``parcels`` is how many
            there are; the others are of the first.

        Raises:
            NotFound: no such shipment, or not its rate.
            Conflict: its label was bought at another rate, or was refunded (fact ``voided``).
            Refused: the carrier rejects it, or asks more by now (fact ``permanent``).
            OutcomeUnknown, Unavailable: not known, or not possible, right now; repeating is safe.
        """
        _require_text(key=key)
        if most is not None:
            require_number("most", most, 0, 2**40)
        if service is not None:
            _require_text(service=service)
        terms = Terms(most, service if most is not None else None)
        return self.shop.labels.buy(self._shipment(shipment_id), rate_id, key, terms)

    @rpc(expected_exceptions=ShopError, most=6)
    def requote(self, shipment_id: str) -> dict[str, Any]:
        """Ask the carriers, for an operator, what the labels cost that a shipment still lacks. Nothing is bought.

        Returns:
            ``{"object_id", "parcels", "bought", "spent", "refusals", "offers": [{"service", "description", "carrier",
            "amount", "currency", "quoted"}]}``: how many parcels there are, how many labels are bought for how much,
            why rates were refused, and the services now; ``quoted`` is the amount of the checkout, or None. Amounts are
            in the smallest unit.

        Raises:
            NotFound: no such shipment.
            Refused: no carrier takes the parcels any more.
            Unavailable, ProviderFailure: the carriers cannot answer; repeating is safe.
        """
        return self.shop.labels.offers(self._shipment(shipment_id))

    @rpc(expected_exceptions=ShopError, most=6)
    def refund_label(self, shipment_id: str, key: str) -> dict[str, Any]:
        """Refund the labels of all parcels of a shipment, once; from then on none is bought for it. A second call
        returns the current status.

        Args:
            shipment_id: the shipment of the label.
            key: the caller's, at most 255 characters.

        Returns:
            ``{"object_id", "status", "labels": [{"tracking_number", "status"}]}``: "refunded", "pending" (the carrier
            has not decided yet; ask again), "used" (the parcel has moved, or the carrier keeps the money: the label
            stays), or "none" (there is no label). Of several labels, one that was used decides about the first
            ``status``, then one that is pending; ``labels`` has that of each.

        Raises:
            NotFound: no such shipment.
            OutcomeUnknown, Unavailable, ProviderFailure: not known, or not possible, right now; repeating is safe.
        """
        _require_text(key=key)
        return self.shop.refunds.give_back_all(self._shipment(shipment_id))

    @rpc(expected_exceptions=ShopError)
    def label(self, shipment_id: str) -> dict[str, Any]:
        """Return a shipment's labels: ``{"object_id", "label_url", "labels"}``.

        Raises:
            NotFound: no such shipment.
            Conflict: one is not bought yet, or they were given back.
        """
        shipment = self._shipment(shipment_id)
        label = public(shipment.object_id, self.shop.store.purchases(self.shop.store.parts(shipment)))
        return {name: label[name] for name in ("object_id", "label_url", "labels")}

    @rpc(expected_exceptions=ShopError, most=6)
    def find_label(self, shipment_id: str) -> dict[str, Any]:
        """Return what `buy_label` returned, or would have, without buying anything: the carrier is asked about a
        purchase that was interrupted.

        Raises:
            NotFound: no such shipment.
            Conflict: one is not bought, or they were given back.
            OutcomeUnknown: it is not known yet whether one was bought.
            Unavailable, ProviderFailure: the carrier cannot be asked, or one is being bought right now.
        """
        return self.shop.labels.found(self._shipment(shipment_id))

    @rpc(expected_exceptions=ShopError, most=14)
    def tracking(self, shipment_id: str) -> dict[str, Any]:
        """Return where a shipment is: ``{"object_id", "carrier", "tracking_number", "tracking_status",
        "tracking_history"}``, and of several parcels ``"parcels": [{"tracking_number", "status"}]``.

        All but ``parcels`` is about the first parcel. A number unknown to the carrier has a null status and an empty
        history. Shippo is asked at most once a minute, and after each event with news of the parcel. The status of the
        further parcels is that of the latest event or poll.

        Raises:
            NotFound: no such shipment.
            Conflict: a label is not bought yet, or they were given back.
        """
        shipment = self._shipment(shipment_id)
        parts = self.shop.store.parts(shipment)
        purchases = self.shop.store.purchases(parts)
        label = public(shipment.object_id, purchases)
        carrier, number = label["carrier"], label["tracking_number"]
        where: dict[str, Any] = {"tracking_status": None, "tracking_history": []}
        if number:
            bought = [each.label for each in purchases if each is not None and each.label is not None]
            transaction_id = next(each.transaction_id for each in bought if each.tracking_number == number)
            ask = partial(self.shop.tracker.ask, carrier, number, transaction_id, outdate=False)
            where = self.shop.store.lookups.answer(tracking_key(number), ask)
        answer = {"object_id": label["object_id"], "carrier": carrier, "tracking_number": number, **where}
        if len(parts) > 1:
            known = {
                each.label.tracking_number: each.tracking_status
                for each in self.shop.store.purchases(parts)
                if each is not None and each.label is not None
            }
            numbers = [each["tracking_number"] for each in label["labels"]]
            answer["parcels"] = [{"tracking_number": each, "status": known.get(each)} for each in numbers]
        return answer

    @rpc(expected_exceptions=ShopError)
    def movements(self, after: int = 0, limit: int = 100) -> Rows:
        """Return the steps of the parcels after a sequence number: a complete feed that ends with the latest step.

        Args:
            after: the ``seq`` of the last step that the caller knows; 0 for all.
            limit: 1 to 1000.

        Returns:
            ``[{"seq", "shipment_id", "tracking_number", "status", "at", "whole"}]`` by ``seq``, which only grows;
            ``status`` is UNKNOWN, PRE_TRANSIT, TRANSIT, DELIVERED, RETURNED or FAILURE; ``at`` is the carrier's time,
            Unix seconds; ``whole`` is whether the carrier has, or had, every parcel of the shipment by now.
        """
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

    @rpc(expected_exceptions=ShopError)
    def costs(self, shipment_id: str) -> dict[str, Any]:
        """Return, for an operator, what the labels of a shipment cost.

        Returns:
            ``{"object_id", "price", "cost", "currency", "items": [{"kind", "amount", "currency", "created"}]}``:
            the price of the rates, what was charged in the end, and the items of the carrier's invoices, oldest first.
            Amounts are in the smallest unit; ``created`` is in Unix seconds.

        Raises:
            NotFound: no such shipment.
        """
        return self.shop.costs.of(self._shipment(shipment_id))

    @rpc(expected_exceptions=ShopError)
    def surcharges(self, limit: int = 100) -> Rows:
        """Return, for an operator, what carriers charged or gave back after the purchase of labels, newest first.

        Args:
            limit: 1 to 1000.

        Returns:
            ``[{"order_id", "shipment_id", "tracking_number", "price", "kind", "amount", "currency", "at"}]``: ``price``
            is that of the label's rate; amounts are in the smallest unit, ``at`` is in Unix seconds.
        """
        require_number("limit", limit, 1, 1000)
        return self.shop.store.charges.later(limit)

    @rpc(expected_exceptions=ShopError, most=2)
    def read_charges(self) -> dict[str, Any]:
        """Read the carriers' invoices now; returns ``{"read": true}``. Raises Unavailable, ProviderFailure."""
        self.shop.costs.read()
        return {"read": True}

    @timer(interval=READ_INTERVAL_S, eager=True)
    def read_invoices(self) -> None:
        """Record what carriers charge after the purchase of labels; they send no events about it."""

        def read() -> None:
            try:
                self.shop.costs.read_in_turn()
            except ProviderFailure as error:
                log.warning("invoices not read", error=str(error))

        swept(read)

    @timer(interval=SWEEP_INTERVAL_S)
    def poll_parcels(self) -> None:
        """Ask about parcels without news for a long time, because Shippo's events may be lost."""
        swept(lambda: self.shop.tracker.poll(self.shop.settings.tracking_poll))

    def _shipment(self, shipment_id: str) -> Shipment:
        shipment = self.shop.store.get(shipment_id)
        if shipment is None:
            raise NotFound(f"There is no shipment {shipment_id}.")
        return shipment


def _require_text(**given: Any) -> None:
    for field, value in given.items():
        if not isinstance(value, str) or not 0 < len(value) <= LONGEST_KEY:
            errors = {field: [f"must be a text of 1 to {LONGEST_KEY} characters"]}
            raise InvalidRequest(f"The {field} makes no sense.", {"errors": errors})

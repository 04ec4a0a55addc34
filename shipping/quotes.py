"""Quoting a shipment: every parcel on its own, so that each has a label, whether or not its carrier has multi-piece
shipments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from chassis.clock import now as clock_now
from contracts.errors import Refused
from shipping.composite import all_answers
from shipping.rules.carriers import Carriers, Quote
from shipping.rules.customs import UNITED_STATES, check_filing, contents
from shipping.rules.parcel import packed
from shipping.rules.shipment import Shipment, check_correction, methods, summed

# How many different parcels one shipment may have: each is one request to the carriers, all at the same time.
MAX_KINDS = 20


class QuoteDesk:
    """Asks the carriers for the price of a shipment.

    Args:
        carriers: the port to them.
        origin: the shop's address, in the carriers' terms.
        clock: Unix seconds.
    """

    def __init__(self, carriers: Carriers, origin: Mapping[str, str], clock: Callable[[], float] = clock_now) -> None:
        self._carriers = carriers
        self._origin = origin
        self._clock = clock

    def shipments(
        self,
        key: str,
        order_id: str,
        address: Mapping[str, Any],
        items: Sequence[Mapping[str, Any]],
        currency: str,
        keep_address: bool,
    ) -> list[Shipment]:
        """Return the shipment of each parcel, the first with the methods for all of them. Equal parcels are quoted
        once.

        Args:
            key, order_id: of the whole shipment.
            address: in the carriers' terms.
            items: as `shipping.rules.parcel.packed` takes them.
            currency: of the methods, three letters.
            keep_address: whether the parcels go to the address as it is, although a carrier might correct it.

        Raises:
            InvalidRequest: an item is incomplete.
            Refused: the carrier corrects the address, or no carrier accepts the parcels, or no service all of them, or
                their export must be filed first.
            Unavailable, ProviderFailure: the carriers cannot answer; repeating is safe.
        """
        declared = contents(items)
        check_filing(address, self._origin, declared)
        # Without the whole value, no part of it can be declared.
        parcels = [(parcel.public(), contents(inside) if declared else []) for parcel, inside in packed(items)]
        kinds: list[tuple[dict[str, str], list[dict[str, Any]]]] = []
        for each in parcels:
            if each not in kinds:
                kinds.append(each)
            if len(kinds) > MAX_KINDS:
                said = f"These are more than {MAX_KINDS} different parcels, too many for one shipment."
                raise Refused(said, {"errors": {"items": [said]}})
        # Abroad, validation transliterates and translates names, which are no misspellings.
        validate = not keep_address and str(address["country"]).upper() == UNITED_STATES
        asked = {**address, "validate": True} if validate else address
        # One answer is enough to know what a carrier corrects.
        asks = [
            partial(self._carriers.quote, address if place else asked, [parcel], inside, order_id, currency)
            for place, (parcel, inside) in enumerate(kinds)
        ]
        quotes: list[Quote] = all_answers(asks)
        check_correction(address, quotes[0].corrected)
        check_filing(address, self._origin, declared, quotes[0].rates)
        counts = Counter(kinds.index(each) for each in parcels)
        together = summed([(counts[kind], quote.rates) for kind, quote in enumerate(quotes)])
        if not together:
            said = "No service takes all parcels of this shipment."
            raise Refused(said, {"errors": {"address": [said]}})
        ways = methods(together, currency, datetime.now(UTC).date())
        if not ways:
            raise Refused(f"No carrier quotes a price in {currency.upper()}.")
        found: list[Shipment] = []
        for place, each in enumerate(parcels):
            quote = quotes[kinds.index(each)]
            twin = any(quote.shipment_id == other.object_id for other in found)
            found.append(
                Shipment(
                    object_id=f"{quote.shipment_id}.{place + 1}" if twin else quote.shipment_id,
                    key=f"{key}#{place + 1}" if place else key,
                    order_id=order_id,
                    created=self._clock(),
                    address=dict(address),
                    parcels=[each[0]],
                    contents=each[1],
                    rates=[] if twin else quote.rates,
                    methods=[] if place else ways,
                    part_of=found[0].object_id if place else None,
                    part=place + 1 if place else None,
                    twin_of=quote.shipment_id if twin else None,
                )
            )
        return found

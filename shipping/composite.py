"""Several carriers as one: all of them quote, and each label is bought, tracked and refunded where its rate came from.

The ids of the first carrier are passed on unchanged, those of any other as ``name~id``.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import eventlet

from chassis.logs import log
from contracts.errors import ProviderFailure, ShopError, Unavailable
from shipping.rules.carriers import SEPARATOR, Carrier, Label, ParcelNews, Quote, carrier_of
from shipping.rules.charges import Charge
from shipping.rules.reconcile import Rate, Sold

# The numbers of the pages of each carrier's list; more than any list has.
PAGES = 1_000_000

Answer = TypeVar("Answer")


def answers(asks: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """Ask several carriers at once; return the answers of those that can answer, in the same sequence.

    Raises the failure of the first if none can answer; Unavailable, if one of them raised it, because repeating may
    help.
    """
    if len(asks) == 1:
        return [asks[0]()]
    found, errors = _gathered(asks)
    for error in errors:
        log.warning("carrier does not answer", error=f"{type(error).__name__}: {error}")
    if not found:
        raise _worth_repeating(errors)
    return found


def all_answers(asks: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """Ask several questions at once; return all answers, in the same sequence.

    Raises the first failure; Unavailable, if one of them raised it, because repeating may help.
    """
    if len(asks) == 1:
        return [asks[0]()]
    found, errors = _gathered(asks)
    if errors:
        raise _worth_repeating(errors)
    return found


def _gathered(asks: Sequence[Callable[[], Answer]]) -> tuple[list[Answer], list[ShopError]]:
    # Greenlets, each with a copy of this one's context, and so its deadline.
    asked = [eventlet.spawn(contextvars.copy_context().run, ask) for ask in asks]
    found: list[Answer] = []
    errors: list[ShopError] = []
    for each in asked:
        try:
            found.append(each.wait())
        except ShopError as error:
            errors.append(error)
        except Exception:  # a bug in one adapter must not spoil the answers of the others
            log.exception("carrier does not answer")
            errors.append(ProviderFailure("The carrier's answer cannot be read."))
    return found, errors


def _worth_repeating(errors: Sequence[ShopError]) -> ShopError:
    return next((each for each in errors if isinstance(each, Unavailable)), errors[0])


class Named:
    """One carrier, with its ids as the shop knows them.

    Args:
        carrier: the bundle.
        prefix: of its ids; "" for the first carrier.
    """

    def __init__(self, carrier: Carrier, prefix: str) -> None:
        self.carriers = carrier.carriers
        self.lists = carrier.lists
        self._prefix = prefix

    def known(self, own: str) -> str:
        """Return an id of the carrier's as the shop knows it. Raises ProviderFailure for one that is ambiguous."""
        if SEPARATOR in own:
            raise ProviderFailure(f"The carrier's id {own} contains {SEPARATOR}.")
        return self._prefix + own

    def quote(self, *asked: Any) -> Quote:
        """Return the carrier's quote."""
        quote = self.carriers.quote(*asked)
        return replace(quote, shipment_id=self.known(quote.shipment_id), rates=list(map(self.rate, quote.rates)))

    def rate(self, rate: Mapping[str, Any]) -> dict[str, Any]:
        """Return a rate of the carrier's."""
        shipment = rate.get("shipment")
        return {**rate, "object_id": self.known(rate["object_id"]), "shipment": shipment and self.known(shipment)}

    def label(self, label: Label | None) -> Any:
        """Return a label of the carrier's, or None."""
        return label and replace(label, transaction_id=self.known(label.transaction_id))

    def sold(self, sold: Any) -> Any:
        """Return an entry of the carrier's list, or None."""
        if isinstance(sold, Sold):
            return replace(sold, id=self.known(sold.id), rate_id=sold.rate_id and self.known(sold.rate_id))
        return sold and replace(sold, id=self.known(sold.id))


class CompositeCarriers:
    """Several carriers as an implementation of the port `shipping.rules.carriers.Carriers`, and of their lists.

    Args:
        carriers: the bundles by name, the preferred first.
    """

    def __init__(self, carriers: Mapping[str, Carrier]) -> None:
        first = next(iter(carriers))
        self._named = {name: Named(each, "" if name == first else name + SEPARATOR) for name, each in carriers.items()}
        self._first = self._named[first]
        self.longest_call = max(each.carriers.longest_call for each in self._named.values())
        self.longest_answer = max(each.carriers.longest_answer for each in self._named.values())

    def quote(self, *asked: Any) -> Quote:
        """See the port. The shipment's id is that of the first carrier that answers."""
        quotes = answers([partial(each.quote, *asked) for each in self._named.values()])
        rates = [rate for each in quotes for rate in each.rates]
        corrected = next((each.corrected for each in quotes if each.corrected), {})
        return Quote(quotes[0].shipment_id, rates, [said for each in quotes for said in each.messages], corrected)

    def rates(self, shipment_id: str, currency: str) -> list[dict[str, Any]]:
        """See the port."""
        named, own = self._of(shipment_id)
        return list(map(named.rate, named.carriers.rates(own, currency)))

    def buy(self, rate_id: str, reference: str) -> Label:
        """See the port."""
        named, own = self._of(rate_id)
        label: Label = named.label(named.carriers.buy(own, reference))
        return label

    def bought(self, rate_id: str) -> Label | None:
        """See the port."""
        named, own = self._of(rate_id)
        label: Label | None = named.label(named.carriers.bought(own))
        return label

    def track(self, carrier: str, tracking_number: str, transaction_id: str) -> dict[str, Any]:
        """See the port."""
        named, own = self._of(transaction_id)
        return named.carriers.track(carrier, tracking_number, own)

    def refund_status(self, transaction_id: str) -> str | None:
        """See the port."""
        named, own = self._of(transaction_id)
        return named.carriers.refund_status(own)

    def refund(self, transaction_id: str) -> str:
        """See the port."""
        named, own = self._of(transaction_id)
        return named.carriers.refund(own)

    def sold(self, number: int, since: float) -> tuple[list[Any], int | None]:
        """Return a page of the lists of all carriers, one carrier after the other; see `Carrier.lists`."""
        every = list(self._named.values())
        place, page = divmod(number - 1, PAGES)
        found, following = every[place].lists.sold(page + 1, since)
        found = list(map(every[place].sold, found))
        if following is None and place + 1 < len(every):
            place, following = place + 1, 1
        return found, following and place * PAGES + following

    def one(self, transaction_id: str) -> Any:
        """Return one label, or None when its carrier does not know it."""
        named, own = self._of(transaction_id)
        return named.sold(named.lists.one(own))

    def rate(self, rate_id: str) -> Rate | None:
        """Return what was bought at a rate, or None when its carrier no longer knows it."""
        named, own = self._of(rate_id)
        rate: Rate | None = named.lists.rate(own)
        return rate and replace(rate, shipment_id=named.known(rate.shipment_id))

    def charges(self, since: float, until: float) -> list[Charge]:
        """Return what the carriers have charged for labels between two times (Unix seconds)."""
        return [
            replace(charge, id=named.known(charge.id), transaction_id=named.known(charge.transaction_id))
            for named in self._named.values()
            if hasattr(named.lists, "charges")
            for charge in named.lists.charges(since, until)
        ]

    def news(self, name: str, parcels: ParcelNews) -> ParcelNews:
        """Return what records the events of one carrier."""
        return _News(self._named[name], parcels)

    def _of(self, known: str) -> tuple[Named, str]:
        name = carrier_of(known)
        if name and name not in self._named:
            raise ProviderFailure(f"The carrier {name} is not in use.")
        return self._named[name] if name else self._first, known.rpartition(SEPARATOR)[2]


class _News:
    """Records the events of one carrier."""

    def __init__(self, named: Named, parcels: ParcelNews) -> None:
        self._named = named
        self.record_status = parcels.record_status
        self._label_changed = parcels.label_changed

    def label_changed(self, transaction_id: str) -> None:
        """See `ParcelNews`."""
        self._label_changed(self._named.known(transaction_id))

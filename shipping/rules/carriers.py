"""The ports to the carriers, in the shop's terms. See docs/adding-a-provider.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from contracts.webhooks import WebhookSource

# Follows the carrier's name in each id of any carrier but the first.
SEPARATOR = "~"


def carrier_of(known: str) -> str:
    """Return the name of the carrier whose id this is; "" for the first."""
    return known.rpartition(SEPARATOR)[0]


@dataclass(frozen=True)
class Quote:
    """The carriers' answer to a shipment.

    Attributes:
        shipment_id: the carrier's id of it.
        rates: in the public shape.
        messages: the carriers' remarks.
        corrected: the parts of the address that a carrier has corrected, in its terms; only if it was asked for that.
    """

    shipment_id: str
    rates: list[dict[str, Any]]
    messages: list[str]
    corrected: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Label:
    """A label that is bought and paid for."""

    transaction_id: str
    label_url: str
    tracking_number: str | None


class Carriers(Protocol):
    """The system that quotes, sells labels, and tracks parcels.

    `longest_call` is the time in seconds within which any one call ends, and `longest_answer` the time that the
    carriers have to answer it.

    Every method may raise Unavailable (could not be reached, or requests a later retry) and ProviderFailure (an invalid
    answer, or our key is rejected).
    """

    longest_call: float
    longest_answer: float

    def quote(
        self,
        address: Mapping[str, str | None],
        parcels: Sequence[Mapping[str, str]],
        contents: Sequence[Mapping[str, Any]],
        reference: str,
        currency: str,
    ) -> Quote:
        """Ask for the shipping cost. The request is free, so it can be repeated after a lost answer.

        Args:
            address, parcels: in the carrier's terms, as `Address.for_carrier` and `Parcel.public` give them. With
                ``"validate": True`` the carrier may correct the address; one that cannot ignores it.
            contents: the customs declaration for parcels that go abroad, from `shipping.rules.customs.contents`.
            reference: the shop's order id.
            currency: three letters; the rates also state their price in it, if the carriers know it.

        Raises:
            Refused: no carrier accepts it (such as an unknown address).
        """
        ...

    def rates(self, shipment_id: str, currency: str) -> list[dict[str, Any]]:
        """Return the rates of a shipment in `currency`, in the public shape.

        Raises:
            NotFound: no such shipment.
            InvalidRequest: no such currency.
        """
        ...

    def buy(self, rate_id: str, reference: str) -> Label:
        """Buy the label of a rate. This costs money: never repeat it without asking `bought` first.

        Raises:
            Refused: the carrier rejects it; nothing was bought.
            Unavailable, ProviderFailure: nothing was bought.
            OutcomeUnknown: the request was sent, and no readable answer came. The fact ``answered`` is true when the
                carrier has finished the request, so that `bought` finds the label if it exists.
        """
        ...

    def bought(self, rate_id: str) -> Label | None:
        """Return the label that was bought for a rate, or None.

        Raises:
            OutcomeUnknown: one is being bought right now.
        """
        ...

    def track(self, carrier: str, tracking_number: str, transaction_id: str) -> dict[str, Any]:
        """Return where the parcel of a label is: ``{"tracking_status", "tracking_history"}`` in the carrier's shape.

        Raises:
            NotFound: the carrier does not know the number (yet).
        """
        ...

    def refund_status(self, transaction_id: str) -> str | None:
        """Return the state of a label's refund: "refunded", "pending", "used" (the parcel has moved, or the carrier
        keeps the money), or None when no refund was requested."""
        ...

    def refund(self, transaction_id: str) -> str:
        """Refund a label, and answer like `refund_status`. The carrier refunds a label once, even if asked repeatedly.

        Raises:
            Refused: the carrier rejects it, or has been asked before; see `refund_status`.
        """
        ...


class ParcelNews(Protocol):
    """Records what a carrier's events report."""

    def record_status(self, tracking_number: str, track: dict[str, Any]) -> None:
        """Record the carrier's position of a parcel: ``track["tracking_status"]``, ``{"status", "status_date"}``."""
        ...

    def label_changed(self, transaction_id: str) -> None:
        """Ask the carrier for the outcome of a label's refund, because the event is not trusted about money."""
        ...


class Carrier(Protocol):
    """One provider of carriers: a bundle, made of the process's `chassis.settings.Settings`.

    Attributes:
        carriers: the client.
        lists: the labels that the provider has sold, for reconciliation, the newest first: ``sold(number, since)``
            returns a page of `shipping.rules.reconcile.Sold`, and the number of the next page or None; ``one(id)`` and
            ``rate(id)`` return one of them, and the `Rate` that it was bought at, or None. An entry that cannot be read
            is a `chassis.records.SetAside`. ``charges(since, until)`` returns the `shipping.rules.charges.Charge` of
            labels between two times (Unix seconds); a provider that charges nothing later need not have it.
    """

    carriers: Carriers
    lists: Any

    def webhooks(self, parcels: ParcelNews) -> WebhookSource:
        """Return the source of its webhooks."""
        ...

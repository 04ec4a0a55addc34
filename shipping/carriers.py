"""What the shop needs of the carriers, in its own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Quote:
    """What the carriers ask for a shipment: their rates in the public shape, and what they remarked on it."""

    shipment_id: str
    rates: list[dict[str, Any]]
    messages: list[str]


@dataclass(frozen=True)
class Label:
    """A label that is bought and paid for."""

    transaction_id: str
    label_url: str
    tracking_number: str | None


class Carriers(Protocol):
    """Who quotes, sells labels, and knows where a parcel is.

    `longest_call` is the time in seconds after which any one call to them has ended, one way or the other, and
    `longest_answer` the time that they are given to answer it.

    Every method may raise Unavailable (could not be asked, or asks us to come back) and ProviderFailure (answered
    what makes no sense, or refuses our key).
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
        """Ask for the shipping cost. Costs nothing itself, so it can be repeated after a lost answer.

        Args:
            address, parcels: in the carrier's words, as `Address.for_carrier` and `Parcel.public` give them.
            contents: the customs declaration for parcels that leave the country, from `shipping.customs.contents`.
            reference: the shop's order.
            currency: three letters; the rates also state their price in it, if the carriers know it.

        Raises:
            Refused: no carrier takes it (such as an unknown address).
        """
        ...

    def rates(self, shipment_id: str, currency: str) -> list[dict[str, Any]]:
        """The rates of a shipment in `currency`, in the public shape.

        Raises:
            NotFound: no such shipment.
            InvalidRequest: no such currency.
        """
        ...

    def buy(self, rate_id: str, reference: str) -> Label:
        """Buy the label of a rate. This costs money: never to be repeated without asking `bought` first.

        Raises:
            Refused: the carrier will not have it; nothing was bought.
            Unavailable, ProviderFailure: nothing was bought.
            OutcomeUnknown: asked, and no answer that can be read; with the fact ``answered`` true when the carrier is
                done with the request, so that `bought` knows of the label if there is one.
        """
        ...

    def bought(self, rate_id: str) -> Label | None:
        """The label that was bought for a rate, or None.

        Raises:
            OutcomeUnknown: one is being bought right now.
        """
        ...

    def track(self, carrier: str, tracking_number: str) -> dict[str, Any]:
        """Where a parcel is: ``{"tracking_status", "tracking_history"}`` in the carrier's shape.

        Raises:
            NotFound: the carrier does not know the number (yet).
        """
        ...

    def refund_status(self, transaction_id: str) -> str | None:
        """What came of giving a label back: "refunded", "pending", "used" (the parcel has moved, or the carrier keeps
        the money), or None when nobody has asked for it."""
        ...

    def refund(self, transaction_id: str) -> str:
        """Give a label back, and answer as `refund_status`. The carrier pays a label back once, however often it is
        asked.

        Raises:
            Refused: it will not, or has been asked before: `refund_status` tells.
        """
        ...

"""What a label may cost when its rate is quoted again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from contracts.errors import Refused
from shipping.rules.shipment import price_of, price_text, same_service


@dataclass(frozen=True)
class Terms:
    """An operator's decision about the label of an order.

    Attributes:
        most: what all its labels may cost together, in the smallest unit of the carrier's currency; None: each as much
            as was quoted at checkout.
        service: the token of another service ("usps_priority"); None for the one that the shopper chose.
    """

    most: int | None = None
    service: str | None = None

    def after(self, spent: int) -> Terms:
        """Return the terms of a further label, after `spent` was paid for others."""
        return self if self.most is None else Terms(self.most - spent, self.service)

    def choose(self, chosen: Mapping[str, Any], fresh: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """Return the rate of a fresh quote to buy instead of the one that was chosen.

        Args:
            chosen: the rate of the checkout.
            fresh: the rates of the quote.

        Raises:
            Refused: the service is gone, or costs too much; an operator decides.
        """
        rates = list(fresh)
        if self.service is None:
            rate, name = same_service(rates, chosen), str(chosen["servicelevel"]["name"])
        else:
            offered = (each for each in rates if each["servicelevel"]["token"] == self.service)
            rate, name = next(offered, None), self.service
        if rate is None:
            raise _refused(f"{name} is no longer offered to this address.")
        (price, currency), (quoted, before) = price_of(rate), price_of(chosen)
        most = quoted if self.most is None else self.most
        if price > most or currency != before:
            allowed = price_text(most, before)
            raise _refused(f"{name} costs {price_text(price, currency)} by now, more than {allowed}.")
        return rate


# Without an operator's decision.
AS_QUOTED = Terms()


def _refused(said: str) -> Refused:
    return Refused(said, {"errors": {"rate_id": [said]}, "permanent": True})

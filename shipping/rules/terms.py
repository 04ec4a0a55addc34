"""What a label may cost when its rate is quoted again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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

    def check_total(self, spent: int, bought: int, prices: Sequence[tuple[int, str]]) -> None:
        """Check what all labels of an order cost together, before a missing one is bought.

        Args:
            spent, bought: what was paid for labels so far, in the smallest unit, and for how many.
            prices: of the missing labels: the amount in the smallest unit, and the currency.

        Raises:
            Refused: more than `most`; an operator decides.
        """
        total = spent + sum(price for price, _ in prices)
        if self.most is None or total <= self.most:
            return
        cost, most, paid = (price_text(units, prices[0][1]) for units in (total, self.most, spent))
        count = bought + len(prices)
        raise _refused(f"All labels cost {cost}, more than {most}. Bought so far: {bought} of {count}, for {paid}.")

    def offered(self, chosen: Mapping[str, Any], fresh: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """Return the rate of a fresh quote for the wanted service, at any price.

        Args:
            chosen: the rate of the checkout.
            fresh: the rates of the quote.

        Raises:
            Refused: the service is gone, or has another currency; an operator decides.
        """
        rates, currency = list(fresh), price_of(chosen)[1]
        if self.service is None:
            rate = same_service(rates, chosen)
        else:
            rate = next((each for each in rates if each["servicelevel"]["token"] == self.service), None)
        if rate is None:
            raise _refused(f"{self._name(chosen)} is no longer offered to this address.")
        if price_of(rate)[1] != currency:
            raise _refused(f"{self._name(chosen)} is no longer offered to this address in {currency}.")
        return rate

    def choose(self, chosen: Mapping[str, Any], fresh: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """Return the rate of a fresh quote to buy instead of the one that was chosen.

        Args:
            chosen: the rate of the checkout.
            fresh: the rates of the quote.

        Raises:
            Refused: the service is gone, or costs too much; an operator decides.
        """
        rate = self.offered(chosen, fresh)
        (price, currency), most = price_of(rate), self.most
        if most is None:
            most = price_of(chosen)[0]
        if price > most:
            cost, allowed = price_text(price, currency), price_text(most, currency)
            raise _refused(f"{self._name(chosen)} costs {cost} by now, more than {allowed}.")
        return rate

    def _name(self, chosen: Mapping[str, Any]) -> str:
        return str(chosen["servicelevel"]["name"]) if self.service is None else self.service


# Without an operator's decision.
AS_QUOTED = Terms()


def _refused(said: str) -> Refused:
    return Refused(said, {"errors": {"rate_id": [said]}, "permanent": True})

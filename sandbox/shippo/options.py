"""The options of Shippo and its carriers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sandbox.options import Options


@dataclass(frozen=True)
class ShippoOptions(Options):
    """The options.

    purchase_seconds: how long the purchase of a label takes; 0: the answer is final if the request asks for that; None:
    until the control API ends it. purchase_error_rate (0…1): the share of purchases that fail at the carrier.
    ups: UPS quotes, too. usps_one_parcel: USPS quotes no shipment of several parcels, as the real one.
    price_factor: each new quote costs this many times as much.
    refund_seconds: how long a label's refund takes; 0: the answer is final; None: until the control API ends it.
    refund_error_rate (0…1): the share of refunds that the carrier rejects although the label is unused. seed: the same
    seed gives the same sequence.
    """

    provider: ClassVar[str] = "shippo"

    purchase_seconds: float | None = 0
    purchase_error_rate: float = 0
    refund_seconds: float | None = 0
    refund_error_rate: float = 0
    ups: bool = False
    usps_one_parcel: bool = False
    price_factor: float = 1

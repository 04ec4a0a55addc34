"""What the shop knows about an order whose payment is disputed, for the shopper's bank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cart.rules.order import Order


@dataclass(frozen=True)
class Facts:
    """What is known of a disputed order.

    Attributes:
        order: the order.
        tracking: ``{"carrier", "tracking_number", "tracking_history"}``, as shipping answers; None without a label.
        mail, text: what the provider of the last mail and of the last text message answered, and ``to``, who got it;
            None while none was sent that arrived, as far as is known.
    """

    order: Order
    tracking: Mapping[str, Any] | None = None
    mail: Mapping[str, Any] | None = None
    text: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Response:
    """What can be sent to the bank.

    Attributes:
        evidence: the provider's fields that take text; None when the provider takes none.
        files: the provider's fields that take an uploaded file, and what to upload.
        submit: which call of the provider sends it.
    """

    evidence: Mapping[str, str] | None
    files: Mapping[str, str]
    submit: str

"""What shoppers saw: every definitive answer, and every request whose end they never learned."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

# What a request was for.
CART, BUY, CHECKOUT, SHIPPING, PAY, CANCEL, REFUND = "cart", "buy", "checkout", "shipping", "pay", "cancel", "refund"
LOOK = "look"  # at an order
WALKED_AWAY = "walked away"  # why a shopper did not wait for the end


@dataclass(frozen=True)
class Sight:
    """One definitive answer.

    Attributes:
        at: Unix seconds when it was seen.
        shopper: whose.
        what: one of the words above.
        cart_id: the cart it was about, "" before there is one.
        key: the Idempotency-Key.
        asked: the body that was sent, and what else tells the request (``product``, ``order_id``).
        status: the HTTP status, 2xx or 4xx.
        answer: of an order what the books compare, of anything else the whole body.
        tries: how often it was sent until then.
        replayed: whether the shop said that it had answered this before.
    """

    at: float
    shopper: int
    what: str
    cart_id: str
    key: str
    asked: dict[str, Any]
    status: int
    answer: Any
    tries: int
    replayed: bool

    @property
    def good(self) -> bool:
        return self.status < 300


@dataclass(frozen=True)
class Lost:
    """A request whose end the shopper never learned: patience ran out, or the shopper walked away."""

    shopper: int
    what: str
    cart_id: str
    key: str
    asked: dict[str, Any]
    why: str


@dataclass(frozen=True)
class Unlike:
    """A request that was answered for good, and otherwise when it was sent once more under its key."""

    what: str
    key: str
    first: str
    second: str


@dataclass
class Journal:
    """What all shoppers of a run saw.

    Attributes:
        sights, lost, unlike: as it happened.
        bugs: every 500, with what it answered to.
        answered: PaymentIntent -> (Unix seconds, "succeed" or "fail"), as shoppers answered their bank.
        heard: how often each passing trouble was met (``503``, ``ServerDisconnectedError``, …).
        placed: how many orders shoppers know of.
    """

    sights: list[Sight] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    unlike: list[Unlike] = field(default_factory=list)
    bugs: list[str] = field(default_factory=list)
    answered: dict[str, tuple[float, str]] = field(default_factory=dict)
    heard: Counter[str] = field(default_factory=Counter)
    placed: int = 0

    def see(self, sight: Sight) -> None:
        """Note an answer."""
        self.sights.append(sight)
        if sight.what == CHECKOUT and sight.good:
            self.placed += 1

    def of(self, what: str, good: bool | None = None) -> list[Sight]:
        """The answers to requests of one kind; only those that were 2xx, or only those that were not."""
        return [sight for sight in self.sights if sight.what == what and good in (None, sight.good)]


def told(answer: Any) -> Any:
    """Of an order what the books compare; anything else as it is."""
    if not isinstance(answer, dict) or answer.get("object") != "order":
        return answer
    shipping = answer.get("shipping") or {}
    return {
        **{name: answer.get(name) for name in ("id", "status", "amount", "charge", "amount_returned")},
        **{name: answer[name] for name in ("label_url", "notifications") if name in answer},
        "method": answer.get("selected_shipping_method"),
        "tracking_number": shipping.get("tracking_number"),
        "skus": {line["parent"]: line["quantity"] for line in answer["items"] if line["type"] == "sku"},
    }

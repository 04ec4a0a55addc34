"""What shoppers saw: every definitive answer, and every request whose outcome they never learned."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

# The purposes of requests.
CART, BUY, CHECKOUT, SHIPPING, PAY, CANCEL, REFUND = "cart", "buy", "checkout", "shipping", "pay", "cancel", "refund"
LOOK, CODE = "look", "code"  # at an order; for the cart
WALKED_AWAY = "walked away"  # why a shopper did not wait for the answer


@dataclass(frozen=True)
class Sight:
    """One definitive answer.

    Attributes:
        at: Unix seconds when it was received.
        shopper: the shopper's number.
        what: one of the constants above.
        cart_id: the request's cart, "" before there is one.
        key: the Idempotency-Key.
        asked: the body that was sent, and what else identifies the request (``product``, ``order_id``).
        status: the HTTP status, 2xx or 4xx.
        answer: for an order the parts that the books compare, else the whole body.
        tries: the number of attempts.
        replayed: whether the shop marked it as a replayed answer.
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
    """A request whose outcome the shopper never learned: patience ran out, or the shopper walked away."""

    shopper: int
    what: str
    cart_id: str
    key: str
    asked: dict[str, Any]
    why: str


@dataclass(frozen=True)
class Unlike:
    """A request that got a definitive answer, and a different one when it was sent once more with its key."""

    what: str
    key: str
    first: str
    second: str


@dataclass
class Journal:
    """What all shoppers of a run saw.

    Attributes:
        sights, lost, unlike: in chronological order.
        bugs: every 500, with its request.
        answered: PaymentIntent -> (Unix seconds, "succeed" or "fail"), the shoppers' answers to their bank.
        heard: how often each temporary failure occurred (``503``, ``ServerDisconnectedError``, …).
        placed: the number of orders that shoppers know.
    """

    sights: list[Sight] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    unlike: list[Unlike] = field(default_factory=list)
    bugs: list[str] = field(default_factory=list)
    answered: dict[str, tuple[float, str]] = field(default_factory=dict)
    heard: Counter[str] = field(default_factory=Counter)
    placed: int = 0

    def see(self, sight: Sight) -> None:
        """Record an answer."""
        self.sights.append(sight)
        if sight.what == CHECKOUT and sight.good:
            self.placed += 1

    def of(self, what: str, good: bool | None = None) -> list[Sight]:
        """Return the answers to requests of one kind; only the 2xx ones, or only the others."""
        return [sight for sight in self.sights if sight.what == what and good in (None, sight.good)]


def compared_parts(answer: Any) -> Any:
    """Return the parts of an order that the books compare; anything else unchanged."""
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

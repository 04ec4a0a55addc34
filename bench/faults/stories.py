"""What shoppers do around a crash point: each story has a step that passes it, and the books must be right
afterwards."""

from __future__ import annotations

import contextlib
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

import requests

from bench.faults.front import ANSWER_WAIT_S, PAUSE, Front, customer, wanted
from bench.faults.records import taxed

GOOD, DECLINED, ASKING = "tok_visa", "tok_chargeDeclined", "tok_threeDSecure2Required"
DISPUTED = "tok_createDispute"
DEBITED = "pm_usBankAccount_processing"
STOCK = 5
PART = 10  # cents of a partial refund
LEAVES_AFTER = 0.3  # seconds

CREATED, PAID, CANCELED, RETURNED = "created", "paid", "canceled", "returned"


class Story:
    """One shopper, one product, one order.

    Args:
        front: the shop.
        stays: whether the shopper retries the interrupted request with its key, or leaves and never returns.

    Attributes:
        order_id: the order's id, once there is one.
        ends: the permitted final states of the order.
        returned: the permitted amounts of refunds at the end, in cents.
        held: whether its label waits for the bank's decision about a dispute.
        parcels: how many parcels it is sent in.
    """

    ends: tuple[str, ...]
    leaves_it: tuple[str, ...] = ()
    returned: tuple[int, ...] = (0,)
    held = False
    parcels = 1
    status = 200

    def __init__(self, front: Front, stays: bool) -> None:
        self.front = front
        self.stays = stays
        if not stays:
            self.ends = (*self.ends, *self.leaves_it)
        self.product = front.product(STOCK, price=700)
        self.cart = front.cart()
        self.customer = customer(f"story-{uuid.uuid4().hex}@example.com")
        self.order_id = ""
        wanted(front.ask("POST", f"/api/cart/{self.product.id}/buy/", self.cart, json={"quality": 1}), 200)

    def begin(self) -> None:
        """Do what precedes the point."""
        self.check_out()

    def act(self) -> None:
        """Do the step that passes the point. Raises AssertionError for an answer that is not permitted."""
        raise NotImplementedError

    def ask(self, path: str, body: dict[str, Any], status: int) -> Any:
        """Send the request that is interrupted, and retry it if the shopper stays; return the final answer, which must
        have that status."""
        key = uuid.uuid4().hex
        if self.stays:
            return wanted(self.front.ask("POST", path, self.cart, key, json=body), status)
        # A 503, such as while every copy is dead at this moment, means that nothing was done: the story has not begun
        # yet.
        until = time.monotonic() + ANSWER_WAIT_S
        with contextlib.suppress(requests.RequestException):
            while self.front.once("POST", path, self.cart, key, json=body, timeout=LEAVES_AFTER).status_code == 503:
                assert time.monotonic() < until, f"POST {path}: always 503"
                time.sleep(PAUSE)
        return None

    def check_out(self) -> None:
        order = wanted(self.front.ask("POST", "/api/cart/checkout/", self.cart, json=self.customer), 201)
        self.order_id = order["id"]

    def pay(self, card: str, status: int, cut_off: bool = False) -> Any:
        body = {"order_id": self.order_id, "cart": card}
        if cut_off:
            return self.ask("/api/cart/paid/", body, status)
        return wanted(self.front.ask("POST", "/api/cart/paid/", self.cart, json=body), status)

    def paid_and_delivered(self) -> None:
        """Create an order with no outstanding work."""
        self.check_out()
        paid = self.pay(GOOD, 200)
        assert paid["status"] == PAID, paid

    def confirm(self, refused: Any) -> None:
        """Confirm the bank's authentication."""
        self.front.bank(refused["client_secret"].partition("_secret_")[0], "succeed")

    def wrong(self, status: str, mails: int = 1) -> str | None:
        """Return what is wrong with the books now, or None.

        Args:
            status: the order's, as the service stores it.
            mails: how many mails of one message are permitted: two when the outcome of the first was never known.
        """
        if not self.order_id:
            return self._wrong_without_order()
        order = wanted(self.front.ask("GET", f"/api/orders/{self.order_id}", self.cart), 200)
        found = self.front.ledger(order_id=self.order_id)
        returned = order["amount_returned"] or 0
        charges = [(charge["amount"], charge["amount_refunded"]) for charge in found["charges"] if charge["paid"]]
        labels = [label["status"] for label in found["labels"] if label["status"] != "ERROR"]
        bought = [] if self.held else ["SUCCESS"]
        # The operator's mails are about the order, too.
        letters = [mail for mail in found["emails"] if self.customer["email"] in mail["to"]]
        sold = order["status"] in (PAID, RETURNED)
        left = self.front.left(self.product)
        taxes = self.front.taxes(self.order_id) if returned else [taxed(entry) for entry in found["taxes"]]
        sums = [sum(each) for each in zip(*taxes, strict=True)]
        rules = {
            f"it is {order['status']}": order["status"] in self.ends,
            f"{returned} went back": returned in self.returned
            or (order["status"] == RETURNED and RETURNED in self.ends),
            f"charges {charges}": charges == ([(order["amount"], returned)] if sold else []),
            f"labels {labels}": labels
            == self.parcels * (bought if order["status"] == PAID else ["REFUNDED"] if sold else []),
            f"{len(letters)} mails": 1 <= len(letters) <= mails if sold else not letters,
            f"{len(found['sms'])} texts": len(found["sms"]) == int(sold),
            f"taxes {taxes}": len(taxes) == int(sold) + len(order["returns"]["data"])
            and (not sold or (sums[0] == order["amount"] - returned and (returned < order["amount"] or not sums[1]))),
            f"{left} left": left == STOCK - (status in (PAID, "confirming")),
        }
        bad = [what for what, right in rules.items() if not right]
        return f"order {self.order_id} ({status}): {', '.join(bad)}" if bad else None

    def _wrong_without_order(self) -> str | None:
        return None if self.front.left(self.product) == STOCK else "stock was taken without an order"


class Pays(Story):
    ends, leaves_it = (PAID,), (CREATED,)

    def act(self) -> None:
        self.pay(GOOD, 200, cut_off=True)


class PaysWithCode(Pays):
    """The order has a discount code that one order may redeem."""

    def begin(self) -> None:
        self.code = f"story-{uuid.uuid4().hex}"
        body = {"code": self.code, "percent_off": 10, "max_redemptions": 1}
        wanted(self.front.ask("POST", "/api/discounts/", json=body), 201)
        wanted(self.front.ask("POST", "/api/cart/discount/", self.cart, json={"code": self.code}), 200)
        self.check_out()

    def wrong(self, status: str, mails: int = 1) -> str | None:
        [shown] = [each for each in self.front.discounts() if each["code"] == self.code]
        if shown["times_redeemed"] != int(status in (PAID, "confirming")):
            return f"order {self.order_id} ({status}): its code was redeemed {shown['times_redeemed']} times"
        return super().wrong(status, mails)


class IsDisputed(Pays):
    """The charge is disputed as soon as it is made: the operator is mailed, and the label waits."""

    held = True

    def act(self) -> None:
        self.pay(DISPUTED, 200, cut_off=True)

    def wrong(self, status: str, mails: int = 1) -> str | None:
        # A shopper who left before the money was taken has an open order.
        if status == PAID:
            order = wanted(self.front.ask("GET", f"/api/orders/{self.order_id}", self.cart), 200)
            found = self.front.ledger(order_id=self.order_id)["emails"]
            letters = [mail for mail in found if self.customer["email"] not in mail["to"]]
            # A mail whose outcome is unknown is sent again.
            if order["dispute"] is None or not 1 <= len(letters) <= 2:
                return f"order {self.order_id}: {len(letters)} mails to the operator about {order['dispute']}"
        return super().wrong(status, mails)


class PaysForTwoParcels(Pays):
    """The order also has something that is too heavy to share a parcel."""

    parcels = 2

    def begin(self) -> None:
        anvil = self.front.product(STOCK, package_dimensions={"height": 9, "length": 9, "width": 9, "weight": 1120})
        wanted(self.front.ask("POST", f"/api/cart/{anvil.id}/buy/", self.cart, json={"quality": 1}), 200)
        self.check_out()


class PaysLate(Pays):
    """The rates are too old when the shopper pays, so that the label's rate is quoted again."""

    def begin(self) -> None:
        self.check_out()
        order = wanted(self.front.ask("GET", f"/api/orders/{self.order_id}", self.cart), 200)
        for method in order["shipping_methods"]:
            self.front.age(method["id"])


class ReturnsTwoParcels(PaysForTwoParcels):
    ends, leaves_it = (RETURNED,), (PAID,)

    def begin(self) -> None:
        super().begin()
        paid = self.pay(GOOD, 200)
        assert paid["status"] == PAID, paid

    def act(self) -> None:
        self.ask(f"/api/orders/{self.order_id}/refund/", {"all": True}, 200)


class IsDeclined(Story):
    ends = (CREATED,)

    def act(self) -> None:
        self.pay(DECLINED, 402, cut_off=True)


class IsAsked(Story):
    """The bank asks for authentication, and the process crashes during that request."""

    ends, leaves_it = (PAID,), (CREATED,)

    def act(self) -> None:
        refused = self.pay(ASKING, 402, cut_off=True)
        if refused is not None:
            self.confirm(refused)
            self.pay(ASKING, 200)


class HasConfirmed(Story):
    """The shopper has confirmed to the bank: the money is taken, even if the shopper does not return."""

    ends = (PAID,)

    def begin(self) -> None:
        self.check_out()
        self.refused = self.pay(ASKING, 402)

    def act(self) -> None:
        self.confirm(self.refused)
        if self.stays:
            self.pay(ASKING, 200, cut_off=True)


class IsDebited(Story):
    """The bank settles the payment later: at once after the shopper has repeated the request, or not in this story."""

    ends, leaves_it = (PAID,), (CREATED,)

    def act(self) -> None:
        if self.pay(DEBITED, 202, cut_off=True) is not None:
            [charge] = self.front.ledger(order_id=self.order_id)["charges"]
            self.front.debit(charge["payment_intent"], "succeed")


class Cancels(Story):
    """Cancels while the bank waits for an answer: stock is held, and there is a payment to cancel."""

    ends, leaves_it = (CANCELED,), (CREATED,)

    def begin(self) -> None:
        self.check_out()
        self.pay(ASKING, 402)

    def act(self) -> None:
        self.ask(f"/api/orders/{self.order_id}/cancel/", {}, 200)


class Returns(Story):
    ends, leaves_it = (RETURNED,), (PAID,)

    def begin(self) -> None:
        self.paid_and_delivered()

    def act(self) -> None:
        self.ask(f"/api/orders/{self.order_id}/refund/", {"all": True}, 200)


class ReturnsPart(Story):
    ends = (PAID,)

    def __init__(self, front: Front, stays: bool) -> None:
        super().__init__(front, stays)
        self.returned = (PART,) if stays else (0, PART)

    def begin(self) -> None:
        self.paid_and_delivered()

    def act(self) -> None:
        self.ask(f"/api/orders/{self.order_id}/refund/", {"amount": PART}, 200)


class Buys(Story):
    """One more piece of what is already in the cart."""

    ends = (CREATED,)

    def begin(self) -> None:
        pass

    def act(self) -> None:
        self.ask(f"/api/cart/{self.product.id}/buy/", {"quality": 1}, 200)
        self.check_out()

    def wrong(self, status: str, mails: int = 1) -> str | None:
        order = wanted(self.front.ask("GET", f"/api/orders/{self.order_id}", self.cart), 200)
        pieces = sum(line["quantity"] for line in order["items"] if line["type"] == "sku")
        # If the shopper left before the answer, the second piece may arrive after the order, or not at all.
        if pieces not in ((2,) if self.stays else (1, 2)):
            return f"order {self.order_id}: {pieces} pieces"
        return super().wrong(status, mails)


class ChecksOut(Story):
    ends = (CREATED,)

    def begin(self) -> None:
        pass

    def act(self) -> None:
        self.ask("/api/cart/checkout/", self.customer, 201)

    def wrong(self, status: str, mails: int = 1) -> str | None:
        email = self.customer["email"]
        placed = wanted(self.front.ask("GET", f"/api/orders/?email={email}"), 200)["data"]
        if not self.stays and not placed:
            return super().wrong(status, mails)
        if len(placed) != 1:
            return f"{len(placed)} orders of one checkout"
        self.order_id = placed[0]["id"]
        return super().wrong(status, mails)


StoryFactory = Callable[[Front, bool], Story]

# Which stories pass a point; the first that matches.
PASSING: tuple[tuple[str, tuple[StoryFactory, ...]], ...] = (
    (r"pay:redeem:", (PaysWithCode,)),
    (r"pay:(undo|release):", (IsDeclined,)),
    (r"pay:confirm:", (Pays, IsDeclined, IsAsked)),
    (r"pay:processing:", (IsDebited,)),
    (r"pay:paid:", (Pays, HasConfirmed)),
    (r"attention:", (IsDisputed,)),
    (r"pay:label:begun", (Pays, IsDisputed)),
    (r"buy:", (Buys,)),
    (r"cancel:", (Cancels,)),
    (r"refund:void:|void:", (Returns, ReturnsTwoParcels)),
    (r"label:", (PaysForTwoParcels, PaysLate, Pays)),
    (r"refund:", (Returns, ReturnsPart)),
    (r"(shipment|checkout):", (ChecksOut,)),
    (r"", (Pays,)),
)
# A point that is passed only after another one, by the process that takes over from a killed copy.
AFTER = {"label:resolve:": "label:buy:asked", "sms:resolve:": "sms:send:asked", "pay:call_off:": "pay:open:asked"}


def passing(point: str) -> tuple[StoryFactory, ...]:
    """Return the stories that pass a point."""
    return next(stories for pattern, stories in PASSING if re.match(pattern, point))


def before(point: str) -> str | None:
    """Return the point to crash at first, so that this one is passed."""
    return next((first for pattern, first in AFTER.items() if point.startswith(pattern)), None)

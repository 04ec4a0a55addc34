"""The expected behaviour in plain Python: a shop without a network, a database or a crash, to compare the real one
with.

Every method performs a shopper's request as `API.md` specifies it, and returns the status that the real shop must give.
It is written from the specification, not from the code.
"""

from __future__ import annotations

from dataclasses import dataclass, field

CREATED, PAID, CANCELED, RETURNED = "created", "paid", "canceled", "returned"
# The bank has asked for authentication, and the shopper has not answered yet; the API shows such an order as created.
WAITING = "waiting"

GOOD = ("tok_visa", "tok_mastercard")
DECLINED = ("tok_chargeDeclined", "tok_chargeDeclinedInsufficientFunds")
ASKING = ("tok_threeDSecure2Required",)
# Within an hour; no run takes longer.
ORDER_DECLINES, CART_DECLINES = 5, 10
CART_HOLDS, ORDER_HOLDS = 2, 2
CARDS = (*GOOD, *DECLINED, *ASKING)


@dataclass
class Expected:
    """One order.

    Attributes:
        cart: the cart that it came from.
        lines: SKU -> pieces.
        goods: their price in cents.
        methods: shipping method -> cents; selected: one of them; email: the customer's.
        status: one of the constants above; card: the one that paid it, or that awaits authentication.
        returned: refunded cents.
        declines: the declined cards; holds: how often its stock was held for the bank.
    """

    cart: str
    lines: dict[str, int]
    goods: int
    methods: dict[str, int]
    selected: str
    email: str = ""
    status: str = CREATED
    card: str | None = None
    returned: int = 0
    declines: int = 0
    holds: int = 0

    @property
    def amount(self) -> int:
        """The amount to be paid in cents."""
        return self.goods + self.methods[self.selected]

    @property
    def public(self) -> str:
        """The status that the API shows."""
        return CREATED if self.status == WAITING else self.status

    @property
    def sold(self) -> bool:
        """Whether money was taken, even if it was refunded."""
        return self.status in (PAID, RETURNED)


@dataclass
class ExpectedShop:
    """The whole shop.

    Attributes:
        stock, prices: SKU -> pieces in stock, cents.
        carts: cart -> SKU -> pieces, in the order in which they were added.
        orders: by id.
    """

    stock: dict[str, int] = field(default_factory=dict)
    prices: dict[str, int] = field(default_factory=dict)
    carts: dict[str, dict[str, int]] = field(default_factory=dict)
    orders: dict[str, Expected] = field(default_factory=dict)

    def items(self, cart: str) -> list[dict[str, object]]:
        """Return a cart as the API shows it, without what belongs to the product."""
        return [
            {
                "type": "sku",
                "parent": sku,
                "quality": quantity,
                "quantity": quantity,
                "price": self.prices[sku],
                "amount": self.prices[sku] * quantity,
            }
            for sku, quantity in self.carts[cart].items()
        ]

    def buy(self, cart: str, sku: str, quantity: int) -> int:
        """Add pieces of a SKU to a cart: 200, or 409 when the stock is less than the sum."""
        held = self.carts[cart].get(sku, 0)
        if held + quantity > self.stock[sku]:
            return 409
        self.carts[cart][sku] = held + quantity
        return 200

    def set_quantity(self, cart: str, sku: str, quantity: int) -> int:
        """Change the quantity of a SKU in the cart."""
        if sku not in self.carts[cart]:
            return 404
        if quantity > self.stock[sku]:
            return 409
        self.carts[cart][sku] = quantity
        return 200

    def remove(self, cart: str, sku: str) -> int:
        """Remove a SKU from a cart, even if it is not in it."""
        self.carts[cart].pop(sku, None)
        return 200

    def clear(self, cart: str) -> int:
        """Empty a cart."""
        self.carts[cart].clear()
        return 200

    def checkout(self, cart: str, email: str) -> int:
        """Whether the cart can become an order, which `place` creates, or already is an `unpaid` one: 201.

        The unpaid order comes before the stock, because it may hold the last piece itself.
        """
        lines = self.carts[cart]
        return 201 if lines and (self._enough(lines) or self.unpaid(cart, email) is not None) else 409

    def unpaid(self, cart: str, email: str) -> str | None:
        """Return the unpaid order of an earlier identical checkout, because the same checkout returns it again."""
        same = (cart, email, self.carts[cart], CREATED)
        found = (
            order_id
            for order_id, order in reversed(self.orders.items())
            if (order.cart, order.email, order.lines, order.public) == same
        )
        return next(found, None)

    def place(self, order_id: str, cart: str, methods: dict[str, int], email: str = "") -> Expected:
        """Create the order of a cart; the cheapest shipping method is selected."""
        lines = dict(self.carts[cart])
        goods = sum(self.prices[sku] * quantity for sku, quantity in lines.items())
        order = Expected(cart, lines, goods, methods, min(methods, key=lambda method: methods[method]), email)
        self.orders[order_id] = order
        return order

    def choose(self, order_id: str, method: str) -> int:
        """Select a shipping method, which is possible until a payment has begun."""
        order = self.orders[order_id]
        if order.status != CREATED:
            return 409
        order.selected = method
        return 200

    def pay(self, order_id: str, card: str) -> int:
        """Pay by `card`: 200, 402 (declined, or the bank asks for authentication), 429 (too many declines), 409 (too
        little stock, canceled, another card, or the stock may not be held for the bank)."""
        order = self.orders[order_id]
        if order.sold:
            return 200 if card == order.card else 409
        if order.status == CANCELED:
            return 409
        if order.status == WAITING:
            if card == order.card:
                return 402
            self._put_back(order)  # the pending authentication is canceled
            order.status = CREATED
        if order.declines >= ORDER_DECLINES or self._declines(order.cart) >= CART_DECLINES:
            return 429
        if not self._enough(order.lines):
            return 409
        if card in DECLINED:
            order.declines += 1
            return 402
        if card in ASKING and not self._may_wait(order):
            return 409
        for sku, quantity in order.lines.items():
            self.stock[sku] -= quantity
        order.card = card
        if card in ASKING:
            order.status = WAITING
            order.holds += 1
            return 402
        self._paid(order)
        return 200

    def cancel(self, order_id: str) -> int:
        """Cancel an order that is not paid; repeating it is safe."""
        order = self.orders[order_id]
        if order.sold:
            return 409
        if order.status == WAITING:
            self._put_back(order)
        order.status = CANCELED
        return 200

    def refund(self, order_id: str, amount: int | None) -> int:
        """Refund an amount in cents, or the rest: 200, 400 (more than that), 409 (not paid, or nothing left)."""
        order = self.orders[order_id]
        left = order.amount - order.returned
        if not order.sold or not left:
            return 409
        if amount is not None and amount > left:
            return 400
        order.returned += left if amount is None else amount
        if order.returned == order.amount:
            order.status = RETURNED
            self._put_back(order)
        return 200

    def bank(self, order_id: str, result: str) -> None:
        """Answer the bank's authentication: ``succeed`` or ``fail``."""
        order = self.orders[order_id]
        assert order.status == WAITING
        if result == "succeed":
            self._paid(order)
        else:
            self._put_back(order)
            order.status = CREATED

    def _paid(self, order: Expected) -> None:
        order.status = PAID
        cart = self.carts[order.cart]
        for sku, quantity in order.lines.items():
            if cart.get(sku, 0) > quantity:
                cart[sku] -= quantity
            else:
                cart.pop(sku, None)

    def _enough(self, lines: dict[str, int]) -> bool:
        return all(self.stock[sku] >= quantity for sku, quantity in lines.items())

    def _declines(self, cart: str) -> int:
        return sum(order.declines for order in self.orders.values() if order.cart == cart)

    def _may_wait(self, order: Expected) -> bool:
        """Whether the order's stock may be held for the bank: at most two at once per cart, two per order, half of a
        SKU."""
        waiting = [other for other in self.orders.values() if other.status == WAITING]
        if order.holds >= ORDER_HOLDS or sum(other.cart == order.cart for other in waiting) >= CART_HOLDS:
            return False
        for sku, quantity in order.lines.items():
            held = quantity + sum(other.lines.get(sku, 0) for other in waiting)
            all_of_it = held + self.stock[sku] - quantity
            if held > max(1, (all_of_it + 1) // 2):
                return False
        return True

    def _put_back(self, order: Expected) -> None:
        for sku, quantity in order.lines.items():
            self.stock[sku] += quantity

"""An order and its states. Its public form, the seed's JSON, is in `public_order.py` alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cart.rules.dispute import Dispute
from cart.rules.price import (
    DISCOUNT,
    SHIPPING,
    SKU,
    TAX,
    Line,
    Totals,
    check_chargeable,
    one_currency,
    price_lines,
)
from contracts.currencies import amount_for_people
from contracts.errors import Conflict, InvalidRequest, Refused

CREATED = "created"
PAYING = "paying"  # the payment is in progress
CONFIRMING = "confirming"  # a bank has to answer: the shopper has to confirm there, or the payment settles later
CANCELING = "canceling"  # the cancellation of the payment is in progress
PAID = "paid"
FULFILLED = "fulfilled"
CANCELED = "canceled"
RETURNED = "returned"

# The legal next statuses of each status.
NEXT: dict[str, set[str]] = {
    CREATED: {PAYING, CANCELING},
    PAYING: {PAID, CREATED, CONFIRMING},
    CONFIRMING: {PAYING, CANCELING},
    CANCELING: {CANCELED, PAID, CONFIRMING, CREATED},  # the last two: its payment cannot be canceled
    PAID: {FULFILLED, RETURNED},
    FULFILLED: {RETURNED},
    CANCELED: set(),
    RETURNED: {PAID, FULFILLED},  # its refund has failed
}

# What the payment of an order waits for while it is CONFIRMING, or being checked.
ACTION = "action"  # the shopper has to confirm it to the bank
PROCESSING = "processing"  # the bank has accepted it, and settles it within days

# The work owed for a paid order.
LABEL, EMAIL, SMS = "label", "email", "sms"
MESSAGES = (EMAIL, SMS)
# What releases its stock, and returns its label, once nothing is sent for it.
RELEASE, VOID = "release", "void"

# A calculated tax must be recorded before it expires; an order is paid only if that leaves so much time (seconds): a
# bank debit may take 14 business days, and then the tax provider may be away.
TAX_RESERVE_S = 30 * 86400

# An order is claimed while it is in one of these.
AT_WORK = (PAYING, CANCELING)
# The money is taken.
SETTLED = (PAID, FULFILLED, RETURNED)
# The shopper's view: an order that is not paid yet is just created, regardless of internal steps.
PUBLIC = {PAYING: CREATED, CONFIRMING: CREATED, CANCELING: CREATED}


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address, in Stripe's terms."""

    city: str | None = None
    country: str | None = None
    line1: str | None = None
    line2: str | None = None
    postal_code: str | None = None
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Customer:
    """Who receives the parcel and the messages; `phone` is None when no SMS is wanted."""

    email: str
    name: str
    address: Address
    phone: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Customer:
        """From a request: ``{"email", "phone", "name", "address": {...}}``."""
        address = Address(**{name: given["address"].get(name) for name in Address.__slots__})
        return cls(given["email"], given["name"], address, given.get("phone"))


@dataclass(frozen=True, slots=True)
class ShippingMethod:
    """A carrier's service at a price.

    Attributes:
        id: the rate's id.
        amount: in the currency's smallest unit.
        delivery_estimate: ``{"date": "2026-12-24", "type": "exact"}``, or None.
    """

    id: str
    amount: int
    currency: str
    description: str
    delivery_estimate: dict[str, Any] | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> ShippingMethod:
        """From its JSON, here and at the shipping service."""
        name, amount = given["id"], given["amount"]
        return cls(name, amount, given["currency"], given["description"], given.get("delivery_estimate"))

    @property
    def line(self) -> Line:
        """The order's line while this method is selected."""
        return Line(SHIPPING, self.amount, self.currency, self.description, self.id)


@dataclass(frozen=True, slots=True)
class Return:
    """A refund that counts, as the order shows it.

    Attributes:
        id: ``rf_…``.
        amount: in the currency's smallest unit.
        created: Unix seconds.
        refund: the provider's id.
        pending: whether the money is still on its way.
    """

    id: str
    amount: int
    created: int
    refund: str
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """What a discount code takes off an order: the provider's id of the code, and the order's line."""

    discount_id: str
    line: Line


@dataclass(frozen=True, slots=True)
class OrderTax:
    """The tax of an order, as its provider has calculated it.

    Attributes:
        calculation: the provider's id of the calculation.
        amount: the tax, in the currency's smallest unit.
        included: whether the prices include it.
        expires_at: until when the calculation can be recorded (Unix seconds).
        codes: the tax codes of the SKUs that have one, as they were at checkout.
    """

    calculation: str
    amount: int
    included: bool
    expires_at: int
    codes: Mapping[str, str]

    def is_current(self, now: float) -> bool:
        """Whether an order can be paid with it. `now`: Unix seconds."""
        return now <= self.expires_at - TAX_RESERVE_S


@dataclass
class Order:
    """One order.

    Attributes:
        id: ``or_…``.
        cart_id: the cart that placed it.
        customer, currency, live (whether real money is paid), created (Unix seconds): fixed when it is placed.
        lines: the goods, the discount and taxes, at the prices of that moment.
        discount: the provider's id of the discount code that it was placed with, or None.
        tax: its calculated tax; None when the prices include the tax, and nobody has calculated it.
        shipment: the id of the shipment that was quoted for it; None when nothing is sent.
        methods, method_id: the shipping methods offered, and the selected one.
        status: one of the states above; updated: when the order last changed (Unix seconds).
        times: when it became paid, fulfilled, canceled or returned (Unix seconds), by status; for a returned order
            also when its parcel moved.
        charge: the provider's id of the charge that paid it.
        carrier, tracking_number: of its label.
        returns: its refunds that count, the newest first; amount_returned: what has gone back, None before that.
        dispute: the dispute of its charge, as last seen.
        amount_lost: what lost disputes were about, in the currency's smallest unit; see `given_back`.
        attempt: how many times a payment was begun; part of every key of that attempt.
        payment: the PaymentIntent's id, once there is one.
        redirects: whether this attempt opens a payment that methods with a redirect may pay, too.
        stock_key: the reservation that currently holds its stock, or None.
        card: a digest of the card that paid, to distinguish a repetition from a payment by another card.
        waits_for: ACTION or PROCESSING, as the last check found it. Copies of older code leave it unchanged, so it
            means nothing unless the order is CONFIRMING or PAYING.
        failure: why the last payment was not taken: ``{"detail", "code", "decline_code"}``; None once another begins.
        claim: identifies the current claim; None while the order is not claimed.
        holder: the copy of the service that holds the claim.
        claimed_until: the end of that claim (Unix seconds); 0 while the order is not claimed.
        due_at: when the order is checked again (Unix seconds); 0 while it is claimed.
        looks: how often it was released while its state was unknown.
        token: lets its bearer read the order; None for an order of an earlier release that was not shown since.
    """

    id: str
    cart_id: str
    customer: Customer
    currency: str
    lines: tuple[Line, ...]
    created: int
    updated: int
    shipment: str | None = None
    methods: tuple[ShippingMethod, ...] = ()
    method_id: str | None = None
    live: bool = False
    status: str = CREATED
    times: dict[str, int] = field(default_factory=dict)
    charge: str | None = None
    carrier: str | None = None
    tracking_number: str | None = None
    discount: str | None = None
    tax: OrderTax | None = None
    returns: tuple[Return, ...] = ()
    amount_returned: int | None = None
    dispute: Dispute | None = None
    amount_lost: int = 0
    attempt: int = 0
    payment: str | None = None
    redirects: bool | None = None
    stock_key: str | None = None
    card: str | None = None
    waits_for: str | None = None
    failure: Mapping[str, Any] | None = None
    claim: str | None = None
    holder: str | None = None
    claimed_until: float = 0.0
    due_at: float = 0.0
    looks: int = 0
    token: str | None = field(default=None, repr=False)

    @classmethod
    def place(
        cls,
        order_id: str,
        cart_id: str,
        customer: Customer,
        goods: Sequence[Line],
        offer: Offer | None,
        now: int,
        live: bool,
        cut: Cut | None = None,
        tax: OrderTax | None = None,
    ) -> Order:
        """Turn priced goods and a quoted shipment into an order; prices and discount are fixed here.

        Args:
            offer: None when nothing is sent.
            now: Unix seconds.
            live: whether real money is paid.
            cut: the discount of the cart's code.
            tax: as calculated for these goods, this discount, and the shipping method selected by default.

        Raises Conflict when the lines have more than one currency, or one payment cannot take the total.
        """
        currency = one_currency(line.currency for line in goods)
        discount = () if cut is None else (cut.line,)
        lines = (*goods, *discount, _tax_line(tax, currency))
        order = cls(order_id, cart_id, customer, currency, lines, now, now, live=live, tax=tax)
        if offer is not None:
            order.shipment, order.methods, order.method_id = offer.shipment, offer.methods, offer.selected.id
        order.discount = None if cut is None else cut.discount_id
        check_chargeable(order.totals, currency)
        return order

    @property
    def all_lines(self) -> tuple[Line, ...]:
        """Its lines, that of the selected shipping method last."""
        return (*self.lines, *(method.line for method in self.methods if method.id == self.method_id))

    @property
    def totals(self) -> Totals:
        """What it costs."""
        return price_lines(self.all_lines)

    @property
    def amount(self) -> int:
        """The amount to pay, in the currency's smallest unit."""
        return self.totals.total

    @property
    def code(self) -> str | None:
        """The discount code that it was placed with."""
        return next((line.parent for line in self.lines if line.kind == DISCOUNT), None) if self.discount else None

    @property
    def busy_until(self) -> float:
        """The end of its claim, or when it is checked again (Unix seconds)."""
        return max(self.claimed_until, self.due_at)

    @property
    def settled(self) -> bool:
        """True once the money is taken."""
        return self.status in SETTLED

    @property
    def over(self) -> bool:
        """Whether its stock was released after the payment: it was returned. Nothing is sent for it any more, even if
        its refund has failed since."""
        return self.settled and self.stock_key is None

    @property
    def processing(self) -> bool:
        """True while a bank settles its payment, which takes days and cannot be stopped."""
        return self.status == CONFIRMING and self.waits_for == PROCESSING

    @property
    def payment_status(self) -> str:
        """The state of its payment, as the shopper sees it."""
        if self.settled:
            return "succeeded"
        if self.status in (PAYING, CONFIRMING) and self.waits_for == PROCESSING:
            return "processing"
        if self.status == CONFIRMING or (self.status == PAYING and self.waits_for == ACTION):
            return "requires_action"
        if self.status == CREATED and self.failure is not None:
            return "failed"
        return "canceled" if self.status == CANCELED else "unpaid"

    @property
    def deliveries(self) -> tuple[str, ...]:
        """The kinds of work owed for it once it is paid, in their order: the messages mention the label."""
        return MESSAGES if self.shipment is None else (LABEL, *MESSAGES)

    @property
    def stock(self) -> list[dict[str, Any]]:
        """The stock that it needs, as products reserves it: ``{"parent": sku, "quantity"}`` for each line."""
        return [{"parent": line.parent, "quantity": line.quantity} for line in self.lines if line.kind == SKU]

    @property
    def pieces(self) -> dict[str, int]:
        """How many pieces of each SKU it needs, by SKU in alphabetical order."""
        found: dict[str, int] = {}
        for line in sorted((line for line in self.lines if line.kind == SKU), key=lambda line: str(line.parent)):
            found[line.parent or ""] = found.get(line.parent or "", 0) + (line.quantity or 0)
        return found

    def key(self, step: str) -> str:
        """The key under which a step of the current attempt is requested."""
        return f"{self.id}:{self.attempt}:{step}"

    def require(self, status: str) -> None:
        """Raises Conflict unless the order may become `status`."""
        if status not in NEXT[self.status]:
            raise Conflict(f"Order {self.id} is {self.public_status}; it cannot become {status}.")

    def become(self, status: str, now: int) -> None:
        """Change the status to `status`, and record when. Raises Conflict as `require` does."""
        self.require(status)
        self.status = status
        self.updated = now
        if status in (*SETTLED, CANCELED):
            self.times.setdefault(status, now)  # an order whose refund has failed is paid since its payment

    @property
    def public_status(self) -> str:
        """The status that a shopper sees."""
        return PUBLIC.get(self.status, self.status)

    def require_current_tax(self, now: float) -> None:
        """Raises Conflict when its tax was calculated too long ago to be recorded. `now`: Unix seconds."""
        if self.tax is not None and not self.tax.is_current(now):
            raise Conflict(f"The tax of order {self.id} was calculated too long ago. Check out again.")

    def offered(self, method_id: str) -> ShippingMethod:
        """The shipping method with that id. Raises as `choose` does."""
        if self.status != CREATED:
            what = "is being paid" if self.status in (PAYING, CONFIRMING) else f"is {self.status}"
            raise Conflict(f"Order {self.id} {what}; its shipping method is fixed.")
        found = next((method for method in self.methods if method.id == method_id), None)
        if found is None:
            raise InvalidRequest(
                f"Order {self.id} was not offered that shipping method.",
                {"errors": {"shipping_id": ["must be the id of one of the order's shipping_methods"]}},
            )
        return found

    def choose(self, method_id: str, now: int, tax: OrderTax | None = None) -> None:
        """Select one of the shipping methods; the amount changes with it.

        Args:
            tax: as calculated for this method; an order with a tax needs it.

        Raises Conflict once a payment has begun, InvalidRequest for a method that was not offered for this order.
        """
        self.offered(method_id)
        lines = (*(line for line in self.lines if line.kind != TAX), _tax_line(tax, self.currency))
        check_chargeable(replace(self, method_id=method_id, lines=lines).totals, self.currency)
        self.method_id, self.lines, self.tax, self.updated = method_id, lines, tax, now

    @property
    def given_back(self) -> int:
        """How much of its amount has gone back or is on its way, by refunds and by lost disputes, in the currency's
        smallest unit.

        A dispute may be about all of the charge although a part was refunded before. The part comes back to the shop
        even if the dispute is lost:
        https://support.stripe.com/questions/dispute-for-full-charge-amount-after-a-partial-refund-was-issued.
        """
        refunded = sum(each.amount for each in self.returns)
        return refunded + min(self.amount_lost, max(0, self.amount - refunded))

    def give_back(self, returns: Sequence[Return], now: int) -> None:
        """Show the refunds. The order is returned while what was given back covers its amount, which may be 0.

        If refunds have failed since, a returned order is paid again, or fulfilled if its parcel has moved.

        Args:
            returns: every one that counts, the newest first, as all lists of Stripe.
            now: Unix seconds.
        """
        unchanged = self.returns == tuple(returns)
        self.returns = tuple(returns)
        # An earlier release left an order returned whose refund had failed.
        right = (self.status == RETURNED) == (self.given_back >= self.amount)
        if unchanged and (self.amount_returned or 0) == self.given_back and self.amount and right:
            return
        self.updated = now
        self.amount_returned = self.given_back
        if self.given_back >= self.amount and self.status in (PAID, FULFILLED):
            self.become(RETURNED, now)
        elif self.given_back < self.amount and self.status == RETURNED:
            del self.times[RETURNED]
            self.become(FULFILLED if FULFILLED in self.times else PAID, now)

    def arrive(self, now: int) -> None:
        """The carrier has its parcel, or the mail that it consists of was sent. A returned order only records when, in
        case its refund fails. `now`: Unix seconds."""
        if self.status == PAID:
            self.become(FULFILLED, now)
        elif self.status == RETURNED:
            self.times.setdefault(FULFILLED, now)

    def show_dispute(self, dispute: Dispute | None, lost: int, now: int) -> None:
        """Show the dispute of its charge; a lost one counts as given back.

        Args:
            lost: what all lost disputes of it have taken, in the currency's smallest unit.
            now: Unix seconds.
        """
        if self.dispute != dispute:
            self.dispute, self.updated = dispute, now
        self.amount_lost = lost
        if self.amount_lost or self.amount_returned:
            self.give_back(self.returns, now)


@dataclass(frozen=True, slots=True)
class Offer:
    """What the carriers ask for a shipment: its id, the shipping methods, and the one selected by default."""

    shipment: str
    methods: tuple[ShippingMethod, ...]
    selected: ShippingMethod

    @classmethod
    def of(cls, given: Mapping[str, Any], currency: str) -> Offer:
        """From the shipping service's answer ``{"object_id", "methods", "selected"}``: the methods in `currency`.

        Raises Refused when there is none.
        """
        methods = tuple(ShippingMethod.of(each) for each in given["methods"] if each["currency"] == currency)
        if not methods:
            raise Refused(f"No carrier ships there for a price in {currency}.")
        cheapest = min(methods, key=lambda method: method.amount)
        return cls(given["object_id"], methods, next((m for m in methods if m.id == given["selected"]), cheapest))


def _tax_line(tax: OrderTax | None, currency: str) -> Line:
    """An order's one tax line: its amount is what the tax adds to the other lines, so that `amount` is their sum."""
    if tax is None:
        return Line(TAX, 0, currency, "Taxes (included)")
    if tax.included:
        return Line(TAX, 0, currency, f"Taxes ({amount_for_people(tax.amount, currency)} included)")
    return Line(TAX, tax.amount, currency, "Taxes")


def goods(offered: Mapping[str, Any]) -> Line:
    """The line of one offered product: ``{"parent", "description", "quantity", "price" (of one), "currency"}``."""
    quantity: int = offered["quantity"]
    amount = offered["price"] * quantity
    return Line(SKU, amount, offered["currency"], offered["description"], offered["parent"], quantity)

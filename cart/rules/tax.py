"""The tax of an order: what a tax provider is asked, what its answer means, and the port to it.

Tax is calculated at checkout, once the prices, the discount and the shipping method are known, and again when another
method is selected. The sale is recorded once the order is paid, and reversed by refunds: work owed, as `owed` says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cart.rules.order import Address, Order, OrderTax
from cart.rules.price import DISCOUNT, SKU, Line, shared
from contracts.currencies import charge_step
from contracts.errors import Conflict, ProviderFailure

# The kinds of owed work. To undo a reversal is to reverse it, too: `UNDOES` in the details is then the key of its task.
# `ASKED` in those of a reversal says that the provider may have it, even without an answer.
SALE, REVERSAL = "tax", "tax_reversal"
UNDOES, ASKED = "undoes", "asked"


@dataclass(frozen=True, slots=True)
class Taxed:
    """Goods whose tax is asked for.

    Attributes:
        sku: the SKU.
        amount: what is left of its price after the discount, in the currency's smallest unit.
        quantity: the number of pieces.
        code: what it counts as for taxes, in the provider's terms; None for the provider's default.
    """

    sku: str
    amount: int
    quantity: int
    code: str | None


@dataclass(frozen=True, slots=True)
class Question:
    """What the tax of an order depends on.

    Attributes:
        currency: of the amounts, in lower case.
        address: where it goes; a country in capitals.
        goods: one for each SKU.
        shipping: the price of the selected shipping method, in the smallest unit; None when nothing is sent.
        included: whether the prices include the tax.
    """

    currency: str
    address: Address
    goods: tuple[Taxed, ...]
    shipping: int | None
    included: bool

    @property
    def amount(self) -> int:
        """The sum of its parts, in the smallest unit."""
        return sum(each.amount for each in self.goods) + (self.shipping or 0)


@dataclass(frozen=True, slots=True)
class Calculation:
    """A provider's answer.

    Attributes:
        id: the provider's.
        expires_at: until when it can be recorded (Unix seconds).
        added, contained: the tax in addition to the amounts asked about, and the tax that they contain.
        total: all of it with the tax, in the smallest unit.
    """

    id: str
    expires_at: int
    added: int
    contained: int
    total: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A recorded sale, a reversal, whose amounts are negative, or the reversal of one.

    Attributes:
        id: the provider's.
        reference: ours: the order's id, the refund's, or an undo's key.
        amount: with the tax, in the smallest unit.
        tax: the tax in it.
        reverses: the id of what it reverses.
    """

    id: str
    reference: str
    amount: int
    tax: int
    reverses: str | None = None

    def __str__(self) -> str:
        return f"{self.amount} with {self.tax} tax for {self.reference} ({self.id})"


class Taxes(Protocol):
    """A tax provider. All methods raise Unavailable and ProviderFailure."""

    def calculate(self, question: Question) -> Calculation:
        """Calculate a tax; nothing is recorded. Also raises Refused: naming ``address`` if it is not known."""

    def record(self, calculation: str, reference: str, key: str) -> str | None:
        """Record a calculation as a sale, once per `reference`; returns the provider's id of it.

        None: it is recorded, and its id was lost. Also raises Refused, OutcomeUnknown.
        """

    def reverse(self, sale: str, amount: int, reference: str, key: str) -> str | None:
        """Reverse `amount` (smallest unit, with its tax) of a sale, once per `reference`; returns and raises as
        `record`."""

    def undo(self, reversal: str, reference: str, key: str) -> str | None:
        """Reverse a whole reversal, once per `reference`; returns and raises as `record`."""

    def find(self, entry: str) -> Entry | None:
        """A sale or reversal; None when there is none with this id."""


def question(
    lines: Sequence[Line], shipping: int | None, address: Address, codes: Mapping[str, str], included: bool
) -> Question:
    """What to ask about an order. Each SKU bears its share of the discount, so that the tax is that of what is paid.

    Args:
        lines: the order's; those of goods and discounts count.
        shipping: the price of the selected shipping method; None when nothing is sent.
        codes: the tax codes of the SKUs that have one.
        included: whether the prices include the tax.

    Raises Conflict when the tax would be added in a currency of which only multiples of several units can be charged.
    """
    goods = [line for line in lines if line.kind == SKU]
    currency = goods[0].currency
    if not included and charge_step(currency) > 1:
        raise Conflict(f"The shop adds taxes to its prices (TAX_BEHAVIOR=exclusive), and cannot do so in {currency}.")
    discount = sum(line.amount for line in lines if line.kind == DISCOUNT)
    weights = [line.amount for line in goods]
    shares = shared(discount, weights) if discount else [0] * len(goods)
    taxed = [
        Taxed(line.parent or "", line.amount + share, line.quantity or 1, codes.get(line.parent or ""))
        for line, share in zip(goods, shares, strict=True)
    ]
    return Question(currency, address, tuple(taxed), shipping, included)


def order_tax(asked: Question, answer: Calculation) -> OrderTax:
    """The tax of an order, from the answer to `asked`.

    Raises ProviderFailure when the answer does not add up: an order never has a tax that its provider did not say.
    """
    added, contained = (0, answer.contained) if asked.included else (answer.added, 0)
    if (answer.added, answer.contained, answer.total) != (added, contained, asked.amount + added) or min(
        added, contained
    ) < 0:
        raise ProviderFailure("The calculated tax does not add up.")
    codes = {each.sku: each.code for each in asked.goods if each.code is not None}
    return OrderTax(answer.id, added or contained, asked.included, answer.expires_at, codes)


def owed(order: Order) -> dict[str, tuple[str, dict[str, Any] | None]]:
    """The work of recording taxes that an order has a right to, by its key: the kind, and its details.

    It is one sale for an order that is paid, and one reversal for each refund. The reversal of a refund that has failed
    since is undone: see `cart.deliveries.taxes.owe_taxes`.
    """
    if order.tax is None or not order.settled:
        return {}
    reversals: dict[str, tuple[str, dict[str, Any] | None]] = {
        reversal_key(each.id): (REVERSAL, {"refund": each.id, "amount": each.amount})
        for each in reversed(order.returns)
    }
    return {sale_key(order.id): (SALE, None), **reversals}


def failed_reversals(tasks: Iterable[Mapping[str, Any]], wanted: Collection[str]) -> list[Mapping[str, Any]]:
    """Those of an order's tasks that have reversed a refund which has failed since, or may be doing so.

    Args:
        wanted: the keys of `owed`.
    """
    return [
        task
        for task in tasks
        if task["kind"] == REVERSAL
        and UNDOES not in task["details"]
        and task["key"] not in wanted
        and (task["state"] != "done" or task["answer"] is not None)
    ]


def sale_key(order_id: str) -> str:
    """The key under which an order's sale is recorded."""
    return f"{order_id}:tax"


def reversal_key(refund_id: str) -> str:
    """The key under which a refund's reversal is recorded. `refund_id`: ``rf_…``."""
    return f"{refund_id}:tax"


def undo_key(refund_id: str) -> str:
    """The key under which the reversal of a failed refund is undone, and its reference at the provider."""
    return f"{refund_id}:tax_undo"

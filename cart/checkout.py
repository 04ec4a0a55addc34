"""Turns a cart into an order: fixes the prices, quotes the shipping methods, selects the cheapest, adds the tax."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from cart.discounts.codes import DiscountCodes
from cart.rules.order import Address, Customer, Cut, Offer, Order, OrderTax, goods
from cart.rules.price import SKU, Line, one_currency
from cart.rules.public_order import quoted
from cart.rules.tax import Taxes, order_tax, question
from cart.store.unit_of_work import CartStore
from chassis.clock import now as clock_now
from chassis.crash_points import crash_point
from chassis.logs import log
from contracts.errors import Conflict, InvalidRequest, NotFound, Refused, Unavailable
from contracts.product_limits import MAX_QUANTITY

POINTS = ("checkout:shipment:begun", "checkout:shipment:asked", "checkout:tax:asked", "checkout:order:done")


class Checkout:
    """Places orders.

    Args:
        store: stores carts and orders.
        products, shipping: the services, as a worker calls them.
        live: whether real money is paid.
        codes: the discount codes; None: a cart's code is ignored.
        taxes: calculates taxes; None when the payment provider has none.
        tax_included: whether the prices include the calculated tax; None: no new order has one.
    """

    def __init__(
        self,
        store: CartStore,
        products: Any,
        shipping: Any,
        live: bool,
        codes: DiscountCodes | None = None,
        taxes: Taxes | None = None,
        tax_included: bool | None = None,
    ) -> None:
        self.store = store
        self.products = products
        self.shipping = shipping
        self.live = live
        self.codes = codes
        self.taxes = taxes
        self.tax_included = tax_included

    def place(self, cart_id: str, customer: dict[str, Any], key: str) -> Order:
        """Place an order for the cart's contents, once per `key`; see `CartService.checkout`.

        Repeating the checkout, under any key, returns the same order while it is unpaid.
        """
        placed = self.store.orders.placed(key)
        if placed is not None:
            return placed
        wanted = self.store.carts.items(cart_id)
        if not wanted:
            raise Conflict("The cart is empty.")
        lines, currency, short = self._priced_if_in_stock(wanted)
        bought = [goods(line) for line in lines]
        cut, spent = (None, None) if self.codes is None else self.codes.cut(cart_id, bought, currency)
        tax_codes = {line["parent"]: code for line in lines if (code := line.get("tax_code")) is not None}
        taxed = None if self.tax_included is None else [self.tax_included, tax_codes]
        digest = _digest(customer, lines, cut, taxed)
        unpaid = self.store.orders.unpaid(cart_id, digest)
        if unpaid is not None:
            return unpaid
        # Checked only now, because this cart's own order may hold the last piece or redemption while its bank is asked.
        for refusal in (short, spent):
            if refusal is not None:
                raise refusal
        order_id, sent = _order_id(key), _sent(lines)
        crash_point("checkout:shipment:begun")
        offer = None
        if sent:
            with _blaming({"address": ("address",)}):
                offer = self._offer(_shipment_key(order_id, sent), order_id, customer, sent, currency)
        crash_point("checkout:shipment:asked")
        tax, recipient = None, Customer.of(customer)
        if self.tax_included is not None:
            discounted = bought if cut is None else [*bought, cut.line]
            shipping = None if offer is None else offer.selected.amount
            tax = self._tax(discounted, shipping, recipient.address, tax_codes, self.tax_included)
            crash_point("checkout:tax:asked")
        order = Order.place(order_id, cart_id, recipient, bought, offer, int(clock_now()), self.live, cut, tax)
        kept = self.store.orders.place(order, key, digest)
        crash_point("checkout:order:done")
        if kept is order:
            log.info("order placed", order_id=kept.id, amount=kept.amount, currency=kept.currency)
        return kept

    def choose_shipping(self, order_id: str, cart_id: str, method_id: str, key: str | None) -> Order:
        """Select a shipping method, once per `key`; see `CartService.choose_shipping`.

        The tax is calculated outside of the transaction. It depends on the method alone, because everything else of an
        order is fixed: of two choices at the same time, the later is stored with its own tax. It is not calculated for
        the method that is selected already, because a provider may charge for each calculation.
        """
        order, tax, now = self.store.orders.get(order_id, cart_id), None, int(clock_now())
        if order.tax is not None and not (key is not None and self.store.carts.added(key)):
            shipping = order.offered(method_id).amount
            if method_id == order.method_id and order.tax.is_current(now):
                tax = order.tax
            else:
                address, codes = order.customer.address, order.tax.codes
                tax = self._tax(order.lines, shipping, address, codes, order.tax.included)
        return self.store.orders.update(order_id, cart_id, lambda order: order.choose(method_id, now, tax), key)

    def quote(self, order: dict[str, Any], key: str) -> dict[str, Any]:
        """Fill in real rates for an external order; see `CartService.quote_order`.

        The rules are those of `place`, except for stock: an external order may have reserved its own already.
        """
        skus = [item for item in order["items"] if item["type"] == SKU]
        _check_quantities(order["items"])
        named = [thing["currency"] for thing in (order, *order["items"]) if thing.get("currency")]
        try:
            lines, currency = self._priced(skus, check_stock=False, named=named)
        except Conflict as error:
            unknown = [each["parent"] for each in error.facts.get("problems", []) if not each["known"]]
            if unknown:
                raise NotFound(f"This shop has no SKU {', '.join(unknown)}.") from error
            raise
        priced = iter(lines)
        sent = _sent(lines)
        if not sent:
            raise Conflict("The order has nothing to ship.")
        # A line without an amount has its SKU's price; any other adds nothing.
        amounts = [goods(next(priced)).amount if item["type"] == SKU else 0 for item in order["items"]]
        shipping = order["shipping"]
        customer = {
            "name": shipping["name"],
            "email": order.get("email"),
            "phone": shipping.get("phone"),
            "address": shipping["address"],
            "keep_address": True,  # the other system has settled it with the shopper
        }
        # An external order may have any id, so the id does not identify the owner of its shipment: the key does.
        with _blaming({"address": ("shipping", "address"), "items": ("items",)}):
            offer = self._offer(f"{key}:shipment", str(order.get("id") or ""), customer, sent, currency)
        return quoted(order, currency, amounts, offer)

    def _priced_if_in_stock(self, items: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str, Conflict | None]:
        """As `_priced`, and the refusal when only the stock is too small. Raises Conflict."""
        try:
            return *self._priced(items, check_stock=True), None
        except Conflict as refusal:
            with suppress(Conflict):
                return *self._priced(items, check_stock=False), refusal
            raise  # the first refusal also names what is out of stock

    def _priced(
        self, items: Iterable[dict[str, Any]], check_stock: bool, named: Iterable[str] = ()
    ) -> tuple[list[dict[str, Any]], str]:
        """The current prices of items, and the one currency of them and of all `named` ones. Raises Conflict."""
        lines = self.products.price(
            [{"parent": item["parent"], "quantity": item["quantity"]} for item in items], check_stock
        )
        return lines, one_currency([*named, *(line["currency"] for line in lines)])

    def _tax(
        self,
        lines: Sequence[Line],
        shipping: int | None,
        address: Address,
        codes: Mapping[str, str],
        included: bool,
    ) -> OrderTax:
        """The tax of an order, as `cart.rules.tax.question` describes it. Raises as the provider does."""
        if self.taxes is None:
            raise Unavailable("The payment provider in use has no taxes.")
        asked = question(lines, shipping, replace(address, country=(address.country or "").upper()), codes, included)
        return order_tax(asked, self.taxes.calculate(asked))

    def _offer(
        self, key: str, order_id: str, customer: dict[str, Any], lines: list[dict[str, Any]], currency: str
    ) -> Offer:
        return Offer.of(self.shipping.create(key, order_id, _recipient(customer), _parcels(lines)), currency)


@contextmanager
def _blaming(sent: dict[str, tuple[str, ...]]) -> Iterator[None]:
    """Let a refusal name only fields that the caller sent, nested as they were sent.

    Args:
        sent: shipping's name of a field -> its path in the caller's request. Other fields are the shop's state: an
            InvalidRequest that names one becomes a Conflict, and a Refused omits it.
    """
    try:
        yield
    except (InvalidRequest, Refused) as error:
        named = error.facts.pop("errors", {})
        errors: dict[str, Any] = {}
        for name in sorted(named.keys() & sent.keys()):
            place = errors
            for part in sent[name][:-1]:
                place = place.setdefault(part, {})
            place[sent[name][-1]] = named[name]
        if errors:
            error.facts["errors"] = errors
        elif isinstance(error, InvalidRequest):
            raise Conflict(
                " ".join([error.detail, *(str(each) for name in sorted(named) for each in named[name])])
            ) from error
        raise


def _check_quantities(items: list[dict[str, Any]]) -> None:
    """Allow no more of a SKU than a cart can hold, over all lines together. Raises InvalidRequest."""
    total: Counter[str] = Counter()
    for number, item in enumerate(items):
        if item["type"] == SKU:
            total[item["parent"]] += item["quantity"]
            if total[item["parent"]] > MAX_QUANTITY:
                message = f"an order has at most {MAX_QUANTITY} of {item['parent']}"
                errors = {"items": {str(number): {"quantity": [message]}}}
                raise InvalidRequest("The order has too much of one SKU.", {"errors": errors})


def _digest(customer: dict[str, Any], lines: list[dict[str, Any]], cut: Cut | None, taxed: list[Any] | None) -> str:
    """A digest of the order's input: the customer, the prices and the packages, the discount if there is one, and with
    taxes, whether the prices include them and the SKUs' tax codes."""
    placed_from: list[Any] = [customer, sorted(_parcels(lines), key=lambda line: str(line["parent"]))]
    if cut is not None:
        placed_from.append([cut.discount_id, cut.line.amount])
    if taxed is not None:
        placed_from.append(taxed)
    return hashlib.sha256(json.dumps(placed_from, sort_keys=True).encode()).hexdigest()


def _order_id(key: str) -> str:
    """The order's id: derived from the key, so that a redelivered message requests the same shipment."""
    return f"or_{hashlib.sha256(key.encode()).hexdigest()[:24]}"


def _shipment_key(order_id: str, lines: list[dict[str, Any]]) -> str:
    """The key of an order's shipment. It includes the lines, since the cart may have changed before a retry."""
    packed = hashlib.sha256(repr([(line["parent"], line["quantity"]) for line in lines]).encode()).hexdigest()
    return f"{order_id}:{packed[:16]}"


def _recipient(customer: dict[str, Any]) -> dict[str, Any]:
    address = {**customer["address"], "country": customer["address"]["country"].upper()}
    kept = {"keep": True} if customer.get("keep_address") else {}
    return {**address, **{name: customer.get(name) for name in ("name", "email", "phone")}, **kept}


def _sent(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines that are sent in a parcel; the others are digital products."""
    return [line for line in lines if line["shippable"]]


def _parcels(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The carrier's input: sizes and weights, and the data for customs."""
    wanted = ("parent", "description", "quantity", "price", "currency", "package_dimensions")
    return [{name: line[name] for name in wanted} for line in lines]

"""Shows carts: fast from what was stored with the items, or with the current prices and stock."""

from __future__ import annotations

from functools import partial
from typing import Any

from nameko.exceptions import RemoteError

from cart.discounts.codes import DiscountCodes
from cart.rules.cart import Item, is_shown, looked_up, summary
from cart.store.unit_of_work import CartStore
from chassis.logs import log
from contracts.errors import ShopError


class Showing:
    """Shows carts.

    Args:
        store: stores carts.
        products: the products service, as a worker calls it.
        codes: the discount codes.
    """

    def __init__(self, store: CartStore, products: Any, codes: DiscountCodes) -> None:
        self.store = store
        self.products = products
        self.codes = codes

    def items(self, cart_id: str) -> list[Item]:
        """The items of a cart, as they were when products was last asked about each of them.

        Products is asked only about a cart with items that a copy of the previous release has added. If it cannot
        answer, these have no name and no price.
        """
        items = self.store.carts.items(cart_id)
        if all(map(is_shown, items)):
            return items
        try:
            return self._look_up(cart_id, items)[0]
        except (ShopError, RemoteError) as error:
            log.warning("cart shown without prices", error=f"{type(error).__name__}: {error}")
            return items

    def summary(self, cart_id: str) -> dict[str, Any]:
        """See `CartService.summary`."""
        items, code = self.store.carts.items(cart_id), self.store.discounts.of_cart(cart_id)
        found = self._look_up(cart_id, items) if items else ([], {})
        return summary(*found, code, partial(self.codes.amount, cart_id))

    def _look_up(self, cart_id: str, items: list[Item]) -> tuple[list[Item], dict[str, str]]:
        """Ask products about all items, and store the answers; returns the items, and why some cannot be bought."""
        asked = [{"parent": item["parent"], "quantity": item["quantity"]} for item in items]
        found = {each["parent"]: each for each in self.products.show(asked)}
        now = self.store.carts.show(cart_id, {parent: looked_up(each) for parent, each in found.items()})
        # An item added since then was looked up when it was added.
        details = {parent: each["detail"] for parent, each in found.items() if each["detail"] is not None}
        return now, details

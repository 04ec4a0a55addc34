"""The products service: products (found, sorted and paged), their prices, and their stock."""

from __future__ import annotations

from typing import Any

from chassis.injection import injected
from chassis.logs import log
from chassis.rpc.entrypoint import rpc
from chassis.work.timer import timer
from contracts.errors import InvalidRequest, NotFound, ShopError, Unavailable, wrong_field
from products import bootstrap
from products.projection import MAX_LISTED, Projection
from products.rules.drafts import Draft
from products.rules.stock import Problem, gone, lines, short, unsized, unsold, wishes
from products.store.holds import held_of, held_page
from products.store.products import Kept

# These types are defined outside the class because `list` is a method inside it.
Items = list[dict[str, Any]]
Keys = list[str]

MAX_ON_A_PAGE = 100
# Seconds between two checks whether the catalogue has been read once; afterwards, a check is one small query.
READ_AGAIN = 5
# Seconds between two full reads of the catalogue, because a Stripe event may have been lost.
REBUILD_INTERVAL_S = 3600


class ProductsService:
    name = "products"

    store = injected(bootstrap.STORE)
    catalog = injected(bootstrap.CATALOG)
    currency = injected(bootstrap.CURRENCY)

    @rpc(expected_exceptions=ShopError, idempotent=True, most=14)
    def create(self, spec: dict[str, Any], key: str) -> dict[str, Any]:
        """Create a product with its SKU.

        Args:
            spec: the body of `POST /api/products/`: price in whole cents, dimensions in inches, weight in ounces.
            key: chosen by the caller; the same key creates only one product.

        Returns the public product. Raises InvalidRequest, Refused, Conflict (created and deleted since, or being
        created right now), Unavailable (repeating is safe), ProviderFailure.
        """
        draft = Draft.parse(spec, self.currency)
        return self._projection.add(draft, _key(key)).public()

    @rpc(expected_exceptions=ShopError, most=14)
    def update(self, product_id: str, changes: dict[str, Any], key: str | None = None) -> dict[str, Any]:
        """Change a product; fields missing from `changes` stay. Repeating the same changes is safe.

        Args:
            product_id: ``prod_…``.
            changes: the body of `PUT /api/products/{id}`; `metadata` is merged, and "" removes a name; every other
                value replaces the old one; `inventory` sets the current stock. A new price does not change the SKU's
                id.
            key: chosen by the caller; the same key sets the stock once, even after sales. None: every call sets it.

        Returns the public product. Raises NotFound, InvalidRequest, Refused, Unavailable, ProviderFailure.
        """
        return self._projection.change(product_id, changes, None if key is None else _key(key)).public()

    @rpc(expected_exceptions=ShopError)
    def get(self, product_id: str) -> dict[str, Any]:
        """Return the public product. Raises NotFound."""
        return self._projection.get(product_id).public()

    @rpc(expected_exceptions=ShopError)
    def list(
        self,
        category: str | None = None,
        order_by: str = "name",
        limit: int = MAX_ON_A_PAGE,
        starting_after: str | None = None,
    ) -> dict[str, Any]:
        """Return one page of the products, including inactive ones.

        Args:
            category: a whole name, attribute name, or value of the metadata `category`, `for` or `type`; or words that
                all occur in the name or description. Case is ignored. None or blank for everything.
            order_by: name, price, created, updated or a metadata name; a leading "-" reverses; products without the
                field come last.
            limit: 1 to 100.
            starting_after: `next_cursor` of the previous page, or the id of its last product.

        Returns ``{"object": "list", "url", "has_more", "total_count", "next_cursor", "data": [product, …]}``. Raises
        InvalidRequest.
        """
        _check_page(category, order_by, limit, starting_after)
        self._projection.require_read()
        data, following, total = self.store.page(category, order_by, limit, starting_after)
        return {
            "object": "list",
            "url": "/v1/products",
            "has_more": following is not None,
            "total_count": total,
            "next_cursor": following,
            "data": data,
        }

    @rpc(expected_exceptions=ShopError, most=6)
    def delete(self, product_id: str) -> dict[str, Any]:
        """Remove a product from every list, and take its SKU off sale, permanently.

        Returns ``{"id", "object": "product", "deleted": True}``, also for one that is already deleted, because the
        caller may have lost the first answer. Raises NotFound for one that never existed, Unavailable, ProviderFailure.
        """
        self._projection.remove(product_id)
        return {"id": product_id, "object": "product", "deleted": True}

    @rpc(expected_exceptions=ShopError)
    def offer(self, product_id: str) -> dict[str, Any]:
        """Return what a cart needs to know about a product.

        Returns ``{"product", "sku", "name", "price", "currency", "inventory": {"type", "quantity", "value"},
        "package_dimensions"}``: cents; current stock; inches and ounces. Raises NotFound (with the name of a deleted
        one), Conflict (not on sale, or no package dimensions).
        """
        kept = self.store.kept(product_id)
        if kept is not None and kept.removed:
            raise NotFound(f"{kept.product.name} is not on sale any more.")
        kept = self._projection.get(product_id)
        product = kept.product
        problem = _problem(product.sku.id, kept)
        if problem is not None:
            raise unsold([problem])
        return {
            "product": product.id,
            "sku": product.sku.id,
            "name": product.name,
            "price": product.sku.price,
            "currency": product.sku.currency,
            "inventory": kept.left.public(),
            "package_dimensions": product.package_dimensions,
        }

    @rpc(expected_exceptions=ShopError)
    def price(self, items: Items, check_stock: bool = True) -> Items:
        """Return the current prices of items.

        Args:
            items: ``[{"parent": "sku_…", "quantity": 2}, …]``.
            check_stock: reject items that are out of stock; reserves nothing.

        Returns, in the same order, ``{"parent", "product", "description", "quantity", "price", "currency",
        "package_dimensions"}``, with the price of one piece in cents. Raises InvalidRequest; Conflict when a SKU is not
        on sale, short, or without package dimensions: its detail names every product concerned, its ``facts`` are
        ``{"parent", "left", "problems": [{"parent", "detail", "left", "known"}]}``.
        """
        wanted = lines(items)
        kept = self.store.by_sku(line.parent for line in wanted)
        if len(kept) < len(wanted):
            self._projection.require_read()
        found = [
            _problem(line.parent, kept.get(line.parent), line.quantity if check_stock else None) for line in wanted
        ]
        problems = [problem for problem in found if problem is not None]
        if problems:
            raise unsold(problems)
        return [_priced(kept[wish.parent], wish.quantity) for wish in wishes(items)]

    @rpc(expected_exceptions=ShopError)
    def stock_left(self, skus: Keys) -> dict[str, int | None]:
        """Return the current stock of each SKU in pieces; None for one that is unlimited or unknown."""
        kept = self.store.by_sku(skus)
        return {sku: kept[sku].left.quantity if sku in kept else None for sku in skus}

    @rpc(expected_exceptions=ShopError)
    def reserve(self, key: str, items: Items) -> dict[str, Any]:
        """Reserve items for an order: all of them, or none.

        Args:
            key: chosen by the caller; the same key reserves once, and never again after its release.
            items: ``[{"parent": "sku_…", "quantity": 2}, …]``.

        Returns ``{"key", "state": "held"}``. Raises InvalidRequest; Conflict when a SKU is short or not on sale
        (``facts`` ``{"parent", "left"}``), when the key was released, or when it holds other items.
        """
        wanted = lines(items)
        self.store.stock.reserve(_key(key), wanted)
        return {"key": key, "state": "held"}

    @rpc(expected_exceptions=ShopError)
    def release(self, key: str) -> dict[str, Any]:
        """Release what `key` reserved, once; if it has reserved nothing yet, it never will.

        Returns ``{"key", "state": "released"}``.
        """
        self.store.stock.release(_key(key))
        return {"key": key, "state": "released"}

    @rpc(expected_exceptions=ShopError)
    def audit(self, after: str | None = None, since: float = 0.0, until: float = 9e12) -> dict[str, Any]:
        """Return a page of the reservations created in an interval that hold stock; see
        `products.store.holds.held_page`."""
        return held_page(self.store.database, after, since, until)

    @rpc(expected_exceptions=ShopError)
    def held(self, keys: Keys) -> Keys:
        """Return the members of `keys` (as for `reserve`) that hold stock."""
        return held_of(self.store.database, keys)

    @rpc(expected_exceptions=ShopError)
    def rebuild(self) -> dict[str, int]:
        """Read the whole catalogue from Stripe, and update the database; stock levels do not change.

        Returns ``{"products", "written", "removed", "set_aside"}``; the last counts products off sale because Stripe's
        record of them cannot be read. Raises Unavailable, ProviderFailure. Takes seconds per 1000 products.
        """
        return self._projection.rebuild()

    @rpc(expected_exceptions=ShopError, most=6)
    def refresh(self, product_id: str) -> dict[str, Any]:
        """Read one product from Stripe, and update the database; its stock does not change. Repeating is safe.

        Returns ``{"product", "present"}``: whether the shop has it afterwards. Raises Unavailable, ProviderFailure.
        """
        return {"product": product_id, "present": self._projection.refresh(product_id)}

    @rpc(expected_exceptions=ShopError)
    def set_aside(self) -> Items:
        """The products off sale because Stripe's record of them cannot be read, oldest first.

        Returns ``[{"product", "reason", "since"}]``, at most 1000, `since` in Unix seconds. They go back on sale once
        the record is readable, after Stripe's event or the hourly full read.
        """
        return self.store.aside(MAX_LISTED)

    @rpc(expected_exceptions=ShopError)
    def health(self) -> dict[str, str]:
        """Returns ``{"status": "ok", "database": "ok"}``; raises Unavailable when it cannot serve requests."""
        self.store.database.ready()
        self._projection.require_read()
        return {"status": "ok", "database": "ok"}

    @timer(interval=READ_AGAIN, eager=True)
    def read_catalogue(self) -> None:
        """Fill the projection if it is empty, as at the first start; retry while Stripe is down. Does not block the
        start."""
        try:
            if not self.store.catalogue_read():
                log.info("catalogue read", **self._projection.rebuild())
        except ShopError as error:
            log.warning("catalogue not read", detail=error.detail)

    @timer(interval=REBUILD_INTERVAL_S)
    def read_catalogue_again(self) -> None:
        """Apply changes made elsewhere, such as in Stripe's dashboard, in case their event was lost."""
        try:
            log.info("catalogue read again", **self._projection.rebuild())
        except ShopError as error:
            log.warning("catalogue not read again", detail=error.detail)

    @timer(interval=3600)
    def forget(self) -> None:
        """Delete records that exist only to detect repetitions, once they have expired."""
        try:
            self.store.stock.forget_fillings()
        except Unavailable as error:
            log.warning("postponed", error=str(error))

    @property
    def _projection(self) -> Projection:
        return Projection(self.catalog, self.store)


def _problem(sku: str, kept: Kept | None, quantity: int | None = None) -> Problem | None:
    """Return why `quantity` pieces of a SKU (None: any number) cannot be sold now; None if they can."""
    if kept is None:
        return gone(sku, None)
    product = kept.product
    if kept.removed or not product.on_sale:
        return gone(sku, product.name)
    if not product.sized:
        return unsized(sku, product.name)
    if quantity is None or kept.left.covers(quantity):
        return None
    return short(sku, product.name, quantity, kept.left)


def _priced(kept: Kept, quantity: int) -> dict[str, Any]:
    product = kept.product
    return {
        "parent": product.sku.id,
        "product": product.id,
        "description": product.name,
        "quantity": quantity,
        "price": product.sku.price,
        "currency": product.sku.currency,
        "package_dimensions": product.package_dimensions,
    }


def _key(key: Any) -> str:
    if not isinstance(key, str) or not 1 <= len(key) <= 255:
        raise wrong_field("key", "must be 1 to 255 characters", "A key is 1 to 255 characters.")
    return key


def _check_page(category: Any, order_by: Any, limit: Any, starting_after: Any) -> None:
    errors: dict[str, Any] = {}
    if category is not None and not isinstance(category, str):
        errors["category"] = ["must be a string"]
    if not isinstance(order_by, str) or not order_by.removeprefix("-"):
        errors["order_by"] = ["must name what to order by"]
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MAX_ON_A_PAGE:
        errors["limit"] = [f"must be a whole number between 1 and {MAX_ON_A_PAGE}"]
    if starting_after is not None and not isinstance(starting_after, str):
        errors["starting_after"] = ["must be a product's id"]
    if errors:
        raise InvalidRequest(f"Not a valid list: {', '.join(sorted(errors))}.", {"errors": errors})

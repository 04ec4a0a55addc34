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
from products.rules.catalog import Product, Sku
from products.rules.drafts import Draft
from products.rules.stock import Line, Problem, gone, lines, short, unsized, unsold, wishes
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
        """Create a product with its SKUs.

        Args:
            spec: the body of `POST /api/products/`: price in whole cents, dimensions in inches, weight in ounces.
            key: chosen by the caller; the same key creates only one product. A call that its deadline has ended
                continues where it stopped when it is repeated under its key.

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
                id. `price`, `inventory` and `attributes_sku` only while the product has one SKU.
            key: chosen by the caller; the same key sets the stock once, even after sales. None: every call sets it.

        Returns the public product. Raises NotFound, InvalidRequest, Refused, Unavailable, ProviderFailure.
        """
        return self._projection.change(product_id, changes, None if key is None else _key(key)).public()

    @rpc(expected_exceptions=ShopError, idempotent=True, most=14)
    def add_sku(self, product_id: str, spec: dict[str, Any], key: str) -> dict[str, Any]:
        """Add a SKU to a product.

        Args:
            product_id: ``prod_…``.
            spec: the body of `POST /api/products/{id}/skus/`.
            key: chosen by the caller; the same key adds only one SKU.

        Returns the public product. Raises NotFound, InvalidRequest, Refused, Conflict (it has 100, or the SKU was added
        and removed since, or others are changing its SKUs right now), Unavailable, ProviderFailure.
        """
        return self._projection.add_sku(product_id, spec, _key(key)).public()

    @rpc(expected_exceptions=ShopError, most=14)
    def update_sku(self, product_id: str, sku: str, changes: dict[str, Any], key: str | None = None) -> dict[str, Any]:
        """Change a SKU, whose id stays; fields missing from `changes` stay. Repeating the same changes is safe.

        Args:
            product_id, sku: ``prod_…``, ``sku_…``.
            changes: the body of `PUT /api/products/{id}/skus/{sku}/`; `inventory` sets the current stock.
            key: chosen by the caller; the same key sets the stock once, even after sales. None: every call sets it.

        Returns the public product. Raises as `update` does, and Conflict while others change the product's SKUs.
        """
        return self._projection.change_sku(product_id, sku, changes, None if key is None else _key(key)).public()

    @rpc(expected_exceptions=ShopError, most=6)
    def delete_sku(self, product_id: str, sku: str) -> dict[str, Any]:
        """Remove one of several SKUs, permanently.

        Returns the public product, also when the SKU is already removed. Raises NotFound for one that never existed,
        Conflict for the last one, or while others change the product's SKUs, Unavailable, ProviderFailure.
        """
        return self._projection.remove_sku(product_id, sku).public()

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
            limit: 1 to 100; a page has fewer products when they have many SKUs (`listing.SKUS_ON_A_PAGE`).
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
        """Remove a product from every list, and take its SKUs off sale, permanently.

        Returns ``{"id", "object": "product", "deleted": True}``, also for one that is already deleted, because the
        caller may have lost the first answer. Raises NotFound for one that never existed, Unavailable, ProviderFailure.
        """
        self._projection.remove(product_id)
        return {"id": product_id, "object": "product", "deleted": True}

    @rpc(expected_exceptions=ShopError)
    def offer(
        self, product_id: str, sku: str | None = None, attributes: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Return what a cart needs to know about a product, or one of its SKUs.

        Args:
            product_id: ``prod_…``.
            sku, attributes: which of several SKUs: its id, or values of attributes that only it has.

        Returns ``{"product", "sku", "name", "image", "attributes", "price", "currency", "inventory": {"type",
        "quantity", "value"}, "package_dimensions"}``: cents; current stock; inches and ounces, None if nothing is sent.
        Raises NotFound (with the name of a deleted one), InvalidRequest (it has no such SKU), Conflict (several SKUs
        match, or it is not on sale, or has no package dimensions).
        """
        kept = self.store.kept(product_id)
        if kept is not None and kept.removed:
            raise NotFound(f"{kept.product.name} is not on sale any more.")
        kept = self._projection.get(product_id)
        product = kept.product
        if sku is not None and product.sku(sku) is None and self.store.had(product_id, sku):
            raise unsold([gone(sku, product.name)])
        chosen = product.chosen(sku, attributes)
        problem = _problem(chosen.id, kept)
        if problem is not None:
            raise unsold([problem])
        return {
            "product": product.id,
            "sku": chosen.id,
            **_shown(product, chosen),
            "inventory": kept.left[chosen.id].public(),
            "package_dimensions": product.packed(chosen),
        }

    @rpc(expected_exceptions=ShopError)
    def show(self, items: Items) -> Items:
        """Return how a cart shows its items now, whether or not they can be bought.

        Args:
            items: ``[{"parent": "sku_…", "quantity": 2}, …]``.

        Returns, in the same order, ``{"parent", "product", "name", "image", "attributes", "price", "currency",
        "detail"}``: the current price of one piece in cents, and why the quantity cannot be bought now (None if it
        can). An item that is not on sale any more has only `parent`, `product` and `detail`. Raises InvalidRequest.
        """
        kept = self._kept_by_sku({line.parent for line in wishes(items)})
        shown = []
        for line in wishes(items):
            found = kept.get(line.parent)
            problem = _problem(line.parent, found, line.quantity)
            sku = None if found is None or found.removed else found.product.sku(line.parent)
            shown.append(
                {
                    "parent": line.parent,
                    "product": None if found is None else found.product.id,
                    **({} if found is None or sku is None else _shown(found.product, sku)),
                    "detail": None if problem is None else problem.detail,
                }
            )
        return shown

    @rpc(expected_exceptions=ShopError)
    def price(self, items: Items, check_stock: bool = True) -> Items:
        """Return the current prices of items.

        Args:
            items: ``[{"parent": "sku_…", "quantity": 2}, …]``.
            check_stock: reject items that are out of stock; reserves nothing.

        Returns, in the same order, ``{"parent", "product", "description", "quantity", "price", "currency", "shippable",
        "package_dimensions", "tax_code"}``, with the price of one piece in cents. Raises InvalidRequest; Conflict when
        a SKU is not on sale, short, or without package dimensions: its detail names every product concerned, its
        ``facts`` are ``{"parent", "left", "problems": [{"parent", "detail", "left", "known"}]}``.
        """
        wanted = lines(items)
        kept = self._kept_by_sku({line.parent for line in wanted})
        found = [
            _problem(line.parent, kept.get(line.parent), line.quantity if check_stock else None) for line in wanted
        ]
        problems = [problem for problem in found if problem is not None]
        if problems:
            raise unsold(problems)
        return [_priced(kept[wish.parent].product, wish) for wish in wishes(items)]

    @rpc(expected_exceptions=ShopError)
    def stock_left(self, skus: Keys) -> dict[str, int | None]:
        """Return the current stock of each SKU in pieces; None for one that is unlimited or unknown."""
        kept = self.store.by_sku(set(skus))
        left = {sku: inventory for each in kept.values() for sku, inventory in each.left.items()}
        return {sku: left[sku].quantity if sku in left else None for sku in skus}

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

    def _kept_by_sku(self, skus: set[str]) -> dict[str, Kept]:
        kept = self.store.by_sku(skus)
        if len(kept) < len(skus):
            self._projection.require_read()
        return kept


def _problem(sku_id: str, kept: Kept | None, quantity: int | None = None) -> Problem | None:
    """Return why `quantity` pieces of a SKU (None: any number) cannot be sold now; None if they can."""
    if kept is None:
        return gone(sku_id, None)
    product, sku = kept.product, kept.product.sku(sku_id)
    if sku is None or kept.removed or not product.sells(sku):
        return gone(sku_id, product.name if sku is None else product.titled(sku))
    if not product.sized(sku):
        return unsized(sku_id, product.titled(sku))
    left = kept.left[sku_id]
    if quantity is None or left.covers(quantity):
        return None
    return short(sku_id, product.titled(sku), quantity, left)


def _shown(product: Product, sku: Sku) -> dict[str, Any]:
    return {
        "name": product.name,
        "image": product.pictured(sku),
        "attributes": sku.attributes,
        "price": sku.price,
        "currency": sku.currency,
    }


def _priced(product: Product, wish: Line) -> dict[str, Any]:
    sku = product.sku(wish.parent)
    assert sku is not None  # `_problem` has found it
    return {
        "parent": sku.id,
        "product": product.id,
        "description": product.titled(sku),
        "quantity": wish.quantity,
        "price": sku.price,
        "currency": sku.currency,
        "shippable": product.shippable,
        "package_dimensions": product.packed(sku),
        "tax_code": product.tax_code,
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

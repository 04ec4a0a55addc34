"""Keeps the projection consistent with the catalogue: write-through on every change, and full rebuilds."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import Any

from chassis.logs import log
from contracts.errors import Conflict, NotFound, ShopError, Unavailable
from contracts.product_limits import SKUS
from products.rules.catalog import Catalog, Product, Sku, Unsellable, product_id, sku_id
from products.rules.drafts import Change, Draft, SkuChange, SkuDraft
from products.rules.stock import Filling, Inventory
from products.store.products import Kept, ProductStore

# How many concurrent writers of one product are awaited before the caller is asked to retry.
ATTEMPTS = 10
# Products written in one transaction of a rebuild: small enough that other writers barely wait.
BATCH = 100
# The most set-aside products in one answer to an operator.
MAX_LISTED = 1000


class Projection:
    """The catalogue as stored in the shop's own database.

    Args:
        catalog: the system that keeps the products and prices.
        store: where they are projected to.
    """

    def __init__(self, catalog: Catalog, store: ProductStore) -> None:
        self.catalog = catalog
        self.store = store

    def add(self, draft: Draft, key: str) -> Kept:
        """Create a product; the same key returns or completes it. Raises Conflict when it was deleted since."""
        made = product_id(key)
        try:
            if self.store.kept(made) is None:
                # If it exists by now, another copy has handled the same message in the meantime.
                skus = [sku_id(key, number) for number in range(len(draft.skus))]
                self.store.save(self.catalog.add(draft, made, skus), 0)
            return self.get(made)
        except NotFound:
            raise Conflict(f"What this key made, {made}, has been deleted.") from None

    def get(self, product_id: str) -> Kept:
        """Return the product. Raises NotFound, or Unavailable before the catalogue was first read."""
        kept = self.store.kept(product_id)
        if kept is None:
            self.require_read()
        if kept is None or kept.removed:
            raise NotFound(f"There is no product {product_id}.")
        return kept

    def change(self, product_id: str, given: dict[str, Any], key: str | None = None) -> Kept:
        """Change a product; the same `key` sets its stock once. Raises NotFound, InvalidRequest."""
        # A new list of attributes must fit to all SKUs, and a change of attributes to the list.
        alone = {"attributes", "attributes_sku"} & given.keys()
        with self._skus_of(product_id) if alone else nullcontext(self.get(product_id)) as kept:
            change = Change.parse(given, kept.product)
            only = None if change.sku is None else change.sku.inventory
            filling = _filling(kept, kept.product.skus[0].id, only, key)
            return self._changed(kept, lambda: self.catalog.change(kept.product, change), filling)

    def add_sku(self, product_id: str, given: Any, key: str) -> Kept:
        """Add a SKU to a product; the same key returns or completes it.

        Raises NotFound, InvalidRequest, Conflict when it was removed since, or the product has as many as it may have.
        """
        made = sku_id(f"{product_id}:{key}")
        with self._skus_of(product_id) as kept:
            product = kept.product
            if product.sku(made) is not None:
                return kept
            if self.store.had(product_id, made):
                raise Conflict(f"What this key made, {made}, has been removed.")
            draft = SkuDraft.parse(given, product)
            if len(product.skus) >= SKUS:
                raise Conflict(f"A product has at most {SKUS} SKUs.")
            return self._changed(kept, lambda: self.catalog.add_sku(product, draft, made))

    def change_sku(self, product_id: str, sku: str, given: Any, key: str | None = None) -> Kept:
        """Change a SKU; the same `key` sets its stock once. Raises NotFound, InvalidRequest."""
        with self._skus_of(product_id) as kept:
            product, current = kept.product, _sku(kept, sku)
            change = SkuChange.parse(given, product, current)
            filling = _filling(kept, sku, change.inventory, key)
            return self._changed(kept, lambda: self.catalog.change_sku(product, sku, change), filling)

    def remove_sku(self, product_id: str, sku: str) -> Kept:
        """Remove a SKU; removing it again changes nothing.

        Raises NotFound when it never existed, Conflict when it is the product's last.
        """
        with self._skus_of(product_id) as kept:
            product = kept.product
            if product.sku(sku) is None and self.store.had(product_id, sku):
                return kept
            _sku(kept, sku)
            if len(product.skus) == 1:
                raise Conflict(f"{sku} is the last SKU of {product_id}: delete the product instead.")
            return self._changed(kept, lambda: self.catalog.remove_sku(product, sku))

    @contextmanager
    def _skus_of(self, product_id: str) -> Iterator[Kept]:
        """The product, whose SKUs no one else changes meanwhile."""
        self.get(product_id)
        with self.store.alone(product_id):
            yield self.get(product_id)

    def _changed(self, kept: Kept, change: Callable[[], Product], filling: Filling | None = None) -> Kept:
        """Change a product in the catalogue, then here; return it as it is then."""
        product_id = kept.product.id
        try:
            changed = change()
        except NotFound:
            self.store.remove(product_id)
            raise
        if not self.store.save(changed, kept.revision, filling):  # another writer was faster
            fresh = self._read(product_id, filling)
            if fresh is None:
                raise NotFound(f"There is no product {product_id}.")
            if isinstance(fresh, Unsellable):
                raise Conflict(f"The product {product_id} cannot be sold: {fresh.reason}.")
        return self.get(product_id)

    def remove(self, product_id: str) -> None:
        """Delete a product; deleting it again changes nothing. Raises NotFound when it never existed.

        A repeated deletion succeeds, because the caller may have lost the first answer.
        """
        kept = self.store.kept(product_id)
        if kept is None:
            self.require_read()
            raise NotFound(f"There is no product {product_id}.")
        if not kept.removed:
            self.catalog.remove(kept.product)
            self.store.remove(product_id)

    def require_read(self) -> None:
        """Raise Unavailable until the catalogue has been read once: until then an empty projection proves nothing."""
        if not self.store.catalogue_read():
            raise Unavailable("The catalogue is still being read from Stripe.", {"retry_after": 2})

    def rebuild(self) -> dict[str, int]:
        """Read the whole catalogue and update the projection to match. Stock levels do not change.

        Changes made during the run are newer than what it read, and are kept.

        Returns how many products exist, how many rows were written, and how many were removed.
        """
        before = self.store.revisions()
        seen: set[str] = set()
        written = 0
        found = self.catalog.all()
        while batch := list(islice(found, BATCH)):
            batch = [each for each in batch if _concerns_us(each, each.id in before)]
            several = self.store.skus_of([each.id for each in batch])
            batch = [each for each in batch if not _lacks(each, several.get(each.id, set()))]
            seen.update(each.id for each in batch)
            written += self._take_over(batch, before)
        # A product that changed during the paging may be on no page, or lack a SKU, and is then fetched by its id.
        unseen = sorted(before.keys() - seen)
        there = [fresh for known in unseen if (fresh := self.catalog.get(known)) is not None]
        written += self._take_over(there, before)
        lost = set(unseen) - {each.id for each in there}
        for known in sorted(lost):
            self.store.remove(known)
        self.store.forget_aside(seen | set(unseen))
        self.store.set_catalogue_read()
        aside = len(self.store.aside(MAX_LISTED))
        return {
            "products": len(seen) + len(unseen) - len(lost),
            "written": written,
            "removed": len(lost),
            "set_aside": aside,
        }

    def refresh(self, product_id: str) -> bool:
        """Read one product from the catalogue and update the projection to match; return whether it is listed
        afterwards.

        Its stock does not change. A removed product stays removed.

        Raises Unavailable, ProviderFailure.
        """
        self._read(product_id)
        kept = self.store.kept(product_id)
        return kept is not None and not kept.removed

    def _read(self, product_id: str, filling: Filling | None = None) -> Product | Unsellable | None:
        """Project the catalogue's current state of one product; return it, or None when it is not the shop's."""
        for _ in range(ATTEMPTS):
            # Revision first, catalogue second, so that what is read is at least as new as what was written.
            kept = self.store.kept(product_id)
            if kept is not None and kept.removed:
                return None
            fresh = self.catalog.get(product_id)
            if fresh is None or not _concerns_us(fresh, kept is not None):
                if kept is not None:
                    self.store.remove(product_id)
                return None
            revision = 0 if kept is None else kept.revision
            if isinstance(fresh, Unsellable):
                written = self.store.set_aside(product_id, fresh.reason, revision)
            elif filling is None and kept is not None and kept.product == fresh:
                written = not self.store.is_aside(product_id) or self.store.save(fresh, revision)
            else:
                written = self.store.save(fresh, revision, filling)
            if written:
                return fresh
        raise Unavailable("The product is being changed by others; try again.", {"retry_after": 1})

    def _take_over(self, batch: Sequence[Product | Unsellable], before: dict[str, int]) -> int:
        """Write the catalogue's state of some products, each based on its revision; return how many changed."""
        for each in batch:
            if isinstance(each, Unsellable):
                self.store.set_aside(each.id, each.reason, before.get(each.id, 0))
        return self._save([(each, before.get(each.id, 0)) for each in batch if isinstance(each, Product)])

    def _save(self, found: Sequence[tuple[Product, int]]) -> int:
        """Write what fits; a product that does not fit a column is set aside, and does not block the others."""
        try:
            return self.store.save_all(found)
        except ShopError:
            raise
        except Exception as error:
            if len(found) > 1:
                log.exception("products are written one by one")
                return sum(self._save([each]) for each in found)
            [(product, revision)] = found
            log.exception("product set aside", product=product.id)
            self.store.set_aside(product.id, f"it cannot be written: {type(error).__name__}", revision)
            return 0


def _sku(kept: Kept, sku_id: str) -> Sku:
    found = kept.product.sku(sku_id)
    if found is None:
        raise NotFound(f"{kept.product.id} has no SKU {sku_id}.")
    return found


def _filling(kept: Kept, sku: str, inventory: Inventory | None, key: str | None) -> Filling | None:
    return None if inventory is None else Filling(sku, inventory, key or uuid.uuid4().hex, kept.revision)


def _lacks(found: Product | Unsellable, skus: set[str]) -> bool:
    return isinstance(found, Product) and not skus <= {sku.id for sku in found.skus}


def _concerns_us(found: Product | Unsellable, known: bool) -> bool:
    """Whether the shop has, or should have, the product. The same account may hold products of others."""
    return known or isinstance(found, Product) or found.ours

"""The catalogue in Stripe: a Product for each product of the shop, and a Price for each of its SKUs.

A SKU is a Price's lookup key. A Price's amount is immutable, so a new price is a new Price that takes over the lookup
key. Data that Stripe has no field for is kept in metadata under names that begin with ``shop:``.

The first SKU's id is in the Product's metadata: a product exists once that SKU has its Price, which is made last. The
other SKUs are found by their Prices: active, of this Product, and with a lookup key that is also in their metadata.

Every creation carries an id or a lookup key that Stripe keeps unique, and an idempotency key derived from it. Repeating
therefore settles an unknown outcome (no answer after all attempts), which is reported as Unavailable.
"""

from __future__ import annotations

import contextvars
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import eventlet
import requests

from chassis.providers.http_session import ProviderSession
from chassis.providers.stripe_sdk import asked_past_saved_failures, stripe
from chassis.records import SetAside, read_one
from chassis.settings import Settings
from contracts.errors import Conflict, NotFound, ProviderFailure
from products.rules.catalog import Product, Unsellable
from products.rules.drafts import Change, Draft, SkuChange, SkuDraft
from products.stripe import fields
from products.stripe.errors import translated

PAGE = 100  # Stripe's maximum page size
ATTEMPTS = 3  # per call, at least half a second apart; the call's own deadline ends them earlier
# Prices of one product that are created or archived at the same time: fewer than a process has places for Stripe
# (`chassis.providers.guard`).
PRICES_AT_ONCE = 5

if TYPE_CHECKING:
    from stripe.params import PriceCreateParams, PriceUpdateParams, ProductCreateParams, ProductUpdateParams

Made = TypeVar("Made")


class StripeCatalog:
    """`rules.catalog.Catalog` over Stripe's API.

    Args:
        key: the API key.
        base: the URL to use in place of Stripe's own, or None.
        session: the HTTP session of every request; shared, with its own timeouts.
    """

    def __init__(self, key: str, base: str | None, session: requests.Session) -> None:
        stripe.enable_telemetry = False  # it would write a file into the home directory
        client = stripe.StripeClient(
            key,
            base_addresses={"api": base} if base else {},
            max_network_retries=ATTEMPTS - 1,
            http_client=stripe.RequestsClient(session=session),
        )
        self._products = client.v1.products
        self._prices = client.v1.prices

    @translated()
    def add(self, draft: Draft, product_id: str, skus: Sequence[str]) -> Product:
        """See `Catalog.add`. A repetition creates only the prices that do not exist yet."""
        # All are built before anything is sent, so that a value that does not fit cannot leave half a product.
        product = fields.new_product(draft, product_id, skus[0])
        first, *more = [
            fields.new_price(each, draft.currency, product_id, sku, place)
            for place, (each, sku) in enumerate(zip(draft.skus, skus, strict=True))
        ]
        made = self._make_product(product, product_id)
        if fields.is_removed(made):
            raise NotFound(f"The product {product_id} was removed.")
        if more:
            known = {price.lookup_key for price in self._active(product_id)}
            _at_once([partial(self._make_price, price) for price in more if price["lookup_key"] not in known])
        offer = self._make_price(first)
        if more or _is_replayed(made) or _is_replayed(offer):
            # A replayed answer is as old as the first attempt.
            return self._required(product_id)
        return fields.to_product(made, [offer])

    @translated()
    def change(self, product: Product, change: Change) -> Product:
        """See `Catalog.change`."""
        changes = fields.changed_product(change)
        if changes:
            made = self._update_product(product.id, changes)
            if fields.is_removed(made):
                raise NotFound(f"There is no product {product.id}.")
        if change.sku is not None:
            self._change_price(product.id, product.skus[0].id, change.sku)
        return self._required(product.id)

    @translated()
    def add_sku(self, product: Product, draft: SkuDraft, sku: str) -> Product:
        """See `Catalog.add_sku`."""
        place = 1 + max(each.place for each in product.skus)
        self._make_price(fields.new_price(draft, product.skus[0].currency, product.id, sku, place))
        return self._required(product.id)

    @translated()
    def change_sku(self, product: Product, sku: str, change: SkuChange) -> Product:
        """See `Catalog.change_sku`."""
        self._change_price(product.id, sku, change)
        return self._required(product.id)

    @translated()
    def remove_sku(self, product: Product, sku: str) -> Product:
        """See `Catalog.remove_sku`. Its price keeps the lookup key, so that the SKU's id is never used again."""
        first = next(each.id for each in product.skus if each.id != sku)
        if product.skus[0].id == sku:
            self._update_product(product.id, {"metadata": {fields.SKU: first}})
        ids = {price.id for price in (*self._own_prices(product.id, [sku]), self._price(sku)) if price is not None}
        for price_id in sorted(ids):
            self._update_price(price_id, {"active": False, "metadata": {fields.REMOVED: "true"}})
        return self._required(product.id)

    @translated()
    def remove(self, product: Product) -> None:
        """See `Catalog.remove`. Stripe cannot delete a product that has a price, so the product is archived and
        marked."""
        try:
            asked_past_saved_failures(lambda _: self._products.delete(product.id), None)
            return
        except stripe.InvalidRequestError as error:
            if _is_missing(error):
                return
        self._update_product(product.id, {"active": False, "metadata": {fields.REMOVED: "true"}})
        own = self._own_prices(product.id, [sku.id for sku in product.skus])
        _at_once([partial(self._update_price, price.id, {"active": False}) for price in own])

    @translated()
    def get(self, product_id: str) -> Product | Unsellable | None:
        """See `Catalog.get`. A product without a price counts as not created yet."""
        return self._get(product_id)

    def all(self) -> Iterator[Product | Unsellable]:
        """See `Catalog.all`."""
        with translated():
            prices: dict[str, stripe.Price] = {}
            variants: dict[str, list[stripe.Price]] = {}
            for price in self._prices.list({"active": True, "limit": PAGE}).auto_paging_iter():
                key = getattr(price, "lookup_key", None)
                if isinstance(key, str):
                    prices[key] = price
                    if fields.sku_of(price):
                        variants.setdefault(str(price.product), []).append(price)
            # A price that is inactive, or that changed during the paging, is fetched by its lookup key.
            for product in self._products.list({"limit": PAGE}).auto_paging_iter():
                more = variants.get(product.id, ())
                found = self._read(product, more, lambda sku: prices.get(sku) or self._price(sku))
                if found is not None:
                    yield found

    def _read(
        self,
        product: stripe.Product,
        active: Iterable[stripe.Price],
        price_of: Callable[[str], stripe.Price | None],
    ) -> Product | Unsellable | None:
        """Return the shop's product, the reason why it cannot be sold, or None when it was removed.

        Args:
            active: its active prices.
            price_of: returns the price with a lookup key.
        """
        if fields.is_removed(product):
            return None
        sku = fields.metadata(product).get(fields.SKU)
        if not isinstance(sku, str) or not sku:
            return Unsellable(product.id, f"its metadata has no {fields.SKU}", ours=False)
        first = price_of(sku)
        if first is None:
            return Unsellable(product.id, f"no price has its lookup key {sku}", ours=False)
        prices = [first, *(price for price in active if fields.sku_of(price) not in ("", sku))]
        found = read_one("product at Stripe", product, lambda each: fields.to_product(each, prices))
        return Unsellable(product.id, found.reason) if isinstance(found, SetAside) else found

    def _get(self, product_id: str) -> Product | Unsellable | None:
        try:
            product = self._products.retrieve(product_id)
        except stripe.InvalidRequestError as error:
            if _is_missing(error):
                return None
            raise
        if fields.is_removed(product):
            return None
        active = self._active(product_id)
        found = {price.lookup_key: price for price in active}
        return self._read(product, active, lambda sku: found.get(sku) or self._price(sku))

    def _required(self, product_id: str) -> Product:
        found = self._get(product_id)
        if found is None:
            raise NotFound(f"There is no product {product_id}.")
        if isinstance(found, Unsellable):
            raise Conflict(f"The product {product_id} cannot be sold: {found.reason}.")
        return found

    def _make_product(self, params: ProductCreateParams, product_id: str) -> stripe.Product:
        try:
            return _once(lambda options: self._products.create(params, options), f"{product_id}:create")
        except stripe.InvalidRequestError:
            # Stripe may have expired the idempotency key: then an earlier attempt has taken the id.
            with suppress(stripe.InvalidRequestError):
                return self._products.retrieve(product_id)
            raise

    def _make_price(self, params: PriceCreateParams) -> stripe.Price:
        sku = params["lookup_key"]
        try:
            return _once(lambda options: self._prices.create(params, options), f"{sku}:create")
        except stripe.InvalidRequestError:
            found = self._price(sku)
            if found is None:
                raise
            return found

    def _update_product(self, product_id: str, params: ProductUpdateParams) -> stripe.Product:
        """Absolute values: an update may be repeated."""
        return asked_past_saved_failures(lambda _: self._products.update(product_id, params), None)

    def _update_price(self, price_id: str, params: PriceUpdateParams) -> stripe.Price:
        """As `_update_product`."""
        return asked_past_saved_failures(lambda _: self._prices.update(price_id, params), None)

    def _price(self, sku: str) -> stripe.Price | None:
        found = self._prices.list({"lookup_keys": [sku], "limit": 1}).data
        return found[0] if found else None

    def _active(self, product_id: str) -> list[stripe.Price]:
        """Every active price of the product."""
        return list(self._prices.list({"product": product_id, "active": True, "limit": PAGE}).auto_paging_iter())

    def _own_prices(self, product_id: str, skus: Sequence[str]) -> list[stripe.Price]:
        """Every active price that the shop created for SKUs of the product, including those that a SKU no longer points
        to."""
        return [price for price in self._active(product_id) if fields.metadata(price).get(fields.SKU) in skus]

    def _change_price(self, product_id: str, sku: str, change: SkuChange) -> None:
        current = self._price(sku)
        if current is None or fields.is_removed(current):
            raise ProviderFailure(f"Stripe has no price for {sku}.")
        amount, entries = change.price, fields.changed_entries(change)
        if amount is not None and amount != current.unit_amount:
            kept = {**fields.metadata(current), **entries}
            params: PriceCreateParams = {
                "product": product_id,
                "currency": current.currency,
                "unit_amount": amount,
                "lookup_key": sku,
                "transfer_lookup_key": True,
                "metadata": {name: value for name, value in kept.items() if value},
            }
            # Derived from the preceding price: repeating a change creates one price, and the same amount next year
            # another.
            mark = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:32]
            _once(lambda options: self._prices.create(params, options), f"{current.id}:{mark}")
        elif entries:
            self._update_price(current.id, {"metadata": entries})
        if amount is not None:
            # Includes prices left by a change that was killed halfway. Only the lookup key says which one is current.
            for price in self._own_prices(product_id, [sku]):
                if price.lookup_key != sku:
                    self._update_price(price.id, {"active": False})


def _at_once(calls: Sequence[Callable[[], object]]) -> None:
    """Make several calls, some at the same time; after a failure no other begins. Raises the first failure."""
    failures: list[Exception] = []

    def make(call: Callable[[], object]) -> None:
        if not failures:
            try:
                call()
            except Exception as error:
                failures.append(error)

    pool = eventlet.GreenPool(PRICES_AT_ONCE)
    for call in calls:
        # Each greenlet has a copy of this one's context, and so its deadline.
        pool.spawn_n(contextvars.copy_context().run, make, call)
    pool.waitall()
    if failures:
        raise failures[0]


def _once(call: Callable[[Any], Made], key: str) -> Made:
    """`call` with an idempotency key, which Stripe may have used up: the unique id or lookup key prevents a second."""
    try:
        return asked_past_saved_failures(call, f"shop:{key}")
    except stripe.InvalidRequestError as error:  # Stripe saves a refusal, too, although it may be over
        if not _is_true(error.headers, "Idempotent-Replayed"):
            raise
        return call({})


def _is_missing(error: stripe.InvalidRequestError) -> bool:
    return error.http_status == 404 or error.code == "resource_missing"


def _is_replayed(made: stripe.StripeObject) -> bool:
    response = made.last_response
    return response is not None and _is_true(response.headers, "Idempotent-Replayed")


def _is_true(headers: Any, name: str) -> bool:
    return str((headers or {}).get(name, "")).lower() == "true"


def stripe_catalog(settings: Settings) -> StripeCatalog:
    """Return the catalogue at Stripe, or at the sandbox instead."""
    session = ProviderSession(settings.provider_connect_timeout, settings.provider_timeout, "Stripe")
    return StripeCatalog(settings.stripe.key, settings.stripe.base, session)

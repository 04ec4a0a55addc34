"""The catalogue in Stripe: a Product and a Price for each product of the shop.

A SKU is a Price's lookup key. A Price's amount is immutable, so a new price is a new Price that takes over the lookup
key. Data that Stripe has no field for is kept in metadata under names that begin with ``shop:``.

Every creation carries an id or a lookup key that Stripe keeps unique, and an idempotency key derived from it. Repeating
therefore settles an unknown outcome (no answer after all attempts), which is reported as Unavailable.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import requests

from chassis.providers.http_session import ProviderSession
from chassis.providers.stripe_sdk import stripe
from chassis.records import SetAside, read_one
from chassis.settings import Settings
from contracts.errors import Conflict, NotFound, ProviderFailure
from products.rules.catalog import Product, Unsellable
from products.rules.drafts import Change, Draft
from products.stripe import fields
from products.stripe.errors import translated

PAGE = 100  # Stripe's maximum page size
ATTEMPTS = 3  # per call, at least half a second apart; the call's own deadline ends them earlier

if TYPE_CHECKING:
    from stripe.params import PriceCreateParams, ProductCreateParams

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
    def add(self, draft: Draft, product_id: str, sku: str) -> Product:
        """See `Catalog.add`."""
        # Both are built before anything is sent, so that a value that does not fit cannot leave half a product.
        product = fields.new_product(draft, product_id, sku)
        price = fields.new_price(draft, product_id, sku)
        made = self._make_product(product, product_id)
        if fields.is_removed(made):
            raise NotFound(f"The product {product_id} was removed.")
        offer = self._make_price(price, sku)
        if _is_replayed(made) or _is_replayed(offer):
            # A replayed answer is as old as the first attempt.
            return self._required(product_id)
        return fields.to_product(made, offer)

    @translated()
    def change(self, product: Product, change: Change) -> Product:
        """See `Catalog.change`."""
        changes, entries = fields.changed_product(change), fields.changed_entries(change)
        if changes:
            made = self._products.update(product.id, changes)
            if fields.is_removed(made):
                raise NotFound(f"There is no product {product.id}.")
        if change.price is not None or entries:
            self._change_price(product, change.price, entries)
        return self._required(product.id)

    @translated()
    def remove(self, product: Product) -> None:
        """See `Catalog.remove`. Stripe cannot delete a product that has a price, so the product is archived and
        marked."""
        try:
            self._products.delete(product.id)
            return
        except stripe.InvalidRequestError as error:
            if _is_missing(error):
                return
        self._products.update(product.id, {"active": False, "metadata": {fields.REMOVED: "true"}})
        for price in self._own_prices(product):
            self._prices.update(price.id, {"active": False})

    @translated()
    def get(self, product_id: str) -> Product | Unsellable | None:
        """See `Catalog.get`. A product without a price counts as not created yet."""
        return self._get(product_id)

    def all(self) -> Iterator[Product | Unsellable]:
        """See `Catalog.all`."""
        with translated():
            prices: dict[str, stripe.Price] = {}
            for price in self._prices.list({"active": True, "limit": PAGE}).auto_paging_iter():
                key = getattr(price, "lookup_key", None)
                if isinstance(key, str):
                    prices[key] = price
            # A price that is inactive, or that changed during the paging, is fetched by its lookup key.
            for product in self._products.list({"limit": PAGE}).auto_paging_iter():
                found = self._read(product, lambda sku: prices.get(sku) or self._price(sku))
                if found is not None:
                    yield found

    def _read(
        self, product: stripe.Product, price_of: Callable[[str], stripe.Price | None]
    ) -> Product | Unsellable | None:
        """Return the shop's product, the reason why it cannot be sold, or None when it was removed."""
        if fields.is_removed(product):
            return None
        sku = fields.metadata(product).get(fields.SKU)
        if not isinstance(sku, str) or not sku:
            return Unsellable(product.id, f"its metadata has no {fields.SKU}", ours=False)
        price = price_of(sku)
        if price is None:
            return Unsellable(product.id, f"no price has its lookup key {sku}", ours=False)
        found = read_one("product at Stripe", product, lambda each: fields.to_product(each, price))
        return Unsellable(product.id, found.reason) if isinstance(found, SetAside) else found

    def _get(self, product_id: str) -> Product | Unsellable | None:
        try:
            product = self._products.retrieve(product_id)
        except stripe.InvalidRequestError as error:
            if _is_missing(error):
                return None
            raise
        return self._read(product, self._price)

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

    def _make_price(self, params: PriceCreateParams, sku: str) -> stripe.Price:
        try:
            return _once(lambda options: self._prices.create(params, options), f"{sku}:create")
        except stripe.InvalidRequestError:
            found = self._price(sku)
            if found is None:
                raise
            return found

    def _price(self, sku: str) -> stripe.Price | None:
        found = self._prices.list({"lookup_keys": [sku], "limit": 1}).data
        return found[0] if found else None

    def _own_prices(self, product: Product) -> list[stripe.Price]:
        """Yield every active price that the shop created for the product, including those that its SKU no longer points
        to."""
        listed = self._prices.list({"product": product.id, "active": True, "limit": PAGE})
        return [
            price for price in listed.auto_paging_iter() if fields.metadata(price).get(fields.SKU) == product.sku.id
        ]

    def _change_price(self, product: Product, amount: int | None, entries: dict[str, str]) -> None:
        sku = product.sku.id
        current = self._price(sku)
        if current is None:
            raise ProviderFailure(f"Stripe has no price for {sku}.")
        if amount is not None and amount != current.unit_amount:
            params: PriceCreateParams = {
                "product": product.id,
                "currency": current.currency,
                "unit_amount": amount,
                "lookup_key": sku,
                "transfer_lookup_key": True,
                "metadata": {**fields.metadata(current), **entries},
            }
            # Derived from the preceding price: repeating a change creates one price, and the same amount next year
            # another.
            mark = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:32]
            _once(lambda options: self._prices.create(params, options), f"{current.id}:{mark}")
        elif entries:
            self._prices.update(current.id, {"metadata": entries})
        if amount is not None:
            # Includes prices left by a change that was killed halfway. Only the lookup key says which one is current.
            for price in self._own_prices(product):
                if price.lookup_key != sku:
                    self._prices.update(price.id, {"active": False})


def _once(call: Callable[[Any], Made], key: str) -> Made:
    """`call` with an idempotency key. Stripe also replays a failure; then only the unique id or lookup key protects."""
    try:
        return call({"idempotency_key": f"shop:{key}"})
    except stripe.StripeError as error:
        if str((error.headers or {}).get("Idempotent-Replayed", "")).lower() != "true":
            raise
        return call({})


def _is_missing(error: stripe.InvalidRequestError) -> bool:
    return error.http_status == 404 or error.code == "resource_missing"


def _is_replayed(made: stripe.StripeObject) -> bool:
    response = made.last_response
    return response is not None and str(response.headers.get("Idempotent-Replayed", "")).lower() == "true"


def stripe_catalog(settings: Settings) -> StripeCatalog:
    """Return the catalogue at Stripe, or at the sandbox instead."""
    session = ProviderSession(settings.provider_connect_timeout, settings.provider_timeout, "Stripe")
    return StripeCatalog(settings.stripe.key, settings.stripe.base, session)

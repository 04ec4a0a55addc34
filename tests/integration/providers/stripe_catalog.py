"""The catalogue of Stripe that its tests use, and Stripe's API without the adapter."""

from __future__ import annotations

from typing import Any

import requests

from chassis.providers.http_session import ProviderSession
from chassis.settings import SANDBOX_KEYS
from products.rules.catalog import Product, product_id, sku_id
from products.rules.drafts import Change, Draft
from products.stripe.catalog import StripeCatalog
from tests.products import new_product

BONE = new_product(package_dimensions={"height": 5.0, "length": 5.5, "weight": 5.0, "width": 5.0})
LOST_ANSWER = {"lose_answer_rate": 1, "method": "POST"}  # Stripe does the work, but the answer is lost


def catalog_at(url: str, key: str = SANDBOX_KEYS["stripe"]) -> StripeCatalog:
    return StripeCatalog(key, url, ProviderSession(5.0, 20.0))


class Stripe:
    """Calls Stripe's HTTP API directly, without the adapter."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}/stripe/v1"

    def ask(self, method: str, path: str, **data: Any) -> Any:
        options = {"params": data} if method == "GET" else {"data": data}
        return requests.request(
            method, self.url + path, auth=(SANDBOX_KEYS["stripe"], ""), timeout=30, **options
        ).json()

    def product(self, product: str) -> Any:
        return self.ask("GET", f"/products/{product}")

    def prices(self, product: str, **where: Any) -> list[Any]:
        found: list[Any] = self.ask("GET", "/prices", product=product, limit=100, **where)["data"]
        return found


def add(catalog: StripeCatalog, key: str, **spec: Any) -> Product:
    return catalog.add(Draft.parse({**BONE, **spec}, "usd"), product_id(key), [sku_id(key)])


def changed(catalog: StripeCatalog, product: Product, **given: Any) -> Product:
    return catalog.change(product, Change.parse(given, product))

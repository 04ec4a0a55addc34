"""Our side's service: `products` that knows one answer, under `nameko run` and everything that the shop stands on."""

from __future__ import annotations

from typing import Any

from bench.rpc.echo import product
from chassis.entrypoint import rpc
from contracts.errors import ShopError


class Products:
    """Answers `GET /api/products/{id}` of the real gateway, and its question whether the service is well."""

    name = "products"

    @rpc(expected_exceptions=ShopError)
    def get(self, product_id: str) -> dict[str, Any]:
        """A product at once, so that the hop is measured and not a database."""
        return product(product_id)

    @rpc(expected_exceptions=ShopError)
    def health(self) -> dict[str, str]:
        """Always well."""
        return {"status": "ok", "database": "ok"}

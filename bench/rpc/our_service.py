"""Our side's service: a `products` with one fixed answer, under `nameko run` and the shop's whole chassis."""

from __future__ import annotations

from typing import Any

from bench.rpc.echo import product
from chassis.rpc.entrypoint import rpc
from contracts.errors import ShopError


class Products:
    """Answers `GET /api/products/{id}` of the real gateway, and its health check of the service."""

    name = "products"

    @rpc(expected_exceptions=ShopError)
    def get(self, product_id: str) -> dict[str, Any]:
        """Return a product at once, so that the hop is measured without a database."""
        return product(product_id)

    @rpc(expected_exceptions=ShopError)
    def health(self) -> dict[str, str]:
        """Always healthy."""
        return {"status": "ok", "database": "ok"}

"""Products: the catalogue, as Stripe's objects with the seed's SKUs."""

from __future__ import annotations

from typing import Any

from falcon import Request, Response

from gateway import schemas
from gateway.idempotency import effect, fresh_key, of_admin
from gateway.links import link_next
from gateway.reading import body, query
from gateway.routing import delete, get, post, put
from gateway.visit import known, services


@post("/api/products", status=201, admin=True)
def create(request: Request, response: Response) -> dict[str, Any]:
    """Put a product on sale; `Location` gives its URL."""
    spec = body(request, schemas.PRODUCT)
    once = effect(request, spec, of_admin)
    if "currency" in spec:
        spec["currency"] = spec["currency"].lower()
    product: dict[str, Any] = services(request, once).products.create(spec, once.key)
    response.set_header("Location", f"/api/products/{product['id']}/")
    return product


@get("/api/products")
def listed(request: Request, response: Response) -> dict[str, Any]:
    """Products by category or search word, sorted, in pages.

    Those with `active` false are listed, but cannot be bought. A page ends early when its products have many SKUs.
    """
    wanted = query(request, schemas.PRODUCTS_QUERY)
    page: dict[str, Any] = services(request).products.list(
        wanted.get("category"), wanted.get("order_by", "name"), wanted.get("limit", 100), wanted.get("starting_after")
    )
    link_next(response, "/api/products/", wanted, page.get("next_cursor"))
    return page


@get("/api/products/{product_id}")
def get_one(product_id: str, request: Request) -> dict[str, Any]:
    """One product."""
    return services(request).products.get(known(product_id, "product"))


@put("/api/products/{product_id}", admin=True)
def update(product_id: str, request: Request) -> dict[str, Any]:
    """Change any part of a product; its SKUs keep their ids."""
    known(product_id, "product")
    changes = body(request, schemas.PRODUCT_CHANGES)
    return services(request).products.update(product_id, changes, fresh_key())


@delete("/api/products/{product_id}", admin=True)
def remove(product_id: str, request: Request) -> dict[str, Any]:
    """Remove a product from every list, and take its SKUs off sale."""
    return services(request).products.delete(known(product_id, "product"))


@post("/api/products/{product_id}/skus", status=201, admin=True)
def add_sku(product_id: str, request: Request) -> dict[str, Any]:
    """Add a SKU to a product."""
    known(product_id, "product")
    spec = body(request, schemas.SKU)
    once = effect(request, spec, of_admin)
    product: dict[str, Any] = services(request, once).products.add_sku(product_id, spec, once.key)
    return product


@put("/api/products/{product_id}/skus/{sku}", admin=True)
def update_sku(product_id: str, sku: str, request: Request) -> dict[str, Any]:
    """Change any part of a SKU, which keeps its id."""
    known(product_id, "product")
    changes = body(request, schemas.SKU_CHANGES)
    return services(request).products.update_sku(product_id, known(sku, "SKU"), changes, fresh_key())


@delete("/api/products/{product_id}/skus/{sku}", admin=True)
def remove_sku(product_id: str, sku: str, request: Request) -> dict[str, Any]:
    """Take one of several SKUs off sale."""
    return services(request).products.delete_sku(known(product_id, "product"), known(sku, "SKU"))

"""Rebuild the projection of the catalogue: ``python -m products.rebuild``; exit status 1 if it fails."""

from __future__ import annotations

import sys

from chassis.db.engine import Database, url_for
from chassis.settings import Settings
from contracts.errors import ShopError
from products.bootstrap import stripe_catalog
from products.projection import Projection
from products.store.products import ProductStore


def main() -> int:
    """Rebuild the projection of the configured shop; return the exit status."""
    settings = Settings.load()
    database = Database(url_for("products", settings.database_url, settings.var_dir), "products")
    try:
        done = Projection(stripe_catalog(settings), ProductStore(database)).rebuild()
    except ShopError as error:
        print(f"The catalogue was not read: {error.detail}", file=sys.stderr)
        return 1
    finally:
        database.dispose()
    print(
        f"{done['products']} products in the catalogue, {done['written']} written, {done['removed']} removed, "
        f"{done['set_aside']} set aside"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

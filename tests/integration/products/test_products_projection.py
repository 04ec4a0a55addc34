"""The projection, while the catalogue changes during a write: the newest state wins."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from chassis.db.engine import Database
from chassis.db.migrate import migrate
from contracts.errors import Conflict, NotFound, Unavailable
from products.projection import Projection
from products.rules.catalog import Product, Sku, product_id
from products.rules.drafts import Change, Draft
from products.rules.stock import Inventory, Line
from products.store.products import ProductStore
from tests.products import least_product

SPEC = least_product(inventory={"type": "finite", "quantity": 5})


class MemoryCatalogue:
    """A catalogue in memory. It calls `meanwhile` once before its next answer."""

    def __init__(self) -> None:
        self.products: dict[str, Product] = {}
        self.removed: set[str] = set()
        self.meanwhile = lambda: None
        self.away = False

    def _answer(self) -> None:
        if self.away:
            raise Unavailable("The catalogue is away.")
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()

    def add(self, draft: Draft, product_id: str, sku: str) -> Product:
        self._answer()
        if product_id in self.removed:
            raise NotFound("It was removed.")
        document = {
            "id": product_id,
            "object": "product",
            "name": draft.name,
            "description": draft.description,
            "active": draft.active,
            "created": 1,
            "updated": 1,
            "livemode": False,
            "metadata": draft.metadata,
            "package_dimensions": draft.package_dimensions,
        }
        made = Product(document, [], Sku(sku, draft.price, draft.currency, {}, "price_1"), draft.inventory)
        return self.products.setdefault(product_id, made)

    def change(self, product: Product, change: Change) -> Product:
        now = self.products.get(product.id)
        if now is None:
            raise NotFound("It is gone.")
        if change.name is not None:
            now = replace(now, document={**now.document, "name": change.name})
        if change.price is not None:
            now = replace(now, sku=replace(now.sku, price=change.price))
        self.products[product.id] = now
        self._answer()
        return now

    def remove(self, product: Product) -> None:
        self._answer()
        self.products.pop(product.id, None)
        self.removed.add(product.id)

    def get(self, product_id: str) -> Product | None:
        self._answer()
        return self.products.get(product_id)

    def all(self) -> Iterator[Product]:
        self._answer()
        yield from list(self.products.values())


@pytest.fixture
def catalog() -> MemoryCatalogue:
    return MemoryCatalogue()


@pytest.fixture
def projection(catalog: MemoryCatalogue) -> Iterator[Projection]:
    database = Database("sqlite://", "products")
    migrate(database)
    store = ProductStore(database)
    store.set_catalogue_read()
    yield Projection(catalog, store)
    database.dispose()


def add(projection: Projection, key: str = "key", **spec: Any) -> str:
    return projection.add(Draft.parse({**SPEC, **spec}, "usd"), key).product.id


def test_the_same_key_makes_one_product(projection: Projection, catalog: MemoryCatalogue) -> None:
    assert add(projection) == add(projection) == product_id("key")
    assert len(catalog.products) == 1


def test_key_of_a_deleted_product_is_a_conflict(projection: Projection, catalog: MemoryCatalogue) -> None:
    made = add(projection)
    projection.remove(made)
    with pytest.raises(Conflict):
        add(projection)
    assert catalog.products == {}


def test_product_missing_from_the_projection_is_added(projection: Projection, catalog: MemoryCatalogue) -> None:
    catalog.add(Draft.parse(SPEC, "usd"), product_id("key"), "sku_key")
    assert projection.get(add(projection)).left == Inventory("finite", 5)


def test_slow_writer_does_not_overwrite_a_newer_change(projection: Projection, catalog: MemoryCatalogue) -> None:
    made = add(projection)
    # Another change is made and written while the first one waits for its answer.
    catalog.meanwhile = lambda: projection.change(made, {"price": 70})
    shown = projection.change(made, {"name": "Renamed"})
    assert (shown.product.name, shown.product.sku.price) == ("Renamed", 70)
    assert (catalog.products[made].name, catalog.products[made].sku.price) == ("Renamed", 70)


FULL = {"inventory": {"type": "finite", "quantity": 5}}


def sell_out(projection: Projection, product: str) -> None:
    projection.store.stock.reserve("order", [_line(projection, product, 5)])


def test_redelivered_change_does_not_refill_the_stock(projection: Projection) -> None:
    made = add(projection)
    projection.change(made, FULL, "message")
    sell_out(projection, made)
    assert projection.change(made, FULL, "message").left == Inventory("finite", 0)
    assert projection.change(made, FULL, "another message").left == Inventory("finite", 5)


@pytest.mark.parametrize("key", ["message", "the same asked again"])
def test_delayed_change_does_not_refill_stock_sold_since(
    projection: Projection, catalog: MemoryCatalogue, key: str
) -> None:
    made = add(projection)

    def meanwhile() -> None:
        projection.change(made, FULL, key)
        sell_out(projection, made)

    catalog.meanwhile = meanwhile
    assert projection.change(made, FULL, "message").left == Inventory("finite", 0)


def test_stock_change_survives_a_concurrent_price_change(projection: Projection, catalog: MemoryCatalogue) -> None:
    made = add(projection)
    catalog.meanwhile = lambda: projection.change(made, {"price": 70})
    assert projection.change(made, {"inventory": {"type": "finite", "quantity": 9}}).left == Inventory("finite", 9)


def test_a_product_deleted_while_it_changes_stays_deleted(projection: Projection, catalog: MemoryCatalogue) -> None:
    made = add(projection)
    catalog.meanwhile = lambda: projection.remove(made)
    with pytest.raises(NotFound):
        projection.change(made, {"name": "Renamed"})
    with pytest.raises(NotFound):
        projection.get(made)


def test_change_of_a_lost_product_removes_it_from_the_list(projection: Projection, catalog: MemoryCatalogue) -> None:
    made = add(projection)
    catalog.products.clear()
    with pytest.raises(NotFound):
        projection.change(made, {"name": "Renamed"})
    assert projection.store.page(None, "name", 10, None)[2] == 0


def test_repeated_delete_succeeds_and_unknown_delete_fails(projection: Projection) -> None:
    made = add(projection)
    projection.remove(made)
    projection.remove(made)
    with pytest.raises(NotFound):
        projection.remove("prod_never")


def test_rebuild_copies_the_catalogue_and_keeps_the_stock(projection: Projection, catalog: MemoryCatalogue) -> None:
    kept, lost = add(projection, "kept"), add(projection, "lost")
    projection.store.stock.reserve("order", [_line(projection, kept, 2)])
    made_elsewhere = catalog.add(Draft.parse({**SPEC, "name": "Elsewhere"}, "usd"), "prod_else", "sku_else").id
    catalog.products[kept] = replace(
        catalog.products[kept], document={**catalog.products[kept].document, "name": "Renamed elsewhere"}
    )
    del catalog.products[lost]

    assert projection.rebuild() == {"products": 2, "written": 2, "removed": 1, "set_aside": 0}
    assert projection.rebuild() == {"products": 2, "written": 0, "removed": 0, "set_aside": 0}
    assert projection.get(kept).product.name == "Renamed elsewhere"
    assert projection.get(kept).left == Inventory("finite", 3)
    assert projection.get(made_elsewhere).left == Inventory("finite", 5)
    with pytest.raises(NotFound):
        projection.get(lost)


def test_change_during_a_rebuild_is_kept(projection: Projection, catalog: MemoryCatalogue) -> None:
    made = add(projection)
    stale = catalog.products[made]

    def stale_list() -> Iterator[Product]:
        projection.change(made, {"name": "Newer"})
        yield stale

    catalog.all = stale_list  # type: ignore[method-assign]
    assert projection.rebuild()["written"] == 0
    assert projection.get(made).product.name == "Newer"


def test_product_deleted_during_a_rebuild_stays_deleted(projection: Projection, catalog: MemoryCatalogue) -> None:
    made = add(projection)
    stale = catalog.products[made]

    def stale_list() -> Iterator[Product]:
        projection.remove(made)
        yield stale

    catalog.all = stale_list  # type: ignore[method-assign]
    projection.rebuild()
    with pytest.raises(NotFound):
        projection.get(made)


def test_rebuild_keeps_a_product_that_the_pages_missed(projection: Projection, catalog: MemoryCatalogue) -> None:
    made = add(projection)
    catalog.all = lambda: iter(())  # type: ignore[method-assign]
    assert projection.rebuild() == {"products": 1, "written": 0, "removed": 0, "set_aside": 0}
    assert projection.get(made)


def test_refresh_reads_one_product_and_keeps_its_stock(projection: Projection, catalog: MemoryCatalogue) -> None:
    made = add(projection)
    projection.store.stock.reserve("order", [Line(projection.get(made).product.sku.id, 2)])
    product = catalog.products[made]
    catalog.products[made] = replace(product, document={**product.document, "name": "Renamed elsewhere"})
    assert projection.refresh(made)
    kept = projection.get(made)
    assert (kept.product.name, kept.left) == ("Renamed elsewhere", Inventory("finite", 3))
    assert projection.refresh(made)
    assert projection.get(made).revision == kept.revision, "an unchanged product is not written"


def test_refresh_adds_new_products_and_removes_deleted_ones(projection: Projection, catalog: MemoryCatalogue) -> None:
    catalog.add(Draft.parse(SPEC, "usd"), "prod_1", "sku_1")
    assert projection.refresh("prod_1")
    assert projection.get("prod_1").left == Inventory("finite", 5)
    assert not projection.refresh("prod_2")
    catalog.products.clear()
    assert not projection.refresh("prod_1")
    with pytest.raises(NotFound):
        projection.get("prod_1")
    catalog.add(Draft.parse(SPEC, "usd"), "prod_1", "sku_1")
    assert not projection.refresh("prod_1"), "a removed product stays removed"


def test_refresh_does_not_overwrite_a_newer_change(projection: Projection, catalog: MemoryCatalogue) -> None:
    made = add(projection)
    product = catalog.products[made]
    catalog.products[made] = replace(product, document={**product.document, "name": "Renamed elsewhere"})
    stale = catalog.products[made]
    answers = [stale]

    def get(product_id: str) -> Product | None:
        if answers:  # another change is made and written before the first answer arrives
            projection.change(made, {"price": 70})
            return answers.pop()
        return catalog.products.get(product_id)

    catalog.get, original_get = get, catalog.get  # type: ignore[method-assign]
    assert projection.refresh(made)
    catalog.get = original_get  # type: ignore[method-assign]
    shown = projection.get(made).product
    assert (shown.name, shown.sku.price) == ("Renamed elsewhere", 70)


def test_projection_is_unavailable_until_the_catalogue_was_read(catalog: MemoryCatalogue) -> None:
    database = Database("sqlite://", "products")
    migrate(database)
    projection = Projection(catalog, ProductStore(database))
    with pytest.raises(Unavailable):
        projection.get("prod_x")
    with pytest.raises(Unavailable):
        projection.remove("prod_x")
    catalog.away = True
    with pytest.raises(Unavailable):
        projection.rebuild()
    with pytest.raises(Unavailable):
        projection.require_read()
    catalog.away = False
    projection.rebuild()
    with pytest.raises(NotFound):
        projection.get("prod_x")
    database.dispose()


def _line(projection: Projection, product: str, quantity: int) -> Any:
    from products.rules.stock import Line

    return Line(projection.get(product).product.sku.id, quantity)

"""The projection, while the catalogue changes during a write: the newest state wins."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from chassis.db.engine import Database
from contracts.errors import Conflict, NotFound, Unavailable
from products.projection import Projection
from products.rules.catalog import Product, Sku, product_id
from products.rules.drafts import Change, Draft, SkuChange, SkuDraft
from products.rules.stock import Line
from products.store.products import Kept, ProductStore
from products.store.tables import stock
from tests.databases import migrated
from tests.products import least_product, pieces_left, variants

LARGE = {"price": 60, "attributes": {"size": "l"}, "inventory": {"type": "finite", "quantity": 2}}
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

    def add(self, draft: Draft, product_id: str, skus: Sequence[str]) -> Product:
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
        places = enumerate(zip(draft.skus, skus, strict=True))
        made = tuple(_sku(each, draft.currency, sku, place) for place, (each, sku) in places)
        return self.products.setdefault(product_id, Product(document, list(draft.attributes), made))

    def change(self, product: Product, change: Change) -> Product:
        now = self.products.get(product.id)
        if now is None:
            raise NotFound("It is gone.")
        if change.name is not None:
            now = replace(now, document={**now.document, "name": change.name})
        if change.attributes is not None:
            now = replace(now, attributes=list(change.attributes))
        if change.sku is not None:
            now = replace(now, skus=(_changed(now.skus[0], change.sku), *now.skus[1:]))
        return self._now(now)

    def add_sku(self, product: Product, draft: SkuDraft, sku: str) -> Product:
        now = self.products[product.id]
        if now.sku(sku) is None:
            new = _sku(draft, now.skus[0].currency, sku, now.skus[-1].place + 1)
            now = replace(now, skus=(*now.skus, new))
        return self._now(now)

    def change_sku(self, product: Product, sku: str, change: SkuChange) -> Product:
        now = self.products[product.id]
        return self._now(
            replace(now, skus=tuple(_changed(each, change) if each.id == sku else each for each in now.skus))
        )

    def remove_sku(self, product: Product, sku: str) -> Product:
        now = self.products[product.id]
        return self._now(replace(now, skus=tuple(each for each in now.skus if each.id != sku)))

    def _now(self, product: Product) -> Product:
        self.products[product.id] = product
        self._answer()
        return product

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


def _sku(draft: SkuDraft, currency: str, sku: str, place: int) -> Sku:
    return Sku(sku, draft.price, currency, dict(draft.attributes), "price_1", inventory=draft.inventory, place=place)


def _changed(sku: Sku, change: SkuChange) -> Sku:
    values = {name: value for name, value in vars(change).items() if value is not None}
    return replace(sku, **values)


@pytest.fixture
def catalog() -> MemoryCatalogue:
    return MemoryCatalogue()


@pytest.fixture
def projection(catalog: MemoryCatalogue) -> Iterator[Projection]:
    database = Database("sqlite://", "products")
    migrated(database)
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
    catalog.add(Draft.parse(SPEC, "usd"), product_id("key"), ["sku_key"])
    assert pieces_left(projection.get(add(projection))) == 5


def test_slow_writer_does_not_overwrite_a_newer_change(projection: Projection, catalog: MemoryCatalogue) -> None:
    made = add(projection)
    # Another change is made and written while the first one waits for its answer.
    catalog.meanwhile = lambda: projection.change(made, {"price": 70})
    shown = projection.change(made, {"name": "Renamed"})
    assert (shown.product.name, shown.product.skus[0].price) == ("Renamed", 70)
    assert (catalog.products[made].name, catalog.products[made].skus[0].price) == ("Renamed", 70)


FULL = {"inventory": {"type": "finite", "quantity": 5}}


def sell_out(projection: Projection, product: str) -> None:
    projection.store.stock.reserve("order", [_line(projection, product, 5)])


def test_redelivered_change_does_not_refill_the_stock(projection: Projection) -> None:
    made = add(projection)
    projection.change(made, FULL, "message")
    sell_out(projection, made)
    assert pieces_left(projection.change(made, FULL, "message")) == 0
    assert pieces_left(projection.change(made, FULL, "another message")) == 5


@pytest.mark.parametrize("key", ["message", "the same asked again"])
def test_delayed_change_does_not_refill_stock_sold_since(
    projection: Projection, catalog: MemoryCatalogue, key: str
) -> None:
    made = add(projection)

    def meanwhile() -> None:
        projection.change(made, FULL, key)
        sell_out(projection, made)

    catalog.meanwhile = meanwhile
    assert pieces_left(projection.change(made, FULL, "message")) == 0


def test_stock_change_survives_a_concurrent_price_change(projection: Projection, catalog: MemoryCatalogue) -> None:
    made = add(projection)
    catalog.meanwhile = lambda: projection.change(made, {"price": 70})
    assert pieces_left(projection.change(made, {"inventory": {"type": "finite", "quantity": 9}})) == 9


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
    made_elsewhere = catalog.add(Draft.parse({**SPEC, "name": "Elsewhere"}, "usd"), "prod_else", ["sku_else"]).id
    catalog.products[kept] = replace(
        catalog.products[kept], document={**catalog.products[kept].document, "name": "Renamed elsewhere"}
    )
    del catalog.products[lost]

    assert projection.rebuild() == {"products": 2, "written": 2, "removed": 1, "set_aside": 0}
    assert projection.rebuild() == {"products": 2, "written": 0, "removed": 0, "set_aside": 0}
    assert projection.get(kept).product.name == "Renamed elsewhere"
    assert pieces_left(projection.get(kept)) == 3
    assert pieces_left(projection.get(made_elsewhere)) == 5
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
    projection.store.stock.reserve("order", [Line(projection.get(made).product.skus[0].id, 2)])
    product = catalog.products[made]
    catalog.products[made] = replace(product, document={**product.document, "name": "Renamed elsewhere"})
    assert projection.refresh(made)
    kept = projection.get(made)
    assert (kept.product.name, pieces_left(kept)) == ("Renamed elsewhere", 3)
    assert projection.refresh(made)
    assert projection.get(made).revision == kept.revision, "an unchanged product is not written"


def test_refresh_adds_new_products_and_removes_deleted_ones(projection: Projection, catalog: MemoryCatalogue) -> None:
    catalog.add(Draft.parse(SPEC, "usd"), "prod_1", ["sku_1"])
    assert projection.refresh("prod_1")
    assert pieces_left(projection.get("prod_1")) == 5
    assert not projection.refresh("prod_2")
    catalog.products.clear()
    assert not projection.refresh("prod_1")
    with pytest.raises(NotFound):
        projection.get("prod_1")
    catalog.add(Draft.parse(SPEC, "usd"), "prod_1", ["sku_1"])
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
    assert (shown.name, shown.skus[0].price) == ("Renamed elsewhere", 70)


def test_projection_is_unavailable_until_the_catalogue_was_read(catalog: MemoryCatalogue) -> None:
    database = Database("sqlite://", "products")
    migrated(database)
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

    return Line(projection.get(product).product.skus[0].id, quantity)


# Several SKUs


def shirt(projection: Projection, *sizes: str) -> Kept:
    return projection.add(Draft.parse(variants(*sizes), "usd"), "shirt")


def sizes(kept: Kept) -> dict[str, str]:
    return {sku.attributes["size"]: sku.id for sku in kept.product.skus}


def test_each_sku_has_its_own_stock(projection: Projection) -> None:
    kept = shirt(projection, "s", "m")
    projection.store.stock.reserve("order", [Line(sizes(kept)["m"], 2)])
    kept = projection.get(kept.product.id)
    assert {size: pieces_left(kept, sku) for size, sku in sizes(kept).items()} == {"s": 5, "m": 3}
    [shown] = projection.store.page(None, "name", 10, None)[0]
    assert [sku["inventory"]["quantity"] for sku in shown["skus"]["data"]] == [5, 3]
    assert {sku: pieces_left(each, sku) for sku, each in projection.store.by_sku(sizes(kept).values()).items()} == {
        sizes(kept)["s"]: 5,
        sizes(kept)["m"]: 3,
    }


def test_added_sku_is_sold_and_keeps_the_others(projection: Projection) -> None:
    kept = shirt(projection, "s")
    kept = projection.add_sku(kept.product.id, LARGE, "key")
    assert list(sizes(kept)) == ["s", "l"]
    projection.store.stock.reserve("order", [Line(sizes(kept)["l"], 1)])
    assert pieces_left(projection.get(kept.product.id), sizes(kept)["l"]) == 1


def test_the_same_key_adds_one_sku(projection: Projection, catalog: MemoryCatalogue) -> None:
    made = shirt(projection, "s").product.id
    once, again = (projection.add_sku(made, LARGE, "key") for _ in range(2))
    assert sizes(once) == sizes(again)
    assert len(catalog.products[made].skus) == 2


def test_key_of_a_removed_sku_is_a_conflict(projection: Projection) -> None:
    made = shirt(projection, "s").product.id
    projection.remove_sku(made, sizes(projection.add_sku(made, LARGE, "key"))["l"])
    with pytest.raises(Conflict):
        projection.add_sku(made, LARGE, "key")
    assert list(sizes(projection.add_sku(made, LARGE, "another"))) == ["s", "l"]


def test_product_has_at_most_a_hundred_skus(projection: Projection) -> None:
    made = shirt(projection, *map(str, range(100))).product.id
    with pytest.raises(Conflict, match="100"):
        projection.add_sku(made, LARGE, "key")


def test_renamed_attribute_and_new_price_keep_the_sku(projection: Projection) -> None:
    kept = shirt(projection, "s", "m")
    projection.change_sku(kept.product.id, sizes(kept)["m"], {"attributes": {"size": "medium"}, "price": 70})
    changed = projection.get(kept.product.id)
    assert sizes(changed) == {"s": sizes(kept)["s"], "medium": sizes(kept)["m"]}
    assert [sku.price for sku in changed.product.skus] == [50, 70]


def test_stock_of_one_sku_is_set_once_per_key(projection: Projection) -> None:
    kept = shirt(projection, "s", "m")
    made, m = kept.product.id, sizes(kept)["m"]
    projection.change_sku(made, m, {"inventory": {"type": "finite", "quantity": 9}}, "message")
    projection.store.stock.reserve("order", [Line(m, 9)])
    projection.change_sku(made, m, {"inventory": {"type": "finite", "quantity": 9}}, "message")
    kept = projection.get(made)
    assert (pieces_left(kept), pieces_left(kept, m)) == (5, 0)


def test_removed_sku_is_off_sale_and_still_known(projection: Projection) -> None:
    kept = shirt(projection, "s", "m")
    made, m = kept.product.id, sizes(kept)["m"]
    assert list(sizes(projection.remove_sku(made, m))) == ["s"]
    assert list(sizes(projection.remove_sku(made, m))) == ["s"]
    with pytest.raises(Conflict, match="Wally shirt is not on sale"):
        projection.store.stock.reserve("order", [Line(m, 1)])
    assert projection.store.by_sku({m})[m].product.id == made
    with pytest.raises(NotFound):
        projection.remove_sku(made, "sku_never")
    with pytest.raises(NotFound):
        projection.change_sku(made, m, {"price": 70})


def test_stock_held_of_a_removed_sku_can_be_released(projection: Projection) -> None:
    kept = shirt(projection, "s", "m")
    projection.store.stock.reserve("order", [Line(sizes(kept)["m"], 2)])
    projection.remove_sku(kept.product.id, sizes(kept)["m"])
    projection.store.stock.release("order")
    with projection.store.database.read() as connection:
        left = sa.select(stock.c.quantity).where(stock.c.sku == sizes(kept)["m"])
        assert connection.execute(left).scalar_one() == 5


def test_the_last_sku_cannot_be_removed(projection: Projection) -> None:
    kept = shirt(projection, "s", "m")
    made = kept.product.id
    projection.remove_sku(made, sizes(kept)["s"])
    with pytest.raises(Conflict, match="last"):
        projection.remove_sku(made, sizes(kept)["m"])


def test_skus_of_one_product_change_one_after_the_other(
    projection: Projection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("products.store.products.CLAIM_WAIT_S", 0.1)
    kept = shirt(projection, "s", "m")
    with projection.store.alone(kept.product.id), pytest.raises(Conflict) as refusal:
        projection.remove_sku(kept.product.id, sizes(kept)["m"])
    assert refusal.value.facts["retry_after"] > 0
    assert list(sizes(projection.remove_sku(kept.product.id, sizes(kept)["m"]))) == ["s"]


def test_rebuild_restores_every_sku_with_its_stock(projection: Projection, catalog: MemoryCatalogue) -> None:
    kept = shirt(projection, "s", "m")
    database = Database("sqlite://", "products")
    migrated(database)
    fresh = Projection(catalog, ProductStore(database))
    assert fresh.rebuild()["written"] == 1
    assert list(sizes(fresh.get(kept.product.id))) == ["s", "m"]
    assert fresh.get(kept.product.id).public() == kept.public()
    database.dispose()


def test_rebuild_reads_a_product_again_that_lacks_a_sku(projection: Projection, catalog: MemoryCatalogue) -> None:
    kept = shirt(projection, "s", "m")
    partial = replace(kept.product, skus=kept.product.skus[:1])
    catalog.all = lambda: iter([partial])  # type: ignore[method-assign]
    assert projection.rebuild() == {"products": 1, "written": 0, "removed": 0, "set_aside": 0}
    assert list(sizes(projection.get(kept.product.id))) == ["s", "m"]


def test_product_set_aside_sells_none_of_its_skus(projection: Projection) -> None:
    kept = shirt(projection, "s", "m")
    assert projection.store.set_aside(kept.product.id, "it has no name", kept.revision)
    for sku in sizes(kept).values():
        with pytest.raises(Conflict):
            projection.store.stock.reserve(f"order {sku}", [Line(sku, 1)])
    assert projection.store.set_aside(kept.product.id, "it has no name", kept.revision + 1)
    assert projection.get(kept.product.id).revision == kept.revision + 1, "the same reason is written once"

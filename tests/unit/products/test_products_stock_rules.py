"""Which quantities an inventory covers, and which items a caller may reserve."""

import pytest

from contracts.errors import InvalidRequest
from products.rules.stock import Inventory, Line, gone, lines, short, unsold, wishes


@pytest.mark.parametrize(
    ("inventory", "quantity", "covered"),
    [
        (Inventory("finite", 5), 5, True),
        (Inventory("finite", 5), 6, False),
        (Inventory("finite", 0), 1, False),
        (Inventory("infinite"), 1_000_000, True),
        (Inventory("bucket", None, "in_stock"), 3, True),
        (Inventory("bucket", None, "limited"), 3, True),
        (Inventory("bucket", None, "out_of_stock"), 1, False),
    ],
)
def test_inventory_covers_the_quantity_in_stock(inventory: Inventory, quantity: int, covered: bool) -> None:
    assert inventory.covers(quantity) is covered


@pytest.mark.parametrize(
    "given",
    [
        {"type": "finite", "quantity": 500},
        {"type": "finite", "quantity": 0},
        {"type": "infinite"},
        {"type": "infinite", "quantity": None, "value": None},
        {"type": "bucket", "value": "limited"},
    ],
)
def test_the_seeds_inventories_are_read(given: dict) -> None:
    shown = Inventory.parse(given).public()
    assert shown == {"type": given["type"], "quantity": given.get("quantity"), "value": given.get("value")}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ("finite", "inventory"),
        ({}, "type"),
        ({"type": "plenty"}, "type"),
        ({"type": ["finite"]}, "type"),
        ({"type": "finite"}, "quantity"),
        ({"type": "finite", "quantity": -1}, "quantity"),
        ({"type": "finite", "quantity": 1.5}, "quantity"),
        ({"type": "finite", "quantity": True}, "quantity"),
        ({"type": "finite", "quantity": 10**12}, "quantity"),
        ({"type": "finite", "quantity": 1, "value": "limited"}, "value"),
        ({"type": "infinite", "quantity": 1}, "quantity"),
        ({"type": "bucket"}, "value"),
        ({"type": "bucket", "value": "some"}, "value"),
        ({"type": "bucket", "value": "limited", "quantity": 1}, "quantity"),
        ({"type": "infinite", "colour": "red"}, "colour"),
    ],
)
def test_a_wrong_inventory_is_refused_by_its_field(given: object, field: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        Inventory.parse(given)
    assert list(refusal.value.facts["errors"]) == [field]


def test_lines_are_added_up_per_sku_and_sorted() -> None:
    items = [{"parent": "sku_b", "quantity": 1}, {"parent": "sku_a", "quantity": 2}, {"parent": "sku_b", "quantity": 3}]
    assert lines(items) == [Line("sku_a", 2), Line("sku_b", 4)]
    assert wishes(items) == [Line("sku_b", 1), Line("sku_a", 2), Line("sku_b", 3)]


@pytest.mark.parametrize(
    "items",
    [
        None,
        "sku_a",
        {},
        [],
        ["sku_a"],
        [{}],
        [{"parent": "sku_a"}],
        [{"parent": "sku_a", "quantity": 0}],
        [{"parent": "sku_a", "quantity": -1}],
        [{"parent": "sku_a", "quantity": True}],
        [{"parent": "sku_a", "quantity": "1"}],
        [{"parent": "", "quantity": 1}],
        [{"parent": 5, "quantity": 1}],
        [{"parent": "sku_a", "quantity": 900_000_000}, {"parent": "sku_a", "quantity": 900_000_000}],
    ],
)
def test_invalid_items_are_refused(items: object) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        lines(items)
    assert "items" in refusal.value.facts["errors"]


def test_shortage_names_the_sku_and_the_stock_left() -> None:
    refusal = unsold([short("sku_a", "Wally bone", 3, Inventory("finite", 2)), gone("sku_b", "Collar")])
    assert "sku_a" in refusal.detail
    assert "Collar is not on sale" in refusal.detail
    assert (refusal.facts["parent"], refusal.facts["left"]) == ("sku_a", 2)
    assert [problem["parent"] for problem in refusal.facts["problems"]] == ["sku_a", "sku_b"]


def test_a_refusal_lists_no_more_than_fifty_problems() -> None:
    refusal = unsold([gone(f"sku_{number}", f"Bone {number}") for number in range(60)])
    assert len(refusal.facts["problems"]) == 50
    assert refusal.detail.endswith("And 10 more.")

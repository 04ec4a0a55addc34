"""Items are stacked along their shortest side, and split into parcels within the carrier's limits."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import InvalidRequest, Refused
from shipping.rules.parcel import MAX_INCHES, MAX_OUNCES, MAX_PARCELS, pack


def item(quantity: int, height: Any, length: Any, width: Any, weight: Any, **more: Any) -> dict[str, Any]:
    """An item as the cart service sends it."""
    dimensions = {"height": height, "length": length, "width": width, "weight": weight}
    return {"quantity": quantity, "package_dimensions": dimensions, **more}


def test_a_stack_grows_by_each_unit_s_shortest_side() -> None:
    (parcel,) = pack([item(2, 6.0, 3.0, 2.0, 5.0), item(1, 1, 7, 4, 2.5)])
    assert parcel.public() == {
        "height": "5",  # 2 + 2 + 1
        "length": "7",
        "width": "4",
        "distance_unit": "in",
        "weight": "12.5",
        "mass_unit": "oz",
    }


def test_parcel_holds_at_most_seventy_pounds() -> None:
    (full,) = pack([item(7, 1, 1, 1, 160)])
    assert full.weight == 1120
    assert [parcel.weight for parcel in pack([item(8, 1, 1, 1, 160)])] == [1120, 160]


def test_light_unit_fills_an_earlier_parcel() -> None:
    parcels = pack([item(2, 2, 2, 2, 1000), item(2, 1, 1, 1, 100)])
    assert [parcel.weight for parcel in parcels] == [1100, 1100]


def test_too_heavy_item_is_refused_by_name() -> None:
    with pytest.raises(Refused, match=r"Anvil weighs 1120\.1 oz") as refused:
        pack([item(1, 1, 1, 1, 5), item(1, 5, 5, 5, 1120.1, description="Anvil", parent="sku_anvil")])
    assert refused.value.facts["errors"]["items"]


def test_undescribed_item_is_named_by_sku_or_position() -> None:
    with pytest.raises(Refused, match=r"^sku_anvil weighs"):
        pack([item(1, 5, 5, 5, 2000, parent="sku_anvil")])
    with pytest.raises(Refused, match=r"^item 2 weighs"):
        pack([item(1, 5, 5, 5, 1), item(1, 5, 5, 5, 2000)])


def test_tall_stack_is_split_at_the_size_limit() -> None:
    # 10 in x 10 in makes a girth of 40 in, which leaves 68 in of height below the limit of 108 in.
    parcels = pack([item(8, 10, 10, 10, 1)])
    assert [parcel.height for parcel in parcels] == [60, 20]
    assert [parcel.length_and_girth for parcel in parcels] == [100, 60]


def test_a_flat_stack_is_split_by_its_girth() -> None:
    # The stack is lower than its length and width, so each inch of height adds two inches of girth.
    parcels = pack([item(10, 2, 30, 20, 1)])
    assert [parcel.height for parcel in parcels] == [18, 2]
    assert parcels[0].length_and_girth == 30 + 2 * (20 + 18)


def test_oversized_item_is_packed_alone_or_refused() -> None:
    oversized = item(2, 10, 90, 9, 5, description="Curtain rail")
    assert [parcel.length for parcel in pack([oversized, item(1, 1, 1, 1, 1)])] == [90, 90, 1]
    with pytest.raises(Refused, match="Flagpole is too large"):
        pack([item(1, 10, 100, 9, 5, description="Flagpole")])


def test_dimensions_are_rounded_up_to_four_decimals() -> None:
    (parcel,) = pack([item(1, 0.00001, 5.00009, 1 / 3, 0.1)])
    assert parcel.public()["height"] == "0.0001"
    assert parcel.public()["length"] == "5.0001"
    assert parcel.public()["width"] == "0.3334"
    assert parcel.public()["weight"] == "0.1"


def test_a_round_number_is_not_written_with_an_exponent() -> None:
    (parcel,) = pack([item(1, 10, 20, 30, 1000)])
    assert (parcel.public()["length"], parcel.public()["weight"]) == ("30", "1000")


def test_ten_thousand_light_items_are_packed() -> None:
    parcels = pack([item(10_000, 1.0, 1.0, 1.0, 0.5)])
    assert sum(parcel.weight for parcel in parcels) == 5_000
    assert len(parcels) == 97


def test_too_many_parcels_are_refused() -> None:
    assert len(pack([item(MAX_PARCELS, 10, 10, 10, 1120)])) == MAX_PARCELS
    for count, unit in ((MAX_PARCELS + 1, (10, 10, 10, 1120)), (10_000, (5.0, 5.0, 5.0, 5.0))):
        with pytest.raises(Refused, match="more than 100 parcels") as refused:
            pack([item(count, *unit)])
        assert list(refused.value.facts["errors"]) == ["items"]


@pytest.mark.parametrize("quantity", [0, -1, 1.5, "2", True, None])
def test_a_quantity_that_is_no_count_is_invalid(quantity: Any) -> None:
    with pytest.raises(InvalidRequest, match="cannot be packed"):
        pack([item(quantity, 1, 1, 1, 1)])


@pytest.mark.parametrize("weight", [0, -1, "heavy", None, True, float("nan"), float("inf")])
def test_a_dimension_that_is_no_number_above_zero_is_invalid(weight: Any) -> None:
    with pytest.raises(InvalidRequest) as invalid:
        pack([item(1, 1, 1, 1, weight)])
    assert "package_dimensions.weight" in invalid.value.facts["errors"]["items"][0]


def test_no_dimensions_or_no_items_are_invalid() -> None:
    with pytest.raises(InvalidRequest):
        pack([{"quantity": 1}])
    with pytest.raises(InvalidRequest, match="nothing to ship"):
        pack([])


sides = st.decimals(min_value="0.1", max_value="20", places=1)
# Together at most 100 pieces, so that they fill no more parcels than an order may have.
items = st.tuples(st.integers(1, 25), sides, sides, sides, st.decimals(min_value="0.1", max_value="1120", places=1))


@settings(max_examples=100, deadline=None)
@given(st.lists(items, min_size=1, max_size=4))
def test_packing_loses_nothing_and_keeps_the_limits(packed_items: list[tuple[Any, ...]]) -> None:
    parcels = pack([item(*values) for values in packed_items])
    assert sum(parcel.weight for parcel in parcels) == sum(
        Decimal(count) * weight for count, *_, weight in packed_items
    )
    assert sum(parcel.height for parcel in parcels) == sum(count * min(sides) for count, *sides, _ in packed_items)
    assert all(parcel.weight <= MAX_OUNCES for parcel in parcels)
    assert all(parcel.length_and_girth <= MAX_INCHES for parcel in parcels)

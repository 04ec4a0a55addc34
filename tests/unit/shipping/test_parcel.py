"""Items become parcels: stacked along the shortest side, split where the carrier says stop."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import InvalidRequest, Refused
from shipping.parcel import MAX_INCHES, MAX_OUNCES, MAX_PARCELS, pack


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


def test_seventy_pounds_go_into_one_parcel_and_no_more() -> None:
    (full,) = pack([item(7, 1, 1, 1, 160)])
    assert full.weight == 1120
    assert [parcel.weight for parcel in pack([item(8, 1, 1, 1, 160)])] == [1120, 160]


def test_a_light_unit_rides_in_an_earlier_parcel_that_has_room() -> None:
    parcels = pack([item(2, 2, 2, 2, 1000), item(2, 1, 1, 1, 100)])
    assert [parcel.weight for parcel in parcels] == [1100, 1100]


def test_an_item_that_alone_is_too_heavy_is_refused_by_name() -> None:
    with pytest.raises(Refused, match=r"Anvil weighs 1120\.1 oz") as refused:
        pack([item(1, 1, 1, 1, 5), item(1, 5, 5, 5, 1120.1, description="Anvil", parent="sku_anvil")])
    assert refused.value.facts["errors"]["items"]


def test_an_item_without_a_description_is_named_by_its_sku_or_its_place() -> None:
    with pytest.raises(Refused, match=r"^sku_anvil weighs"):
        pack([item(1, 5, 5, 5, 2000, parent="sku_anvil")])
    with pytest.raises(Refused, match=r"^item 2 weighs"):
        pack([item(1, 5, 5, 5, 1), item(1, 5, 5, 5, 2000)])


def test_a_stack_is_split_before_it_is_too_long_for_ordinary_services() -> None:
    # 10 x 10 around is 40 in of girth: 68 in of height are left of 108.
    parcels = pack([item(8, 10, 10, 10, 1)])
    assert [parcel.height for parcel in parcels] == [60, 20]
    assert [parcel.length_and_girth for parcel in parcels] == [100, 60]


def test_a_flat_stack_is_split_by_its_girth() -> None:
    # 30 long and 20 wide: while the stack is lower than that, each inch of height adds two of girth.
    parcels = pack([item(10, 2, 30, 20, 1)])
    assert [parcel.height for parcel in parcels] == [18, 2]
    assert parcels[0].length_and_girth == 30 + 2 * (20 + 18)


def test_an_oversized_item_travels_alone_and_one_beyond_that_is_refused() -> None:
    oversized = item(2, 10, 90, 9, 5, description="Curtain rail")
    assert [parcel.length for parcel in pack([oversized, item(1, 1, 1, 1, 1)])] == [90, 90, 1]
    with pytest.raises(Refused, match="Flagpole is too large"):
        pack([item(1, 10, 100, 9, 5, description="Flagpole")])


def test_what_shippo_cannot_say_is_rounded_up() -> None:
    (parcel,) = pack([item(1, 0.00001, 5.00009, 1 / 3, 0.1)])
    assert parcel.public()["height"] == "0.0001"
    assert parcel.public()["length"] == "5.0001"
    assert parcel.public()["width"] == "0.3334"
    assert parcel.public()["weight"] == "0.1"


def test_a_round_number_is_not_written_with_an_exponent() -> None:
    (parcel,) = pack([item(1, 10, 20, 30, 1000)])
    assert (parcel.public()["length"], parcel.public()["weight"]) == ("30", "1000")


def test_ten_thousand_light_things_are_packed_at_once() -> None:
    parcels = pack([item(10_000, 5.0, 5.0, 5.0, 5.0)])
    assert sum(parcel.weight for parcel in parcels) == 50_000
    assert len(parcels) == 589


def test_more_than_any_carrier_takes_is_refused() -> None:
    with pytest.raises(Refused, match=f"more than {MAX_PARCELS} parcels"):
        pack([item(1001, 10, 10, 10, 1120)])


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
things = st.tuples(st.integers(1, 60), sides, sides, sides, st.decimals(min_value="0.1", max_value="1120", places=1))


@settings(max_examples=100, deadline=None)
@given(st.lists(things, min_size=1, max_size=4))
def test_nothing_is_lost_and_no_parcel_is_beyond_the_limits(given_things: list[tuple[Any, ...]]) -> None:
    parcels = pack([item(*thing) for thing in given_things])
    assert sum(parcel.weight for parcel in parcels) == sum(
        Decimal(count) * weight for count, *_, weight in given_things
    )
    assert sum(parcel.height for parcel in parcels) == sum(count * min(sides) for count, *sides, _ in given_things)
    assert all(parcel.weight <= MAX_OUNCES for parcel in parcels)
    assert all(parcel.length_and_girth <= MAX_INCHES for parcel in parcels)

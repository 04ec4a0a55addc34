"""The store keeps one shipment per key, and lists shipments page by page without a gap, on both databases."""

from __future__ import annotations

from typing import Any

import pytest

from chassis.cursors import Cursor
from contracts.errors import InvalidRequest
from shipping.rules.shipment import Shipment
from shipping.store.shipments import ShippingStore


def shipment(object_id: str, created: float = 1.0, **address: Any) -> Shipment:
    """A shipment with that id, under a key made of the id."""
    return Shipment(
        object_id, f"key-{object_id}", "or_1", created, address, [], [], [{"object_id": "r"}], [{"id": "r"}]
    )


def walk(store: ShippingStore, field: str, backwards: bool, limit: int) -> list[str]:
    """Every id of the list, read page by page."""
    found: list[str] = []
    more, after = True, None
    while more:
        page, more = store.page(field, backwards, limit, after)
        found += [each.object_id for each in page]
        after = found[-1] if found else None
    return found


def test_a_shipment_comes_back_as_it_was_kept(store: ShippingStore) -> None:
    kept = store.add(shipment("one", 12.5, name="Chloé", street2=None))
    assert kept == shipment("one", 12.5, name="Chloé", street2=None)
    assert store.get("one") == store.by_key("key-one") == kept
    assert store.get("two") is None
    assert store.by_key("one") is None


def test_the_first_shipment_under_a_key_stays(store: ShippingStore) -> None:
    store.add(shipment("one"))
    again = Shipment("two", "key-one", "or_1", 5.0, {}, [], [], [], [])
    assert store.add(again).object_id == "one"
    assert store.get("two") is None


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_neither_skip_nor_repeat_although_many_tie(store: ShippingStore, limit: int) -> None:
    ids = ["b", "d", "a", "c", "e"]
    for number, object_id in enumerate(ids):
        store.add(shipment(object_id, created=float(number // 2), city="San Jose", name=object_id.upper()))
    assert walk(store, "created", True, limit) == ["e", "c", "a", "d", "b"]
    assert walk(store, "city", False, limit) == ["a", "b", "c", "d", "e"]
    assert walk(store, "city", True, limit) == ["e", "d", "c", "b", "a"]
    assert walk(store, "object_id", False, limit) == ["a", "b", "c", "d", "e"]


def test_a_shipment_that_arrives_between_two_pages_shifts_nothing(store: ShippingStore) -> None:
    for number, object_id in enumerate(["a", "b", "c"]):
        store.add(shipment(object_id, created=float(number)))
    page, more = store.page("created", True, 2, None)
    store.add(shipment("d", created=9.0))
    rest, no_more = store.page("created", True, 2, page[-1].object_id)
    assert ([each.object_id for each in page + rest], more, no_more) == (["c", "b", "a"], more, None)
    assert more is not None
    by_cursor, _ = store.page("created", True, 2, more)
    assert by_cursor == rest


def test_both_databases_order_names_ignoring_case(store: ShippingStore) -> None:
    for object_id, name in (("1", "Zed"), ("2", "adam"), ("3", "Bob"), ("4", "_x"), ("5", "")):
        store.add(shipment(object_id, name=name))
    assert walk(store, "name", False, 2) == ["5", "4", "2", "3", "1"]


def test_page_after_an_unknown_shipment_is_refused(store: ShippingStore) -> None:
    with pytest.raises(InvalidRequest) as invalid:
        store.page("created", True, 10, "nobody")
    assert list(invalid.value.facts["errors"]) == ["starting_after"]
    for field, cursor in (("created", Cursor("-created", None, "a")), ("name", Cursor("-created", 1.0, "a"))):
        with pytest.raises(InvalidRequest) as invalid:
            store.page(field, True, 10, cursor.text())
        assert list(invalid.value.facts["errors"]) == ["starting_after"]


@pytest.mark.parametrize("field", ["created", "object_id", "name", "city"])
@pytest.mark.parametrize("backwards", [False, True])
def test_cursor_continues_though_shipments_arrive(store: ShippingStore, field: str, backwards: bool) -> None:
    for number, object_id in enumerate("abcdefg"):
        store.add(shipment(object_id, created=number % 3 + 0.1, name=f"n{number % 2}", city=f"c{number % 4}"))
    before = [each.object_id for each in store.page(field, backwards, 100, None)[0]]
    seen: list[str] = []
    cursor = None
    while True:
        page, cursor = store.page(field, backwards, 2, cursor)
        seen += [each.object_id for each in page]
        if cursor is None:
            break
        store.add(shipment(f"new{len(seen)}", created=1.1, name="n0", city="c2"))
    assert [one for one in seen if not one.startswith("new")] == before

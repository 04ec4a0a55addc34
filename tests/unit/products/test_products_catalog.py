"""The ids, the public form and the search terms of a product."""

import re
from dataclasses import replace
from typing import Any

import pytest

from contracts.errors import Conflict, InvalidRequest
from products.rules.catalog import Product, fold, product_id, sku_id, sort_key, whole_term, words
from products.rules.stock import Inventory
from tests.products import DIMENSIONS, product, variant


def wally(**document: Any) -> Product:
    described = {"description": "The best gift, for your pet.", "created": 10, "updated": 20}
    metadata = {"category": "Pet Food", "for": "cats", "size": "small"}
    fields = {**described, "metadata": metadata, **document}
    return product(
        1, "Wally Bone", inventory=Inventory("finite", 500), attributes={"manufacturer": "PetHappy"}, **fields
    )


def test_a_key_always_makes_the_same_ids() -> None:
    assert product_id("key") == product_id("key") != product_id("other")
    assert re.fullmatch("prod_[0-9A-Za-z]{14}", product_id("key"))
    assert re.fullmatch("sku_[0-9A-Za-z]{14}", sku_id("key"))
    assert product_id("key")[5:] != sku_id("key")[4:]
    assert len({sku_id("key", number) for number in range(100)} | {sku_id("key")}) == 100


def test_product_shows_fields_that_stripe_dropped() -> None:
    shown = wally().public({"sku_1": Inventory("finite", 7)})
    assert shown["attributes"] == ["manufacturer"]
    assert shown["caption"] is None
    assert shown["deactivate_on"] == []
    assert shown["skus"] == {
        "object": "list",
        "data": [
            {
                "id": "sku_1",
                "object": "sku",
                "active": True,
                "attributes": {"manufacturer": "PetHappy"},
                "created": 10,
                "currency": "usd",
                "image": None,
                "inventory": {"type": "finite", "quantity": 7, "value": None},
                "livemode": False,
                "metadata": {},
                "package_dimensions": {"height": 5.0, "length": 5.0, "weight": 5.0, "width": 5.0},
                "price": 50,
                "product": "prod_1",
                "updated": 20,
            }
        ],
        "has_more": False,
        "total_count": 1,
        "url": "/v1/skus?product=prod_1&active=true",
    }


def test_an_inactive_product_has_an_inactive_sku() -> None:
    assert wally(active=False).public({"sku_1": Inventory("infinite")})["skus"]["data"][0]["active"] is False


def shirt(**document: Any) -> Product:
    first = {"size": "s", "colour": "red"}
    more = (variant("m", 40, size="m", colour="red"), variant("l", 60, place=2, size="l", colour="blue"))
    return product("s", "Shirt", 50, attributes=first, more=more, **document)


def test_price_of_a_product_is_the_lowest_on_sale() -> None:
    shown = shirt()
    assert shown.price == 40
    first, cheapest, last = shown.skus
    assert replace(shown, skus=(first, replace(cheapest, active=False), last)).price == 50
    idle = tuple(replace(sku, active=False) for sku in shown.skus)
    assert replace(shown, skus=idle).price == 40
    assert replace(shown, skus=(first, *idle[1:])).on_sale
    assert not replace(shown, skus=idle).on_sale


def test_sku_is_chosen_by_its_id_or_its_attributes() -> None:
    assert shirt().chosen("sku_m", None).id == "sku_m"
    assert shirt().chosen(None, {"size": "s"}).id == "sku_s"
    assert shirt().chosen(None, {"colour": "blue"}).id == "sku_l"
    assert wally().chosen(None, None).id == "sku_1"


@pytest.mark.parametrize("attributes", [None, {}, {"colour": "red"}])
def test_ambiguous_choice_is_a_conflict(attributes: dict[str, str] | None) -> None:
    with pytest.raises(Conflict, match="3 SKUs"):
        shirt().chosen(None, attributes)


@pytest.mark.parametrize(
    ("sku", "attributes", "field"),
    [("sku_1", None, "sku"), (None, {"size": "xl"}, "attributes"), ("sku_m", {"size": "s"}, "sku")],
)
def test_unknown_choice_names_the_field(sku: str | None, attributes: dict[str, str] | None, field: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        shirt().chosen(sku, attributes)
    assert list(refusal.value.facts["errors"]) == [field]


def test_title_names_the_attributes_of_one_of_several_skus() -> None:
    shown = shirt()
    assert [shown.titled(sku) for sku in shown.skus] == ["Shirt (s, red)", "Shirt (m, red)", "Shirt (l, blue)"]
    assert wally().titled(wally().skus[0]) == "Wally Bone"


def test_own_image_and_package_of_a_sku_come_first() -> None:
    sides = {"height": 1.0, "length": 1.0, "weight": 1.0, "width": 1.0}
    shown = shirt(images=["https://example.com/all.png"])
    plain, own = shown.skus[0], replace(shown.skus[1], image="https://example.com/m.png", package_dimensions=sides)
    assert (shown.pictured(plain), shown.packed(plain)) == ("https://example.com/all.png", DIMENSIONS)
    assert (shown.pictured(own), shown.packed(own)) == ("https://example.com/m.png", sides)
    assert wally().pictured(wally().skus[0]) is None


def test_digital_product_needs_no_package() -> None:
    digital = wally(shippable=False, package_dimensions=None)
    assert digital.sized(digital.skus[0])
    assert digital.packed(digital.skus[0]) is None
    unsized = wally(package_dimensions=None)
    assert not unsized.sized(unsized.skus[0])


def test_product_is_found_by_whole_terms_and_words() -> None:
    terms = wally().terms()
    for whole in ("pet food", "CATS", "wally bone", "Manufacturer"):
        assert whole_term(whole) in terms
    for word in ("wally", "BONE", "gift", "pet"):
        assert words(word) <= terms
    assert not words("food") <= terms, "a category is matched as a whole"
    assert whole_term("small") not in terms, "only category, for and type are searched"
    assert not words("bon") <= terms, "a part of a word does not match"


def test_folding_ignores_case_and_form_in_any_alphabet() -> None:
    assert fold("ÉCLAIR  Straße") == fold("éclair strasse")
    assert fold("\uff37\uff21lly") == "wally"  # full-width letters
    assert words("Кость для СОБАК") == {"кость", "для", "собак"}


def test_keys_and_terms_fit_an_index() -> None:
    assert len(sort_key("x" * 5000)) == 200
    assert len(whole_term("x" * 500)) < 200
    assert whole_term("x" * 500) != whole_term("x" * 501)
    assert "\0" not in fold("a\0b")

"""The ids, the public form and the search terms of a product."""

import re
from typing import Any

from products.rules.catalog import Product, fold, product_id, sku_id, sort_key, whole_term, words
from products.rules.stock import Inventory
from tests.products import product


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


def test_product_shows_fields_that_stripe_dropped() -> None:
    shown = wally().public(Inventory("finite", 7))
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
    assert wally(active=False).public(Inventory("infinite"))["skus"]["data"][0]["active"] is False


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

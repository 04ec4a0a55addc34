"""What the shop sells: a product with its one SKU, the words it is found by, and the port to the catalogue's keeper."""

from __future__ import annotations

import hashlib
import re
import string
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from products.drafts import DIMENSIONS, Change, Draft
from products.stock import Inventory

LETTERS = string.digits + string.ascii_letters
# A sort key longer than this no longer tells two names apart for a reader, and would not fit PostgreSQL's index.
KEY_LENGTH = 200
# A term longer than this is kept as its hash: it is only ever compared for equality.
TERM_LENGTH = 100
# The metadata whose values a category is looked for in.
CATEGORY_NAMES = ("category", "for", "type")


def product_id(key: str) -> str:
    """The id of the product that the caller's `key` makes: the same for a message that is delivered again."""
    return "prod_" + _letters(f"product:{key}")


def sku_id(key: str) -> str:
    """The id of the SKU that the caller's `key` makes."""
    return "sku_" + _letters(f"sku:{key}")


def _letters(text: str) -> str:
    number = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    letters = []
    for _ in range(14):
        number, index = divmod(number, len(LETTERS))
        letters.append(LETTERS[index])
    return "".join(letters)


@dataclass(frozen=True)
class Sku:
    """What is bought: the product at a price.

    Attributes:
        id: ``sku_…``; survives every change of price.
        price: whole cents.
        currency: three lower-case letters.
        attributes: name to value, as ``attributes_sku`` gave them.
        offer: the catalogue's own id of the price in force.
        active: False once the price was withdrawn.
    """

    id: str
    price: int
    currency: str
    attributes: dict[str, str]
    offer: str
    active: bool = True


@dataclass(frozen=True)
class Product:
    """One product of the catalogue.

    Attributes:
        document: the catalogue's own object, JSON-plain, without what the shop hides in its metadata.
        attributes: the names of the attributes that its SKU has.
        sku: its SKU.
        inventory: what there was when it was made or last set; what is left now is the store's to say.
    """

    document: dict[str, Any]
    attributes: list[str]
    sku: Sku
    inventory: Inventory

    @property
    def id(self) -> str:
        return str(self.document["id"])

    @property
    def name(self) -> str:
        return str(self.document["name"])

    @property
    def active(self) -> bool:
        return bool(self.document["active"])

    @property
    def on_sale(self) -> bool:
        """Whether its SKU can be bought, if there is any left."""
        return self.active and self.sku.active

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self.document.get("metadata") or {})

    @property
    def created(self) -> int:
        return int(self.document["created"])

    @property
    def updated(self) -> int:
        return int(self.document["updated"])

    @property
    def package_dimensions(self) -> dict[str, float] | None:
        return self.document.get("package_dimensions")

    @property
    def sized(self) -> bool:
        """Whether its package can be shipped: its sides and weight are known."""
        given = self.package_dimensions or {}
        return all(isinstance(given.get(name), int | float) and given[name] > 0 for name in DIMENSIONS)

    def public(self, left: Inventory) -> dict[str, Any]:
        """The product as the shop shows it: Stripe's object, with what Stripe has since dropped.

        Args:
            left: what is left now.
        """
        return {
            **self.document,
            "attributes": self.attributes,
            "caption": None,
            "deactivate_on": [],
            "skus": {
                "object": "list",
                "data": [self._public_sku(left)],
                "has_more": False,
                "total_count": 1,
                "url": f"/v1/skus?product={self.id}&active=true",
            },
        }

    def _public_sku(self, left: Inventory) -> dict[str, Any]:
        return {
            "id": self.sku.id,
            "object": "sku",
            "active": self.on_sale,
            "attributes": self.sku.attributes,
            "created": self.created,
            "currency": self.sku.currency,
            "image": None,
            "inventory": left.public(),
            "livemode": self.document.get("livemode", False),
            "metadata": {},
            "package_dimensions": self.package_dimensions,
            "price": self.sku.price,
            "product": self.id,
            "updated": self.updated,
        }

    def terms(self) -> set[str]:
        """Everything this product is found by: wholes, marked with "=", and the words of its name and description."""
        metadata = self.metadata
        wholes = [self.name, *self.attributes, *(metadata[name] for name in CATEGORY_NAMES if name in metadata)]
        found = {whole_term(whole) for whole in wholes}
        found.update(words(self.name))
        found.update(words(str(self.document.get("description") or "")))
        found.discard(whole_term(""))
        return found


@dataclass(frozen=True)
class Unsellable:
    """A product whose catalogue records do not suffice to sell it.

    Attributes:
        id: the product's.
        reason: what is wrong with them, for the operator.
        ours: whether they mark it as the shop's, and finished; otherwise it matters only if the shop has it.
    """

    id: str
    reason: str
    ours: bool = True


def fold(text: str) -> str:
    """`text` as it is compared: compatibility forms and case made one, white space single.

    Done here and stored, never left to a database: SQLite folds ASCII only, and PostgreSQL as its locale has it.
    """
    # PostgreSQL keeps no NUL in a text.
    return " ".join(unicodedata.normalize("NFKC", text).casefold().replace("\0", "").split())


def sort_key(text: str) -> str:
    """What a name or a metadata value is ordered by: code points, after folding."""
    return fold(text)[:KEY_LENGTH]


def whole_term(text: str) -> str:
    """The term for `text` as one whole."""
    return _short("=" + fold(text))


def words(text: str) -> set[str]:
    """The terms for the words of `text`."""
    return {_short(word) for word in re.findall(r"\w+", fold(text))}


def _short(term: str) -> str:
    if len(term) <= TERM_LENGTH:
        return term
    return term[0] + "#" + hashlib.sha256(term.encode()).hexdigest()


class Catalog(Protocol):
    """Who keeps the products and prices. Every verb may be repeated: what was done already is not done again.

    All raise Unavailable when the keeper cannot be reached (repeating is safe), ProviderFailure when it answers
    nonsense, Refused when it will not have what is asked, and InvalidRequest when a field does not fit into it.
    """

    def add(self, draft: Draft, product_id: str, sku: str) -> Product:
        """Make the product with its price, or finish what an earlier attempt with the same ids began.

        Raises NotFound when it was made and has been removed since.
        """

    def change(self, product: Product, change: Change) -> Product:
        """Apply `change` to `product`; returns the product as it is then.

        Raises NotFound when it is gone, Conflict when it was changed but still cannot be sold.
        """

    def remove(self, product: Product) -> None:
        """Take `product` out of the catalogue for good; nothing happens when it is out already."""

    def get(self, product_id: str) -> Product | Unsellable | None:
        """The product as the keeper has it now; None when it is gone, or never was."""

    def all(self) -> Iterator[Product | Unsellable]:
        """Every product that is not removed, in no particular order, a page at a time."""

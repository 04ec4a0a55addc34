"""The product with its one SKU, its search terms, and the port to the system that keeps the catalogue."""

from __future__ import annotations

import hashlib
import re
import string
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from products.rules.drafts import DIMENSIONS, Change, Draft
from products.rules.stock import Inventory

LETTERS = string.digits + string.ascii_letters
# A longer sort key helps no reader to distinguish two names, and would not fit PostgreSQL's index.
KEY_LENGTH = 200
# A longer term is stored as its hash, because terms are only compared for equality.
TERM_LENGTH = 100
# The metadata fields whose values a category search covers.
CATEGORY_NAMES = ("category", "for", "type")


def product_id(key: str) -> str:
    """Return the product id derived from the caller's `key`: the same for a redelivered message."""
    return "prod_" + _letters(f"product:{key}")


def sku_id(key: str) -> str:
    """Return the SKU id derived from the caller's `key`."""
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
        id: ``sku_…``; unchanged when the price changes.
        price: whole cents.
        currency: three lower-case letters.
        attributes: name to value, from ``attributes_sku``.
        offer: the catalogue's id of the current price.
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
        document: the catalogue's object as plain JSON, without the shop's private metadata.
        attributes: the names of the attributes that its SKU has.
        sku: its SKU.
        inventory: the stock when it was created or last set; `ProductStore` has the current stock.
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
        """Whether its SKU can be bought while stock lasts."""
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
        """Whether its package can be shipped: its dimensions and weight are known."""
        given = self.package_dimensions or {}
        return all(isinstance(given.get(name), int | float) and given[name] > 0 for name in DIMENSIONS)

    def public(self, left: Inventory) -> dict[str, Any]:
        """Return the product in the public shape: Stripe's object, plus fields that Stripe has since dropped.

        Args:
            left: the current stock.
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
        """Return every search term of this product: whole values, marked with "=", and the words of its name and
        description."""
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
        id: the product's id.
        reason: what is wrong with them, for the operator.
        ours: whether the records mark it as the shop's and as complete. Otherwise it matters only if the shop knows the
            product.
    """

    id: str
    reason: str
    ours: bool = True


def fold(text: str) -> str:
    """Normalize `text` for comparison: compatibility forms and case unified, whitespace collapsed.

    This happens here and the result is stored, because databases differ: SQLite folds ASCII only, and PostgreSQL
    follows its locale.
    """
    # PostgreSQL cannot store NUL in text.
    return " ".join(unicodedata.normalize("NFKC", text).casefold().replace("\0", "").split())


def sort_key(text: str) -> str:
    """Return the sort key of a name or a metadata value: code points, after folding."""
    return fold(text)[:KEY_LENGTH]


def whole_term(text: str) -> str:
    """Return the term for `text` as a whole."""
    return _short("=" + fold(text))


def words(text: str) -> set[str]:
    """The terms for the words of `text`."""
    return {_short(word) for word in re.findall(r"\w+", fold(text))}


def _short(term: str) -> str:
    if len(term) <= TERM_LENGTH:
        return term
    return term[0] + "#" + hashlib.sha256(term.encode()).hexdigest()


class Catalog(Protocol):
    """The system that keeps the products and prices. Every method is idempotent.

    All raise Unavailable when the system cannot be reached (repeating is safe), ProviderFailure when its answer is
    invalid, Refused when it rejects the request, and InvalidRequest when a field does not fit.
    """

    def add(self, draft: Draft, product_id: str, sku: str) -> Product:
        """Create the product with its price, or complete an earlier attempt with the same ids.

        Raises NotFound when it was created and has been removed since.
        """

    def change(self, product: Product, change: Change) -> Product:
        """Apply `change` to `product` and return the result.

        Raises NotFound when the product is gone, Conflict when it was changed but still cannot be sold.
        """

    def remove(self, product: Product) -> None:
        """Remove `product` from the catalogue permanently; does nothing if it is already removed."""

    def get(self, product_id: str) -> Product | Unsellable | None:
        """Return the current product; None when it is gone or never existed."""

    def all(self) -> Iterator[Product | Unsellable]:
        """Yield every product that is not removed, in no particular order, in pages."""

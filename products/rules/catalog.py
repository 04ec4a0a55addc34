"""The product with its SKUs, its search terms, and the port to the system that keeps the catalogue."""

from __future__ import annotations

import hashlib
import re
import string
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from contracts.errors import Conflict, wrong_field
from products.rules.drafts import DIMENSIONS, Change, Draft, SkuChange, SkuDraft
from products.rules.stock import ENDLESS, Inventory

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


def sku_id(key: str, number: int = 0) -> str:
    """Return the id derived from the caller's `key` for the SKU with that number in the request."""
    return "sku_" + _letters(f"sku:{key}" if number == 0 else f"sku:{key}:{number}")


def _letters(text: str) -> str:
    number = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    letters = []
    for _ in range(14):
        number, index = divmod(number, len(LETTERS))
        letters.append(LETTERS[index])
    return "".join(letters)


@dataclass(frozen=True)
class Sku:
    """What is bought: one variant of a product at a price.

    Attributes:
        id: ``sku_…``; unchanged when the price changes.
        price: in the currency's smallest unit.
        currency: three lower-case letters.
        attributes: name to value.
        offer: the catalogue's id of the current price.
        active: False once the price was withdrawn.
        inventory: the stock when it was created or last set; `ProductStore` has the current stock.
        image: the URL of its own image, if any.
        package_dimensions: its own; None when it is packed as its product.
        place: its position among the SKUs of its product.
    """

    id: str
    price: int
    currency: str
    attributes: dict[str, str]
    offer: str
    active: bool = True
    inventory: Inventory = ENDLESS
    image: str | None = None
    package_dimensions: dict[str, float] | None = None
    place: int = 0


@dataclass(frozen=True)
class Product:
    """One product of the catalogue.

    Attributes:
        document: the catalogue's object as plain JSON, without the shop's private metadata.
        attributes: the names of the attributes that its SKUs may have.
        skus: its SKUs in their order, at least one.
    """

    document: dict[str, Any]
    attributes: list[str]
    skus: tuple[Sku, ...]

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
    def shippable(self) -> bool:
        """Whether it is sent as a parcel; False for a digital product."""
        return self.document.get("shippable") is not False

    @property
    def tax_code(self) -> str | None:
        """What it counts as for taxes, as Stripe's code; None for the default of Stripe's settings."""
        code = self.document.get("tax_code")
        return code if isinstance(code, str) else None

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
    def price(self) -> int:
        """The lowest price of what is on sale; of all SKUs when none is."""
        return min(sku.price for sku in ([sku for sku in self.skus if sku.active] or self.skus))

    def sku(self, sku_id: str) -> Sku | None:
        """The SKU with that id, or None."""
        return next((sku for sku in self.skus if sku.id == sku_id), None)

    def chosen(self, sku_id: str | None, attributes: Mapping[str, str] | None) -> Sku:
        """The SKU that a shopper names by its id, or by attributes that only it has; the only one needs no name.

        Raises InvalidRequest when none matches, Conflict when several do.
        """
        matching = [
            sku
            for sku in self.skus
            if sku_id in (None, sku.id) and (attributes or {}).items() <= sku.attributes.items()
        ]
        if not matching:
            field = "attributes" if sku_id is None else "sku"
            raise wrong_field(field, "is no SKU of this product", f"{self.name} has no such SKU.")
        if len(matching) > 1:
            raise Conflict(f"{self.name} has {len(self.skus)} SKUs: choose one by `sku` or `attributes`.")
        return matching[0]

    @property
    def on_sale(self) -> bool:
        """Whether any of its SKUs can be bought while stock lasts."""
        return any(self.sells(sku) for sku in self.skus)

    def sells(self, sku: Sku) -> bool:
        """Whether one of its SKUs can be bought while stock lasts."""
        return self.active and sku.active

    def packed(self, sku: Sku) -> dict[str, float] | None:
        """The dimensions and weight of one piece in its package; None when nothing is sent."""
        return (sku.package_dimensions or self.package_dimensions) if self.shippable else None

    def sized(self, sku: Sku) -> bool:
        """Whether it can be sent: its dimensions and weight are known, or it needs none."""
        given = self.packed(sku) or {}
        sides = [given.get(name) for name in DIMENSIONS]
        return not self.shippable or all(isinstance(side, int | float) and side > 0 for side in sides)

    def titled(self, sku: Sku) -> str:
        """The product's name, with the attributes of the SKU when there are several."""
        values = [sku.attributes[name] for name in self.attributes if name in sku.attributes]
        return f"{self.name} ({', '.join(values)})" if len(self.skus) > 1 and values else self.name

    def pictured(self, sku: Sku) -> str | None:
        """The URL of the SKU's image, or of the product's first one."""
        return sku.image or next(iter(self.document.get("images") or ()), None)

    def public(self, left: Mapping[str, Inventory]) -> dict[str, Any]:
        """Return the product in the public shape: Stripe's object, plus fields that Stripe has since dropped.

        Args:
            left: the current stock of each SKU.
        """
        return {
            **self.document,
            "attributes": self.attributes,
            "caption": None,
            "deactivate_on": [],
            "skus": {
                "object": "list",
                "data": [self._public_sku(sku, left[sku.id]) for sku in self.skus],
                "has_more": False,
                "total_count": len(self.skus),
                "url": f"/v1/skus?product={self.id}&active=true",
            },
        }

    def _public_sku(self, sku: Sku, left: Inventory) -> dict[str, Any]:
        return {
            "id": sku.id,
            "object": "sku",
            "active": self.sells(sku),
            "attributes": sku.attributes,
            "created": self.created,
            "currency": sku.currency,
            "image": sku.image,
            "inventory": left.public(),
            "livemode": self.document.get("livemode", False),
            "metadata": {},
            "package_dimensions": self.packed(sku),
            "price": sku.price,
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

    def add(self, draft: Draft, product_id: str, skus: Sequence[str]) -> Product:
        """Create the product with its prices, or complete an earlier attempt with the same ids.

        It counts as created once the price of its first SKU exists, which comes last.

        Args:
            skus: the ids of its SKUs.

        Raises NotFound when it was created and has been removed since.
        """

    def change(self, product: Product, change: Change) -> Product:
        """Apply `change` to `product` (and its only SKU) and return the result.

        Raises NotFound when the product is gone, Conflict when it was changed but still cannot be sold.
        """

    def add_sku(self, product: Product, draft: SkuDraft, sku: str) -> Product:
        """Add a SKU with that id, or find it added, and return the product. Raises as `change` does."""

    def change_sku(self, product: Product, sku: str, change: SkuChange) -> Product:
        """Apply `change` to one SKU and return the product. Raises as `change` does."""

    def remove_sku(self, product: Product, sku: str) -> Product:
        """Remove one of several SKUs permanently, and return the product. Raises as `change` does."""

    def remove(self, product: Product) -> None:
        """Remove `product` from the catalogue permanently; does nothing if it is already removed."""

    def get(self, product_id: str) -> Product | Unsellable | None:
        """Return the current product; None when it is gone or never existed."""

    def all(self) -> Iterator[Product | Unsellable]:
        """Yield every product that is not removed, in no particular order, in pages."""

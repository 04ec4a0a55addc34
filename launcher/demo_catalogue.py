"""The demo catalogue: the products that the first start puts on sale, with pictures from `storefront/pictures/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# The metadata key that marks a product of this catalogue; its value is the product's `slug`.
MARK = "demo"


@dataclass(frozen=True)
class Choice:
    """One SKU.

    Attributes:
        values: of the product's attributes.
        price: in cents.
        stock: pieces; None for unlimited.
        picture: its own, if it looks different.
        ounces: its weight, if it differs from the product's.
    """

    values: Mapping[str, str]
    price: int
    stock: int | None
    picture: str | None = None
    ounces: float | None = None


@dataclass(frozen=True)
class Product:
    """One product.

    Attributes:
        slug: identifies it in this catalogue.
        size: height, length and width of its parcel in inches, and its weight in ounces.
    """

    slug: str
    category: str
    animal: str
    name: str
    description: str
    size: tuple[float, float, float, float]
    choices: tuple[Choice, ...]

    def body(self, pictures: str) -> dict[str, Any]:
        """The body of `POST /api/products/`; `pictures` is the URL of the folder of the pictures."""
        height, length, width, ounces = self.size
        first = self.choices[0]
        product = {
            "name": self.name,
            "description": self.description,
            "metadata": {"category": self.category, "for": self.animal, MARK: self.slug},
            "images": [f"{pictures}/{first.picture or self.slug}.svg"],
            "package_dimensions": {"height": height, "length": length, "width": width, "weight": ounces},
            "attributes": list(first.values),
        }
        if len(self.choices) == 1:
            return {**product, "price": first.price, "attributes_sku": dict(first.values), "inventory": _stock(first)}
        return {**product, "skus": [self._sku(each, pictures) for each in self.choices]}

    def _sku(self, choice: Choice, pictures: str) -> dict[str, Any]:
        sku = {"attributes": dict(choice.values), "price": choice.price, "inventory": _stock(choice)}
        if choice.picture:
            sku["image"] = f"{pictures}/{choice.picture}.svg"
        if choice.ounces:
            height, length, width, _ = self.size
            sku["package_dimensions"] = {"height": height, "length": length, "width": width, "weight": choice.ounces}
        return sku


def _stock(choice: Choice) -> dict[str, Any]:
    return {"type": "infinite"} if choice.stock is None else {"type": "finite", "quantity": choice.stock}


def _one(price: int, stock: int | None = None, **values: str) -> tuple[Choice, ...]:
    return (Choice(values, price, stock),)


def _colours(slug: str, price: int, **stock: int) -> tuple[Choice, ...]:
    """One SKU per colour, each with its picture."""
    return tuple(Choice({"colour": name}, price, pieces, f"{slug}-{name}") for name, pieces in stock.items())


def _sizes(**choices: tuple[int, int, float]) -> tuple[Choice, ...]:
    """One SKU per size: price, stock and weight."""
    return tuple(
        Choice({"size": name.replace("_", " ")}, price, stock, ounces=ounces)
        for name, (price, stock, ounces) in choices.items()
    )


CATALOGUE = (
    Product("whale", "toys", "dogs", "Squeaky whale",
            "A soft whale with a squeaker in its belly. It floats, it squeaks, and it forgives every bite.",
            (6, 9, 6, 7), _colours("whale", 1290, blue=120, coral=80, mint=60)),
    Product("bone", "toys", "dogs", "Wally bone",
            "The bone that gave the shop its name: plush outside, a crackle inside, a pocket for a treat.",
            (4, 10, 5, 6), _sizes(small=(950, 90, 4), medium=(1250, 90, 6), large=(1550, 40, 9))),
    Product("rope", "toys", "dogs", "Tug rope",
            "Two knots, one cotton rope, and room for four hands or two mouths. Cleans teeth while nobody notices.",
            (4, 14, 4, 10), _one(1180, 140, material="cotton")),
    Product("ball", "toys", "dogs", "Bouncy ball",
            "Natural rubber that bounces in a way no dog has worked out yet. Floats in every pond.",
            (3, 3, 3, 5), _colours("ball", 690, red=200, teal=150, sun=0)),
    Product("wand", "toys", "cats", "Feather wand",
            "Three feathers on a string on a stick. Sold as a toy for cats; bought for the people who hold it.",
            (2, 20, 3, 4), _one(890, 75, length="48 cm")),
    Product("mouse", "toys", "cats", "Felt mouse",
            "Hand-felted wool, a leather tail and a pinch of catnip. Small enough to vanish under every sofa.",
            (3, 6, 4, 3), _colours("mouse", 540, grey=160, cream=90)),
    Product("tin", "food", "cats", "Salmon dinner",
            "Flaked salmon in its own broth, with nothing that needs a chemistry degree to read.",
            (4, 9, 6, 40),
            (Choice({"pack": "6 tins"}, 1140, 80, ounces=40), Choice({"pack": "12 tins"}, 2160, 60, ounces=78),
             Choice({"pack": "24 tins"}, 4080, 20, ounces=152))),
    Product("kibble", "food", "dogs", "Country kibble",
            "Slow-baked chicken, oats and garden peas. For grown dogs of every size.",
            (5, 15, 10, 82),
            (Choice({"bag": "2 lb"}, 1290, 90, ounces=34), Choice({"bag": "5 lb"}, 2690, 60, ounces=82),
             Choice({"bag": "12 lb"}, 5490, 25, ounces=196))),
    Product("biscuits", "food", "dogs", "Peanut biscuits",
            "Baked twice, so that they snap. Peanut, oat and honey, in a jar that closes again.",
            (7, 5, 5, 22), _one(1420, 110, flavour="peanut")),
    Product("dental", "food", "dogs", "Mint dental sticks",
            "Ridges for the teeth, mint for the breath, and a chew that lasts longer than a phone call.",
            (2, 8, 5, 9),
            (Choice({"pack": "7 sticks"}, 790, 120, ounces=9), Choice({"pack": "28 sticks"}, 2590, 50, ounces=34))),
    Product("catnip", "food", "cats", "Pot of catnip",
            "A growing pot for the window sill. Water it on Sundays; hide it on Mondays.",
            (9, 7, 7, 30), _one(980, 34, origin="Oregon")),
    Product("milk", "food", "cats", "Kitten milk",
            "Lactose-free milk with taurine, for kittens from four weeks and for old cats with young ideas.",
            (9, 4, 4, 38), _one(760, 64, content="1 l")),
    Product("bed", "beds", "cats and dogs", "Doughnut bed",
            "A raised rim for the chin, a deep middle for the rest. Turns three times on its own.",
            (9, 26, 26, 64),
            (Choice({"colour": "sand", "size": "small"}, 4900, 30, "bed-sand", 64),
             Choice({"colour": "sand", "size": "large"}, 7900, 12, "bed-sand", 104),
             Choice({"colour": "moss", "size": "small"}, 4900, 22, "bed-moss", 64),
             Choice({"colour": "moss", "size": "large"}, 7900, 3, "bed-moss", 104))),
    Product("blanket", "beds", "cats and dogs", "Wool blanket",
            "Recycled wool with a fringe that survives kneading. Hides hair of the matching colour.",
            (4, 14, 11, 30), _colours("blanket", 3900, rust=40, cream=40, navy=25)),
    Product("cave", "beds", "cats", "Felt cave",
            "Two ears, one door, and the dark that every cat is looking for. Merino felt, made in one piece.",
            (14, 18, 18, 36), _colours("cave", 6400, grey=18, plum=9)),
    Product("bowl", "beds", "cats and dogs", "Stoneware bowl",
            "Heavy enough to stay where it is, low enough for whiskers. Dishwasher-safe.",
            (4, 8, 8, 26), _colours("bowl", 1890, teal=70, rose=55, cream=70)),
    Product("post", "beds", "cats", "Scratching post",
            "Sisal from top to bottom and a foot that does not wobble. The armchair says thank you.",
            (6, 30, 16, 190), _one(5900, 16, height="72 cm")),
    Product("brush", "beds", "cats and dogs", "Bamboo brush",
            "Soft bristles for the coat, a warm handle for the hand. Good for ten quiet minutes a day.",
            (2, 10, 4, 5), _one(1480, 95, material="bamboo")),
    Product("collar", "walks", "dogs", "Stitched collar",
            "Vegetable-tanned leather or waxed webbing, a brass buckle, and a ring that never squeaks.",
            (2, 8, 6, 6),
            (Choice({"colour": "tan"}, 3400, 35, "collar-leather"),
             Choice({"colour": "navy"}, 2600, 45, "collar-navy"), Choice({"colour": "red"}, 2600, 45, "collar-red"))),
    Product("lead", "walks", "dogs", "Rope lead",
            "Climbing rope, a leather grip and a brass snap. Five feet of agreement.",
            (3, 9, 7, 12), _colours("lead", 3200, coral=40, navy=40, moss=28)),
    Product("bandana", "walks", "cats and dogs", "Dotted bandana",
            "Cotton, dots, and a knot that opens before anything else does.",
            (1, 8, 6, 2), _colours("bandana", 1150, red=100, teal=100, sun=100)),
    Product("coat", "walks", "dogs", "Yellow raincoat",
            "Waterproof, lined, with a stripe that headlights find. Closes under the belly in one move.",
            (3, 14, 11, 16), _sizes(small=(3600, 22, 12), medium=(3900, 22, 16), large=(4200, 14, 20))),
    Product("bottle", "walks", "dogs", "Walking bottle",
            "Press, and the cup fills; let go, and what is left runs back. Holds a long walk.",
            (11, 4, 4, 11), _one(2100, 4, content="0.6 l")),
    Product("tag", "walks", "cats and dogs", "Brass name tag",
            "Engraved by hand, polished by every step. Send us the name after you order.",
            (1, 5, 4, 2),
            (Choice({"shape": "bone"}, 1400, None, "tag-bone"), Choice({"shape": "heart"}, 1400, None, "tag-heart"),
             Choice({"shape": "circle"}, 1200, None, "tag-circle"))),
)  # fmt: skip

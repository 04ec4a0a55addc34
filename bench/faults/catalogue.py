"""What shoppers can buy: products with unlimited stock, counted, digital, and limited series that sell out."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from bench.faults.client import Client
from launcher.problem import Problem

PLENTY = 4  # SKUs of each kind that do not sell out
SIZES = 2  # SKUs of one product
SERIES = 200  # checkouts per limited series
PIECES = 12  # of each limited series
REDEEMED_BY = 40  # one of so many shoppers may redeem the limited code
DIGITAL_TAX_CODE = "txcd_10000000"  # of electronic services, which some states do not tax
DIGITAL_ONLY, MIXED = 0.15, 0.15  # shares of the shoppers

TOY: dict[str, Any] = {
    "description": "Sold under difficult circumstances",
    "attributes": ["size"],
    "package_dimensions": {"height": 4.0, "length": 5.0, "width": 3.0, "weight": 9.0},
    "metadata": {"category": "toys"},
}


@dataclass(frozen=True)
class Article:
    """One SKU of a product. pieces: the initial stock; None: unlimited. shippable: whether it goes into a parcel."""

    product: str
    sku: str
    price: int
    pieces: int | None
    shippable: bool = True


@dataclass(frozen=True)
class Catalogue:
    """The products. plenty: never sells out. series: each sells out. codes: discount codes, of which the first takes
    off everything, and the last has few redemptions. digital: is not shipped, and never sells out."""

    plenty: list[Article]
    series: list[Article]
    codes: list[str] = field(default_factory=list)
    digital: list[Article] = field(default_factory=list)

    @property
    def articles(self) -> list[Article]:
        return [*self.plenty, *self.series, *self.digital]

    def wanted(self, number: int, dice: random.Random) -> list[tuple[Article, int]]:
        """Return what shopper `number` wants: one to four products, and how many of each. Some want nothing that is
        shipped, and some a mixture."""
        song, kind = {dice.choice(self.digital): dice.randint(1, 2)} if self.digital else {}, dice.random()
        if song and kind < DIGITAL_ONLY:
            return list(song.items())
        wanted = {**song} if kind < DIGITAL_ONLY + MIXED else {}
        wanted |= {dice.choice(self.plenty): dice.randint(1, 3) for _ in range(dice.randint(1, 2))}
        if self.series and dice.random() < 0.3:
            wanted[self.series[number // SERIES % len(self.series)]] = 1
        return list(wanted.items())

    def code(self, dice: random.Random, wanted: list[tuple[Article, int]]) -> str | None:
        """Return the discount code of a shopper; most have none. Of those who want nothing that is shipped, half pay
        nothing."""
        if self.codes and not any(article.shippable for article, _ in wanted) and dice.random() < 0.5:
            return self.codes[0]
        return dice.choice(self.codes) if self.codes and dice.random() < 0.3 else None


async def stocked(client: Client, checkouts: int, dice: random.Random) -> Catalogue:
    """Create a catalogue for that many checkouts in the shop. Raises Problem."""
    plenty: list[Article] = []
    for n in range(PLENTY // SIZES):
        plenty += await put_up(client, f"Endless {n}", [dice.randint(100, 5000) for _ in range(SIZES)], None)
        counted = [dice.randint(100, 5000) for _ in range(SIZES)]
        plenty += await put_up(client, f"Counted {n}", counted, checkouts * 10)
    limited = [dice.randint(500, 9000) for _ in range(max(1, -(-checkouts // SERIES)))]
    series: list[Article] = []
    for start in range(0, len(limited), SIZES):
        series += await put_up(client, f"Series {start}", limited[start : start + SIZES], PIECES)
    songs = [dice.randint(100, 2000) for _ in range(SIZES)]
    digital = await put_up(client, "Endless song", songs, None, shippable=False)
    digital += await put_up(client, "Counted song", songs, checkouts * 10, shippable=False)
    few = max(1, checkouts // REDEEMED_BY)
    codes = [await put_out(client, percent, most) for percent, most in ((100, None), (10, None), (50, few))]
    return Catalogue(plenty, series, codes, digital)


async def put_up(
    client: Client, name: str, prices: list[int], pieces: int | None, shippable: bool = True
) -> list[Article]:
    """Create a product with a SKU for each price. Raises Problem."""
    inventory = {"type": "infinite"} if pieces is None else {"type": "finite", "quantity": pieces}
    skus = [
        {"attributes": {"size": str(number)}, "price": price, "inventory": inventory}
        for number, price in enumerate(prices)
    ]
    toy = {**TOY, "name": name, "skus": skus, "shippable": shippable}
    if not shippable:
        del toy["package_dimensions"]
        toy["tax_code"] = DIGITAL_TAX_CODE
    seen = await client.post("product", "/api/products/", toy, admin=True)
    if seen is None or not seen.good:
        raise Problem(f"The shop could not be stocked: {seen}.")
    made = seen.body["skus"]["data"]
    return [Article(seen.body["id"], sku["id"], sku["price"], pieces, shippable) for sku in made]


async def put_out(client: Client, percent_off: int, redemptions: int | None) -> str:
    """Create a discount code; None: for any number of orders. Raises Problem."""
    code = f"code-{client.key()}"
    body = {"code": code, "percent_off": percent_off, "max_redemptions": redemptions}
    seen = await client.post("code", "/api/discounts/", body, admin=True)
    if seen is None or not seen.good:
        raise Problem(f"The shop has no discount code: {seen}.")
    return code

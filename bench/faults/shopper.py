"""A shopper: fills a cart, checks out, pays as people do, and retries until the shop has reported the outcome."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from bench.faults import journal
from bench.faults.catalogue import Article, Catalogue
from bench.faults.client import Client, Seen
from bench.faults.front import ANSWER_WAIT_S

GOOD = ("tok_visa", "tok_mastercard", "tok_amex", "tok_visa_debit", "pm_card_visa")
DECLINED = ("tok_chargeDeclined", "tok_chargeDeclinedInsufficientFunds", "tok_chargeDeclinedExpiredCard")
ASKING = "tok_threeDSecure2Required"

# How shoppers behave once they have an order, in percent.
BEHAVIOURS = {
    "pays": 37,  # with a good card
    "tries again": 12,  # a card is declined, the next one is not
    "is declined": 5,  # and leaves
    "confirms": 12,  # the bank asks for authentication; the shopper confirms, and pays again
    "waits": 4,  # the same, but the shopper waits for the order to be paid
    "denies": 3,  # the shopper denies the authentication, and uses another card
    "pays twice": 4,  # in two windows at once
    "walks away": 4,  # during the payment
    "cancels": 4,
    "cancels while paying": 2,
    "wants it back": 7,  # pays, and an operator refunds it
    "gets it": 6,  # pays, and the carrier has the parcel; some want a refund even then
}
# The same for a storm that also has what goes wrong after a provider has said yes; in addition to those above.
AFTERMATH = {
    "disputes": 5,  # pays, and disputes the charge later; the bank decides, or has not decided yet
    "is suspected": 2,  # pays, and the card's bank warns of fraud
    "gets no refund": 4,  # pays, and the operator's refund fails later; some get another one
    "pays by debit": 4,  # the bank takes seconds here instead of days, and may refuse in the end
}
# What happens to a shopper's order besides, in percent: the mail or the text does not arrive, the rate expires.
LOST_MAIL, LOST_TEXT, EXPIRED_RATE = 5, 5, 4
MAILBOXES = ("bounce", "blocked", "deferred", "spamreport")
PHONES = ("undelivered", "failed")
DEBITS = ("pm_usBankAccount_success", "pm_usBankAccount_success", "pm_usBankAccount_insufficientFunds")
# How often a waiting shopper polls the order (seconds).
LOOK_INTERVAL_S = 0.5

# States with and without a sales tax, and on shipping too or not; countries with a VAT.
HOMES = (
    {"line1": "1092 Indian Summer Ct", "city": "San Jose", "state": "CA", "country": "US", "postal_code": "95122"},
    {"line1": "1 Main St", "city": "Newark", "state": "NJ", "country": "US", "postal_code": "07102"},
    {"line1": "11 W 53rd St", "city": "New York", "state": "NY", "country": "US", "postal_code": "10019"},
    {"line1": "1219 SW Park Ave", "city": "Portland", "state": "OR", "country": "US", "postal_code": "97205"},
    {"line1": "Unter den Linden 1", "city": "Berlin", "country": "DE", "postal_code": "10117"},
    {"line1": "7 Rue de Rivoli", "city": "Paris", "country": "FR", "postal_code": "75004"},
    {"line1": "Calle Mayor 1", "city": "Madrid", "country": "ES", "postal_code": "28013"},
)


class Shopper:
    """One story, determined only by its random generator: the same seed and number behave the same.

    Args:
        number: the story's.
        client: the shopper's own.
        catalogue: the products.
        dice: the shopper's own random generator.
        behaviour: one of `BEHAVIOURS`; drawn when None.
        sandbox_url: the sandbox, where a parcel's status can be set; without it no parcel moves.
        aftermath: whether things also go wrong after a provider has said yes.
    """

    def __init__(
        self,
        number: int,
        client: Client,
        catalogue: Catalogue,
        dice: random.Random,
        behaviour: str | None = None,
        sandbox_url: str = "",
        aftermath: bool = False,
    ) -> None:
        self.number = number
        self.client = client
        self.catalogue = catalogue
        self.dice = dice
        self.sandbox_url = sandbox_url
        self.aftermath = aftermath and bool(sandbox_url)
        possible = {**BEHAVIOURS, **(AFTERMATH if self.aftermath else {})}
        self.behaviour = behaviour or dice.choices(list(possible), list(possible.values()))[0]

    async def shop(self) -> None:
        """Run the story from an empty cart to its end."""
        order = await self.order()
        if order is None:
            return
        if self.dice.random() < 0.25:
            await self._choose_shipping(order)
        behaviours = {
            "pays": self._pays,
            "tries again": self._tries_again,
            "is declined": self._is_declined,
            "confirms": self._confirms,
            "waits": self._waits,
            "denies": self._denies,
            "pays twice": self._pays_twice,
            "walks away": self._walks_away,
            "cancels": self._cancels,
            "cancels while paying": self._cancels_while_paying,
            "wants it back": self._wants_it_back,
            "gets it": self._gets_it,
            "disputes": self._disputes,
            "is suspected": self._is_suspected,
            "gets no refund": self._gets_no_refund,
            "pays by debit": self._pays_by_debit,
        }
        await behaviours[self.behaviour](order)

    async def order(
        self, wanted: list[tuple[Article, int]] | None = None, code: str | None = None
    ) -> dict[str, Any] | None:
        """Create an order of what the shopper wants, with a discount code; both are drawn unless `wanted` is given.
        Return None when that was not possible."""
        if wanted is None:
            wanted = self.catalogue.wanted(self.number, self.dice)
            code = self.catalogue.code(self.dice, wanted)
        made = await self.client.post(journal.CART, "/api/cart/", {})
        if made is None or not made.good:
            return None
        self.client.cart_id = made.body["cart_id"]
        for article, quantity in wanted:
            path = f"/api/cart/{article.product}/buy/"
            wish = {"quality": quantity, "sku": article.sku}
            bought = await self.client.post(journal.BUY, path, wish, sku=article.sku)
            if bought is None:
                return None
        if code is not None and await self.client.post(journal.CODE, "/api/cart/discount/", {"code": code}) is None:
            return None
        customer = {
            "email": f"shopper{self.number}-{self.dice.getrandbits(32):08x}@example.com",
            "phone": f"+1415{self.dice.randrange(2 * 10**6, 10**7)}",
            "name": f"Shopper {self.number}",
            "address": self.dice.choice(HOMES),
        }
        await self._lose_messages(customer)
        for _ in range(3):
            placed = await self.client.post(journal.CHECKOUT, "/api/cart/checkout/", customer)
            if placed is None:
                return None
            if placed.good:
                order: dict[str, Any] = placed.body
                await self._expire_rate(order)
                return order
            if placed.status != 409 or not (await self._without_code(code) or await self._without_series()):
                return None
            code = None
        return None

    async def pay(
        self, order: dict[str, Any], card: str, key: str | None = None, patience: float = ANSWER_WAIT_S
    ) -> Seen | None:
        """Pay until there is a definitive answer; an order of 0 without a card."""
        body = {"order_id": order["id"], **({"card": card} if order["amount"] else {})}
        return await self.client.post(journal.PAY, "/api/cart/paid/", body, key=key, patience=patience)

    async def cancel(self, order: dict[str, Any]) -> Seen | None:
        path = f"/api/orders/{order['id']}/cancel/"
        return await self.client.post(journal.CANCEL, path, {}, order_id=order["id"])

    async def refund(self, order: dict[str, Any], amount: int | None) -> Seen | None:
        """Refund money as an operator; the rest when `amount` is None."""
        path = f"/api/orders/{order['id']}/refund/"
        body: dict[str, Any] = {"all": True} if amount is None else {"amount": amount}
        return await self.client.post(journal.REFUND, path, body, admin=True, order_id=order["id"])

    def good(self) -> str:
        """Return a card that is not declined."""
        return self.dice.choice(GOOD)

    async def _without_code(self, code: str | None) -> bool:
        """Remove the discount code, which may be used up by now; return whether there was one."""
        return code is not None and await self.client.ask("DELETE", "/api/cart/discount/") is not None

    async def _without_series(self) -> bool:
        """Remove what other shoppers were faster to buy; return whether something was removed and the cart still has
        other items."""
        cart = await self.client.ask("GET", "/api/cart/")
        held = {item["parent"] for item in cart.body} if cart is not None and cart.good else set()
        gone = [article for article in self.catalogue.series if article.sku in held]
        for article in gone:
            await self.client.ask("DELETE", f"/api/cart/{article.product}/")
        return bool(gone) and len(held) > len(gone)

    async def _choose_shipping(self, order: dict[str, Any]) -> None:
        if not order["shipping_methods"]:
            return
        method = self.dice.choice(order["shipping_methods"])["id"]
        body = {"order_id": order["id"], "shipping_id": method}
        await self.client.post(journal.SHIPPING, "/api/cart/shipping/", body)

    async def _pays(self, order: dict[str, Any]) -> None:
        await self.pay(order, self.good())

    async def _tries_again(self, order: dict[str, Any]) -> None:
        if await self.pay(order, self.dice.choice(DECLINED)) is not None:
            await self.pay(order, self.good())

    async def _is_declined(self, order: dict[str, Any]) -> None:
        await self.pay(order, self.dice.choice(DECLINED))

    async def _confirms(self, order: dict[str, Any]) -> None:
        key = self.client.key()
        if await self._asked(order, "succeed", key):
            await self.pay(order, ASKING, key if self.dice.random() < 0.5 else None)

    async def _waits(self, order: dict[str, Any]) -> None:
        if not await self._asked(order, "succeed"):
            return
        for _ in range(int(ANSWER_WAIT_S / LOOK_INTERVAL_S)):
            now = await self.client.look(order["id"])
            if now is None or now.body.get("status") != "created":
                return
            await asyncio.sleep(LOOK_INTERVAL_S)

    async def _denies(self, order: dict[str, Any]) -> None:
        if await self._asked(order, "fail"):
            await self.pay(order, self.good())

    async def _asked(self, order: dict[str, Any], result: str, key: str | None = None) -> bool:
        """Pay by a card whose bank asks for authentication, and answer it; return whether it came to that."""
        seen = await self.pay(order, ASKING, key)
        if seen is None or seen.status != 402 or not seen.body.get("next_action"):
            return False
        await self.client.answer_bank(seen.body["next_action"]["redirect_to_url"]["url"], result)
        return True

    async def _pays_twice(self, order: dict[str, Any]) -> None:
        await asyncio.gather(self.pay(order, "tok_visa"), self.pay(order, "tok_mastercard"))

    async def _walks_away(self, order: dict[str, Any]) -> None:
        key, card = self.client.key(), self.good()
        try:
            await asyncio.wait_for(self.pay(order, card, key), self.dice.uniform(0.05, 1.0))
        except TimeoutError:
            asked = {"order_id": order["id"], "card": card}
            self.client.lose(journal.PAY, key, asked, journal.WALKED_AWAY)

    async def _cancels(self, order: dict[str, Any]) -> None:
        canceled = await self.cancel(order)
        if canceled is not None and self.dice.random() < 0.5:
            await self.pay(order, self.good())  # too late

    async def _cancels_while_paying(self, order: dict[str, Any]) -> None:
        await asyncio.gather(self.pay(order, self.good()), self.cancel(order))

    async def _wants_it_back(self, order: dict[str, Any]) -> None:
        paid = await self.pay(order, self.good())
        if paid is None or not paid.good:
            return
        if paid.body["amount"] > 1 and self.dice.random() < 0.3:
            await self.refund(order, self.dice.randint(1, paid.body["amount"] - 1))
        await self.refund(order, None)

    async def _gets_it(self, order: dict[str, Any]) -> None:
        further, sent_back = self.dice.random() < 0.5, self.dice.random() < 0.25
        paid = await self.pay(order, self.good())
        if paid is None or not paid.good or not self.sandbox_url:
            return
        if order["shipping_methods"]:
            number = await self._tracking_number(order)
            if number is None:
                return  # the books detect a missing label
            for status in ("TRANSIT", "DELIVERED")[: 1 + further]:
                await self.client.decide(self.sandbox_url, f"tracks/{number}", {"status": status})
        if sent_back:
            await self.refund(order, None)

    async def _tracking_number(self, order: dict[str, Any]) -> str | None:
        """Return the parcel's tracking number, as soon as the shop knows it."""
        for _ in range(int(ANSWER_WAIT_S / LOOK_INTERVAL_S)):
            now = await self.client.look(order["id"])
            if now is None or not now.good:
                return None
            if number := now.body["shipping"]["tracking_number"]:
                return str(number)
            await asyncio.sleep(LOOK_INTERVAL_S)
        return None

    async def _disputes(self, order: dict[str, Any]) -> None:
        claim = self.dice.choice(("fraudulent", "product_not_received", "inquiry"))
        result = self.dice.choice(("won", "lost", None))
        partly = self.dice.random() < 0.2
        charge = await self._charged(order)
        if charge is None:
            return
        body = {"claim": claim, **({"amount": max(1, order["amount"] // 2)} if partly else {})}
        dispute = await self.client.decide(self.sandbox_url, f"charges/{charge}/dispute", body)
        if result is not None:
            await asyncio.sleep(LOOK_INTERVAL_S)
            await self.client.decide(self.sandbox_url, f"disputes/{dispute['id']}", {"result": result})

    async def _is_suspected(self, order: dict[str, Any]) -> None:
        charge = await self._charged(order)
        if charge is not None:
            await self.client.decide(self.sandbox_url, f"charges/{charge}/fraud_warning", {"fraud_type": "misc"})

    async def _gets_no_refund(self, order: dict[str, Any]) -> None:
        partly, again = self.dice.random() < 0.3, self.dice.random() < 0.5
        if await self._charged(order) is None or order["amount"] < 2:
            return
        amount = order["amount"] // 2 if partly else None
        refunded = await self.refund(order, amount)
        if refunded is None or not refunded.good:
            return
        refund = refunded.body["returns"]["data"][0]["refund"]
        failed = {"result": "fail", "reason": "expired_or_canceled_card"}
        await self.client.decide(self.sandbox_url, f"refunds/{refund}", failed)
        if again:
            await self._until_noted(order)
            await self.refund(order, amount)

    async def _pays_by_debit(self, order: dict[str, Any]) -> None:
        account = self.dice.choice(DEBITS)
        again = self.dice.random() < 0.5
        paid = await self.pay(order, account)
        if paid is None or paid.status != 202:
            return
        for _ in range(int(ANSWER_WAIT_S / LOOK_INTERVAL_S)):
            now = await self.client.look(order["id"])
            if now is None or now.body["payment"]["status"] != "processing":
                break
            await asyncio.sleep(LOOK_INTERVAL_S)
        if again:
            await self.pay(order, self.good())

    async def _charged(self, order: dict[str, Any]) -> str | None:
        """Pay by a good card; return the charge, or None when there is none."""
        paid = await self.pay(order, self.good())
        charge = paid.body["charge"] if paid is not None and paid.good and self.sandbox_url else None
        return str(charge) if charge else None

    async def _until_noted(self, order: dict[str, Any]) -> None:
        """Wait until the shop knows that a refund has failed."""
        for _ in range(int(ANSWER_WAIT_S / LOOK_INTERVAL_S)):
            now = await self.client.look(order["id"])
            if now is None or not now.body.get("amount_returned"):
                return
            await asyncio.sleep(LOOK_INTERVAL_S)

    async def _lose_messages(self, customer: dict[str, Any]) -> None:
        """Decide whether the mail and the text will arrive."""
        if not self.aftermath:
            return
        mail, text = self.dice.randrange(100) < LOST_MAIL, self.dice.randrange(100) < LOST_TEXT
        mailbox, phone = self.dice.choice(MAILBOXES), self.dice.choice(PHONES)
        for lost, address, outcome in ((mail, customer["email"], mailbox), (text, customer["phone"], phone)):
            if lost:
                await self.client.decide(self.sandbox_url, f"recipients/{address}", {"outcome": outcome}, "PUT")

    async def _expire_rate(self, order: dict[str, Any]) -> None:
        """Decide whether the carrier still sells a label at the order's rate."""
        if not self.aftermath:
            return
        expired = self.dice.randrange(100) < EXPIRED_RATE
        if expired and order["selected_shipping_method"]:
            path = f"rates/{order['selected_shipping_method']}"
            await self.client.decide(self.sandbox_url, path, {"age_days": 7})

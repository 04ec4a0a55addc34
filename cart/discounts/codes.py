"""Discount codes: made and withdrawn at the provider, read here.

The provider keeps the codes. A row of each is kept here, so that neither a cart nor a checkout waits for the provider;
it also counts the redemptions, because no payment redeems a code at Stripe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from cart.rules.discount import REMOVE_IT, Discount, Discounts, Terms, hundredths, public, unknown
from cart.rules.order import Cut
from cart.rules.price import Line
from cart.store.unit_of_work import CartStore
from chassis.clock import now as clock_now
from chassis.logs import log
from chassis.records import sorted_out
from contracts.currencies import UnknownCurrency, charge_step, currency_code
from contracts.errors import Conflict, InvalidRequest, NotFound, ProviderFailure, wrong_field

# How often all codes are read again, in case an event was lost, for how long (seconds), and how many pages at most.
READ_INTERVAL_S = 600.0
READ_TIME_S = 120.0
MAX_PAGES = 100
# How many codes are read one by one when terms that they share have changed; for more, the list is read.
MAX_SINGLE_READS = 3


class DiscountCodes:
    """The codes.

    Args:
        store: stores their terms and redemptions, and the code of each cart.
        provider: keeps them; None for a payment provider that has none.
        clock: Unix seconds; another one in tests.
    """

    def __init__(self, store: CartStore, provider: Discounts | None, clock: Callable[[], float] = clock_now) -> None:
        self._store = store
        self._provider = provider
        self._clock = clock

    def create(self, spec: dict[str, Any], key: str) -> dict[str, Any]:
        """Make a code, once per `key`; returns it as the API shows it.

        Args:
            spec: ``{"code", "percent_off" or "amount_off", "currency", "minimum_amount", "max_redemptions",
                "expires_at"}``.

        Raises InvalidRequest (terms that contradict each other), Conflict (there is such a code, or the provider has no
        codes), and as the port does.
        """
        terms = self._terms(spec)
        provider = self._required()
        made = provider.create(terms, key)
        # As of now: a list that was requested before the code existed must not withdraw it. A provider repeats its
        # first answer under the key, also about a code that was withdrawn since, so the code is read again.
        asked_at = self._clock()
        current = provider.find(made.id) or replace(made, active=False)
        self._store.discounts.put(current, asked_at)
        log.info("discount made", code=terms.code, discount=made.id)
        return public(current, self._clock())

    def withdraw(self, code: str) -> dict[str, Any]:
        """Make a code unusable, also for orders that are not paid yet. Withdrawing it again changes nothing.

        Raises NotFound, and as the port does.
        """
        found = self._store.discounts.find(code)
        self._required().withdraw(found.id)
        self._store.discounts.withdraw(found.id, self._clock())
        log.info("discount withdrawn", code=found.terms.code, discount=found.id)
        return {"id": found.id, "object": "discount", "code": found.terms.code, "deleted": True}

    def page(self, limit: int, starting_after: str | None) -> dict[str, Any]:
        """A page of all codes, newest first, as a list object; withdrawn ones are not active."""
        page, following, total = self._store.discounts.page(limit, starting_after)
        now = self._clock()
        return {
            "object": "list",
            "url": "/api/discounts",
            "has_more": following is not None,
            "total_count": total,
            "next_cursor": following,
            "data": [public(each, now) for each in page],
        }

    def apply(self, cart_id: str, code: str, subtotal: int, currency: str | None, key: str | None) -> None:
        """Give a cart a code, in place of the one that it has, once per `key`.

        Args:
            subtotal: of the cart's goods, in the smallest unit of `currency`; None for an empty cart.

        Raises NotFound (no such code), Conflict (it does not apply to this cart).
        """
        self.amount(cart_id, code, subtotal, currency)
        self._store.discounts.apply(cart_id, self._known(code).terms.code, key)

    def amount(self, cart_id: str, code: str, subtotal: int, currency: str | None) -> int:
        """The amount of the line that a code would add; not positive. Takes its arguments and raises as `apply`."""
        found = self._known(code)
        if found.used_up and self._store.discounts.in_payment(cart_id, found.id):
            found = replace(found, redeemed=found.redeemed - 1)
        found.check(self._clock())
        return 0 if currency is None else found.line(subtotal, currency).amount

    def cut(self, cart_id: str, lines: Sequence[Line], currency: str) -> tuple[Cut | None, Conflict | None]:
        """What the code of a cart takes off its goods, and why no new order can have it; both None without a code.

        Raises Conflict when there is no such code, or it is not for these goods.
        """
        code = self._store.discounts.of_cart(cart_id)
        if code is None:
            return None, None
        with _removable():
            found = self._known(code)
            cut = Cut(found.id, found.line(sum(line.amount for line in lines), currency))
        try:
            with _removable():
                found.check(self._clock())
        except Conflict as spent:
            return cut, spent
        return cut, None

    def refresh(self, discount_id: str | None) -> None:
        """Read one code again, or all of them. Raises as the port does."""
        if self._provider is None:
            return
        asked_at = self._clock()
        if discount_id is None:
            self._read_all(self._provider, asked_at)
            return
        found = self._provider.find(discount_id)
        if found is None:
            self._store.discounts.withdraw_unread(asked_at, discount_id)
        else:
            self._store.discounts.put(found, asked_at)

    def refresh_terms(self, terms_id: str) -> None:
        """Read again the codes that have the terms `terms_id` at the provider: all codes when they are many, or when
        one of them cannot be read. Raises as the port does."""
        found = self._store.discounts.with_terms(terms_id, MAX_SINGLE_READS + 1)
        if len(found) <= MAX_SINGLE_READS:
            with suppress(ProviderFailure):
                for discount_id in found:
                    self.refresh(discount_id)
                return
        self.refresh(None)

    def _read_all(self, provider: Discounts, asked_at: float) -> None:
        after: str | None = None
        for _ in range(MAX_PAGES):
            listed, after = provider.page(after)
            page, aside = sorted_out(listed)
            with self._store.write():
                for each in page:
                    self._store.discounts.put(each, asked_at)
                for each in aside:
                    self._store.discounts.withdraw_unread(asked_at, each.id)
            if after is None:
                self._store.discounts.withdraw_unread(asked_at)
                return
        log.warning("not all discount codes were read", pages=MAX_PAGES)

    def _known(self, code: str) -> Discount:
        if self._provider is None:  # codes of an earlier provider no longer apply
            raise unknown(code)
        return self._store.discounts.find(code)

    def _required(self) -> Discounts:
        if self._provider is None:
            raise Conflict("The shop's payment provider keeps no discount codes.")
        return self._provider

    def _terms(self, spec: dict[str, Any]) -> Terms:
        currency, percent = spec.get("currency"), spec.get("percent_off")
        amounts = {name: spec[name] for name in ("amount_off", "minimum_amount") if spec.get(name) is not None}
        if currency is not None:
            try:
                currency = currency_code(currency)
            except UnknownCurrency as error:
                raise wrong_field("currency", str(error)) from error
            for name, amount in amounts.items():
                if amount % charge_step(currency):
                    raise wrong_field(name, f"must be a multiple of {charge_step(currency)} in {currency}")
        if amounts and currency is None:
            raise wrong_field("currency", "required field", "The amounts of a discount have a currency.")
        if not amounts and currency is not None:
            raise wrong_field("currency", "is only for amount_off and minimum_amount")
        if (percent is None) == (spec.get("amount_off") is None):
            message = "send either percent_off or amount_off"
            raise InvalidRequest("A discount takes off either.", {"errors": {"percent_off": [message]}})
        try:
            share = None if percent is None else hundredths(percent)
        except (ValueError, ArithmeticError) as error:
            raise wrong_field("percent_off", "must be at most 100, with at most two decimals") from error
        expires_at = spec.get("expires_at")
        if expires_at is not None and expires_at <= self._clock():
            raise wrong_field("expires_at", "must be in the future")
        return Terms(
            code=spec["code"],
            hundredths=share,
            amount_off=spec.get("amount_off"),
            currency=currency,
            minimum_amount=spec.get("minimum_amount"),
            max_redemptions=spec.get("max_redemptions"),
            expires_at=expires_at,
        )


@contextmanager
def _removable() -> Iterator[None]:
    """Turn the refusal of a cart's code into a Conflict that says what to do."""
    try:
        yield
    except (NotFound, Conflict) as error:
        raise Conflict(f"{error.detail} {REMOVE_IT}") from error

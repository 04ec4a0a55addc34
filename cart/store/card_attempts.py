"""Attempts to pay: how many were declined, and how many hold stock until a bank has answered.

An attempt is counted in the transaction that claims its order, before its outcome is known, so that parallel requests
cannot exceed a limit. It stops counting once it ends other than by a decline.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cart.rules.order import AT_WORK, CONFIRMING, Order
from cart.store.tables import Store, bank_holds, card_attempts, discounts, orders, redemptions
from contracts.errors import Conflict, TooManyRequests

# Testing stolen cards takes many declines; a shopper has a few cards (Stripe's advice on card testing).
ORDER_DECLINES = 5
CART_DECLINES = 10
DECLINES_WINDOW_S = 3600.0
# Unconfirmed holds at the same time in one cart, and of one order within the window below.
CART_HOLDS = 2
ORDER_HOLDS = 2
HOLDS_WINDOW_S = 3600.0
# When to retry because another attempt of the cart may have ended (seconds).
IN_PROGRESS_RETRY_S = 2
# No limit counts an older attempt.
ATTEMPTS_KEPT_S = 86400.0

TRYING = "trying"  # the outcome is not known yet
DECLINED = "declined"
ASKED = "asked"  # the bank wants a confirmation; whether the stock may wait for it is being checked
HELD = "held"  # the stock waits, or waited, for the bank


class CardAttempts(Store):
    """The attempts to pay by card, in SQL."""

    def ask_bank(self, order: Order, hold_s: float) -> dict[str, int] | None:
        """Record that an order's stock is to wait for the shopper's bank.

        Args:
            hold_s: how long it may wait (seconds).

        Returns how many pieces of each of its SKUs wait for a bank, including its own; None when this attempt already
        holds them. Raises Conflict when the cart or the order has reached its limit of holds.
        """
        with self._database.write() as connection:
            now = self._clock()
            this = _attempt(order)
            row = connection.execute(sa.select(card_attempts).where(this).with_for_update()).first()
            if row is not None and row.state == HELD:
                return None
            payer = order.cart_id if row is None else row.payer
            self.lock(payer)
            _check_holds(connection, order, payer, now, hold_s)
            if row is None:
                _insert(connection, order, payer, now, ASKED)
            else:
                connection.execute(sa.update(card_attempts).where(this).values(state=ASKED))
            same = sa.and_(bank_holds.c.order_id == order.id, bank_holds.c.attempt == order.attempt)
            connection.execute(sa.delete(bank_holds).where(same))
            for sku, quantity in order.pieces.items():
                values = {"order_id": order.id, "attempt": order.attempt, "sku": sku, "quantity": quantity}
                connection.execute(sa.insert(bank_holds).values(values))
        with self._database.read() as connection:  # after the commit: of two concurrent ones, at least one sees both
            query = sa.select(bank_holds.c.sku, sa.func.sum(bank_holds.c.quantity)).join_from(
                bank_holds,
                card_attempts,
                sa.and_(
                    card_attempts.c.order_id == bank_holds.c.order_id,
                    card_attempts.c.attempt == bank_holds.c.attempt,
                ),
            )
            query = query.join(orders, _live()).where(bank_holds.c.sku.in_(list(order.pieces)))
            return {sku: int(held) for sku, held in connection.execute(query.group_by(bank_holds.c.sku))}

    def redemptions_waiting(self, discount_id: str) -> tuple[int, int | None]:
        """How many redemptions of a code wait for a bank, and how many others are left; None if any number is."""
        waiting = sa.select(sa.func.count()).select_from(redemptions)
        waiting = waiting.join(orders, orders.c.id == redemptions.c.order_id).join(card_attempts, _live())
        waiting = waiting.where(redemptions.c.discount == discount_id)
        left = sa.select(discounts.c.max_redemptions - discounts.c.redeemed).where(discounts.c.id == discount_id)
        with self._database.read() as connection:
            return connection.execute(waiting).scalar_one(), connection.execute(left).scalar()

    def held(self, order: Order) -> None:
        """The attempt's stock now waits for the bank. Part of the transaction that makes the order wait."""
        with self._database.write() as connection:
            connection.execute(sa.update(card_attempts).where(_attempt(order)).values(state=HELD))

    def begin(self, order: Order, payer: str | None) -> None:
        """Count a new attempt of a claimed order. Part of the transaction that claims it.

        Args:
            payer: whose attempt it is, usually the cart; None, without a limit, when no shopper requested it.

        Raises TooManyRequests when the order or the payer has reached its limit of declines.
        """
        now = self._clock()
        with self._database.write() as connection:
            if payer is not None:
                self.lock(payer)
                whose = {
                    "order": (ORDER_DECLINES, card_attempts.c.order_id == order.id),
                    "cart": (CART_DECLINES, card_attempts.c.payer == payer),
                }
                for name, (limit, condition) in whose.items():
                    _check_declines(connection, name, limit, condition, now)
            _insert(connection, order, payer or order.cart_id, now, TRYING)

    def end(self, order: Order, declined: bool = False) -> None:
        """Record that the attempt has ended. Part of the transaction that stores its outcome.

        Args:
            declined: whether the card was declined: only then does the attempt still count.
        """
        this = sa.and_(_attempt(order), card_attempts.c.state.in_((TRYING, ASKED)))
        ended = sa.update(card_attempts).values(state=DECLINED) if declined else sa.delete(card_attempts)
        with self._database.write() as connection:
            connection.execute(ended.where(this))

    def forget(self) -> None:
        """Delete the attempts that no limit counts any more."""
        with self._database.write() as connection:
            old = card_attempts.c.began < self._clock() - ATTEMPTS_KEPT_S
            holding = sa.exists().where(_live())  # a bank may settle a payment for days
            connection.execute(sa.delete(card_attempts).where(old, ~holding))
            kept = sa.select(card_attempts.c.order_id).where(
                card_attempts.c.order_id == bank_holds.c.order_id, card_attempts.c.attempt == bank_holds.c.attempt
            )
            connection.execute(sa.delete(bank_holds).where(~kept.exists()))


def _check_declines(connection: Connection, name: str, limit: int, whose: sa.ColumnElement[bool], now: float) -> None:
    query = sa.select(card_attempts.c.state, card_attempts.c.began).where(
        whose, sa.or_(card_attempts.c.state == DECLINED, _trying()), _within(now, DECLINES_WINDOW_S)
    )
    rows = connection.execute(query.order_by(card_attempts.c.began)).all()
    if len(rows) < limit:
        return
    facts: dict[str, Any] = {"limit": f"{name}-declines", "quota": limit, "window": int(DECLINES_WINDOW_S)}
    declined = [row.began for row in rows if row.state == DECLINED]
    if len(declined) < limit:
        facts["retry_after"] = IN_PROGRESS_RETRY_S
        raise TooManyRequests(f"Other payments of this {name} are in progress.", facts)
    facts["retry_after"] = _bounded(declined[-limit] + DECLINES_WINDOW_S - now, DECLINES_WINDOW_S)
    raise TooManyRequests(f"Too many cards were declined for this {name}. Pay again later.", facts)


def _check_holds(connection: Connection, order: Order, payer: str, now: float, hold_s: float) -> None:
    other = sa.and_(card_attempts.c.payer == payer, card_attempts.c.order_id != order.id)
    holds = sa.select(card_attempts.c.began).join(orders, _live()).where(other).order_by(card_attempts.c.began)
    began = list(connection.execute(holds).scalars())
    if len(began) >= CART_HOLDS:
        wait = _bounded(began[-CART_HOLDS] + hold_s - now, hold_s)
        raise Conflict(
            f"{len(began)} orders of this cart wait for a bank already. Confirm or cancel one first, or pay by card.",
            {"retry_after": wait},
        )
    earlier = sa.select(card_attempts.c.began).where(
        card_attempts.c.order_id == order.id,
        card_attempts.c.attempt != order.attempt,
        card_attempts.c.state == HELD,
        _within(now, HOLDS_WINDOW_S),
    )
    began = list(connection.execute(earlier.order_by(card_attempts.c.began)).scalars())
    if len(began) >= ORDER_HOLDS:
        wait = _bounded(began[-ORDER_HOLDS] + HOLDS_WINDOW_S - now, HOLDS_WINDOW_S)
        raise Conflict(
            f"Order {order.id} has waited for a bank's confirmation {len(began)} times. Use a card that needs none.",
            {"retry_after": wait},
        )


def _within(now: float, window: float) -> sa.ColumnElement[bool]:
    """Within the last `window` seconds; a clock that was set back may have left times at most as far in the future."""
    return card_attempts.c.began.between(now - window, now + window)


def _trying() -> sa.ColumnElement[bool]:
    """The condition that an attempt is in progress. An attempt ended by older code is still recorded as TRYING, but its
    order is no longer being paid."""
    paying = sa.select(orders.c.id).where(
        orders.c.id == card_attempts.c.order_id,
        orders.c.attempt == card_attempts.c.attempt,
        orders.c.status.in_((*AT_WORK, CONFIRMING)),
    )
    return sa.and_(card_attempts.c.state == TRYING, paying.exists())


def _live() -> sa.ColumnElement[bool]:
    """The condition that an attempt's order still holds stock for the bank."""
    return sa.and_(
        orders.c.id == card_attempts.c.order_id,
        orders.c.attempt == card_attempts.c.attempt,
        orders.c.status.in_((*AT_WORK, CONFIRMING)),
        card_attempts.c.state.in_((ASKED, HELD)),
    )


def _attempt(order: Order) -> sa.ColumnElement[bool]:
    return sa.and_(card_attempts.c.order_id == order.id, card_attempts.c.attempt == order.attempt)


def _insert(connection: Connection, order: Order, payer: str, now: float, state: str) -> None:
    values = {"order_id": order.id, "attempt": order.attempt, "payer": payer, "began": now, "state": state}
    connection.execute(sa.insert(card_attempts).values(values))


def _bounded(wait: float, longest: float) -> float:
    return min(max(1.0, wait), longest)

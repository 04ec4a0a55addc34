"""The orders' mails and text messages after they were sent: what became of them, and sending one again."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import replace

from cart.deliveries.following import Entry, Follower
from cart.rules import attention
from cart.rules.order import EMAIL, MESSAGES, RETURNED, SMS, Order
from cart.store.unit_of_work import CartStore
from chassis.db.engine import once_more
from chassis.logs import log
from chassis.work.tasks import FAILED, WAITING, Task
from contracts.contacts import mail_address_fault, sms_fault, without_contacts
from contracts.errors import Conflict, wrong_field

# The states of a message, in the words of the notifications service.
DELIVERED = "delivered"
LOST = ("failed", "bounced")
WORDS = {EMAIL: "The mail", SMS: "The text message"}


class MessageNews(Follower):
    """Follows the ``news`` of the notifications service: an order whose message did not arrive needs a person."""

    name = "messages"

    def read(self, after: int, limit: int) -> list[Entry]:
        news: list[Entry] = self.service.news(after, limit)
        return news

    def apply(self, entries: list[Entry]) -> None:
        """Record what became of the orders' messages; others, such as those that an admin sent, are left out."""
        for entry in entries:
            for task in self.store.deliveries.rows(key=entry["key"]):
                if task["kind"] in MESSAGES:
                    self._apply(task, entry)

    def _apply(self, task: Task, entry: Entry) -> None:
        order_id, kind, key, status = task["subject"], task["kind"], task["key"], entry["status"]
        error = None if entry["error"] is None else without_contacts(entry["error"])
        self.store.messages.record(key, status, error, entry["at"])
        *earlier, latest = self.store.deliveries.of(order_id, [kind])
        if latest["key"] != key or status not in (DELIVERED, *LOST):
            return  # it was sent again since, or is on its way
        for each in earlier:
            settled(self.store, each)
        if status == DELIVERED or entry["unwanted"]:
            settled(self.store, task)
        elif not is_needless(self.store.orders.locked(order_id)):
            detail = f"{WORDS[kind]} was not delivered ({status}): {error or 'no reason given'}"
            self.store.attention.open(order_id, attention.MESSAGE, key, detail)


class Again:
    """Sends an order's message again, to the same recipient or to another one.

    Args:
        store: the cart's data.
        countries: two-letter codes of the countries that may receive texts; empty: every country.
    """

    def __init__(self, store: CartStore, countries: Collection[str] = ()) -> None:
        self._store = store
        self._countries = countries

    def owe(self, order_id: str, kind: str, to: str | None, key: str | None) -> str:
        """Owe an order's message once more, once per `key`; returns the key of the delivery.

        Another recipient becomes the order's own: later messages go there, too.

        Args:
            kind: "email" or "sms".
            to: a mail address, or a number in E.164; None for the order's own.
            key: None for a call that is not repeated.

        Raises:
            NotFound: no such order.
            InvalidRequest: the kind, or the recipient.
            Conflict: the order is not paid, or its goods were given back; its message is still being sent; or the key
                was used for another recipient.
        """
        if kind not in MESSAGES:
            raise wrong_field("kind", f"must be one of {', '.join(MESSAGES)}")
        if to is not None:
            fault = mail_address_fault(to) if kind == EMAIL else sms_fault(to, self._countries)
            if fault is not None:
                raise wrong_field("to", fault)
        digest = hashlib.sha256((key or secrets.token_hex(16)).encode()).hexdigest()[:32]
        return self._owe(order_id, kind, to, f"{order_id}:{kind}:{digest}")

    @once_more
    def _owe(self, order_id: str, kind: str, to: str | None, key: str) -> str:
        deliveries = self._store.deliveries
        with self._store.write():
            order = self._store.orders.locked(order_id)
            before = deliveries.of(order_id, [kind])
            for task in before:
                if task["key"] == key:
                    if to not in (None, task["details"]["to"]):
                        raise Conflict("This key was used for another recipient.")
                    return key
            if not order.settled:
                raise Conflict(f"Order {order_id} is not paid; it has no messages.")
            if order.over:
                raise Conflict(f"The goods of order {order_id} were given back; it has no messages any more.")
            if before and before[-1]["state"] == WAITING:
                raise Conflict(f"{WORDS[kind]} of order {order_id} is still being sent.")
            known = recipient_of(order, kind)
            for task in before:  # one that is replayed goes where it went before
                deliveries.detail(task["key"], {"to": known, **(task["details"] or {})})
            if to is not None and to != known:
                who = order.customer
                order.customer = replace(who, email=to) if kind == EMAIL else replace(who, phone=to)
                self._store.orders.save(order)
            deliveries.add(key, kind, order_id, {"to": to or known})
        log.info("message owed again", order_id=order_id, kind=kind, key=key)
        return key


def recipient_of(order: Order, kind: str) -> str | None:
    """Who gets an order's messages of a kind."""
    return order.customer.email if kind == EMAIL else order.customer.phone


def is_needless(order: Order) -> bool:
    """Whether nobody has to see to an order's messages: its money went back, or its goods did."""
    return order.over or order.status == RETURNED


def settle_all(store: CartStore, order: Order) -> None:
    """An order is returned: its messages need no person any more. Part of the caller's transaction."""
    for task in store.deliveries.of(order.id, MESSAGES):
        settled(store, task)


def settled(store: CartStore, task: Task) -> None:
    """A message needs no person any more: it arrived, or a later one did. Part of the caller's transaction."""
    store.attention.close(task["subject"], attention.MESSAGE, task["key"])
    if task["state"] == FAILED:
        store.attention.dismiss(task["subject"], task["kind"], task["key"])

"""The cart service: the cart, the checkout, the payment."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from nameko.exceptions import RemoteError

from cart.bootstrap import Parts, PayerProvider, payment_provider
from cart.completer import SWEEP_INTERVAL_S, sweep, sweeper
from cart.deliveries.following import FOLLOW_INTERVAL_S
from cart.discounts.codes import READ_INTERVAL_S, READ_TIME_S
from cart.rules.order import NEXT, PUBLIC
from cart.store.orders import FILLED_AT_ONCE
from cart.store.unit_of_work import CartStore
from cart.watch import WATCH_INTERVAL_S
from chassis import deadline, webhook_service
from chassis.crash_points import crash_point
from chassis.injection import FromSettings, injected
from chassis.logs import bind, log
from chassis.rpc.entrypoint import rpc
from chassis.rpc.service_rpc import ServiceRpc
from chassis.settings import Settings
from chassis.store_provider import StoreProvider
from chassis.work.tasks import Task, page_size, replayed
from chassis.work.timer import timer
from contracts.errors import Conflict, InvalidRequest, NotFound, ShopError, Unavailable, wrong_field

# How long a payment's answer waits for its label, email and SMS (seconds); those not done by then are queued.
DELIVER_WITHIN_S = 10.0

# How often to look for orders without a key, for how long to fill them at most, and the pause after each transaction,
# in which others continue (seconds).
FILL_INTERVAL_S = 60.0
FILL_TIME_S = 30.0
FILL_PAUSE_S = 0.02

# More than the labels of any order cost (smallest units); a larger limit is a typing error.
MAX_LABEL_COST = 10_000_000

POINTS = ("buy:cart:begun", "buy:cart:done")

STATUSES = sorted(set(NEXT) - set(PUBLIC))


class CartService(webhook_service.WebhookVerbs):
    """Carts, orders and payments; orchestrates the other services."""

    name = "cart"

    store = injected(StoreProvider(CartStore))
    settings: Settings = injected(FromSettings(lambda settings: settings))
    provider = injected(FromSettings(payment_provider))
    payer = injected(PayerProvider())
    products = injected(ServiceRpc("products"))
    shipping = injected(ServiceRpc("shipping"))
    notifications = injected(ServiceRpc("notifications"))

    # The cart

    @rpc(expected_exceptions=ShopError, idempotent=True)
    def create(self) -> dict[str, str]:
        """Make a new cart: ``{"cart_id"}``, unguessable. Nothing is stored until an item is added."""
        return {"cart_id": f"cart_{secrets.token_urlsafe(24)}"}

    @rpc(expected_exceptions=ShopError)
    def items(self, cart_id: str) -> list[dict[str, Any]]:
        """The contents of a cart, as they were when each item last changed, or `summary` was last called.

        Returns ``[{"type": "sku", "parent", "quality", "quantity", "product", "name", "image", "attributes", "price",
        "currency", "amount", "available"}]``: the price of one piece and of all, in the smallest unit; whether that
        many can be bought. What is not known is None.
        """
        return self.wiring.showing.items(cart_id)

    @rpc(expected_exceptions=ShopError)
    def summary(self, cart_id: str) -> dict[str, Any]:
        """A cart with its current prices and stock.

        Returns ``{"items", "item_count", "currency", "subtotal", "discount", "total", "problems": [{"parent",
        "detail"}]}``: the number of pieces, and amounts in the smallest unit of what can be bought now. Raises
        Unavailable when products cannot answer.
        """
        return self.wiring.showing.summary(cart_id)

    @rpc(expected_exceptions=ShopError, idempotent=True)
    def buy(
        self,
        cart_id: str,
        product_id: str,
        quantity: int,
        key: str,
        sku: str | None = None,
        attributes: dict[str, str] | None = None,
    ) -> list[dict[str, Any]]:
        """Add `quantity` of a product to a cart, once per `key`; returns the whole cart.

        Args:
            sku, attributes: which of several SKUs: its id, or values of attributes that only it has.

        Raises NotFound, Conflict (several SKUs match, the stock is less than the sum, or the cart has another
        currency), InvalidRequest (no such SKU, or more than a cart can hold).
        """
        if self.store.carts.added(key):  # the product may no longer be on sale
            return self.store.carts.items(cart_id)
        offer = self.products.offer(product_id, sku, attributes)
        crash_point("buy:cart:begun")
        items: list[dict[str, Any]] = self.store.carts.add(cart_id, product_id, offer, quantity, key)
        crash_point("buy:cart:done")
        return items

    @rpc(expected_exceptions=ShopError)
    def set_quantity(
        self, cart_id: str, product_id: str, quantity: int, key: str | None = None, sku: str | None = None
    ) -> list[dict[str, Any]]:
        """Set a product's quantity, once per `key`; returns the whole cart. Raises NotFound when it is not in the cart,
        Conflict when it was deleted since or the cart has several of its SKUs and none is named, and as `buy`."""
        if key is not None and self.store.carts.added(key):
            return self.store.carts.items(cart_id)
        held = self.store.carts.skus_of(cart_id, product_id)
        if not held or (sku is not None and sku not in held):
            raise NotFound(f"Product {product_id}{'' if sku is None else f' ({sku})'} is not in the cart.")
        if sku is None and len(held) > 1:
            raise Conflict(f"The cart has {len(held)} SKUs of this product: choose one by `sku`.")
        try:
            offer = self.products.offer(product_id, sku or held[0])
        except NotFound as error:  # it is in the cart, and was deleted since then
            raise Conflict(error.detail) from error
        return self.store.carts.set(cart_id, product_id, offer, quantity, key)

    @rpc(expected_exceptions=ShopError)
    def remove(
        self, cart_id: str, product_id: str, key: str | None = None, sku: str | None = None
    ) -> list[dict[str, Any]]:
        """Remove a product, or one of its SKUs, from a cart, whether it was in it or not, once per `key`; returns the
        whole cart."""
        return self.store.carts.remove(cart_id, product_id, key, sku)

    @rpc(expected_exceptions=ShopError)
    def clear(self, cart_id: str, key: str | None = None) -> list[dict[str, Any]]:
        """Empty a cart, once per `key`; returns the whole cart."""
        return self.store.carts.clear(cart_id, key)

    @rpc(expected_exceptions=ShopError, idempotent=True)
    def apply_discount(self, cart_id: str, code: str, key: str | None = None) -> dict[str, Any]:
        """Give a cart a discount code, in place of the one that it has, once per `key`; returns its summary.

        Raises NotFound (no such code), Conflict (expired, used up, below the minimum, another currency).
        """
        before = self.wiring.showing.summary(cart_id)
        self.wiring.codes.apply(cart_id, code, before["subtotal"], before["currency"], key)
        return self.wiring.showing.summary(cart_id)

    @rpc(expected_exceptions=ShopError)
    def remove_discount(self, cart_id: str, key: str | None = None) -> dict[str, Any]:
        """Remove the discount code of a cart, if it has one, once per `key`; returns its summary."""
        self.store.discounts.remove(cart_id, key)
        return self.wiring.showing.summary(cart_id)

    # Orders

    @rpc(expected_exceptions=ShopError, idempotent=True, most=14)
    def checkout(self, cart_id: str, customer: dict[str, Any], key: str) -> dict[str, Any]:
        """Turn a cart into an order, once per `key`: fix the prices, quote the shipping methods, select the cheapest.
        With taxes, calculate them. Repeating the checkout returns the same order while it is unpaid. An order of
        digital products only has no shipping methods.

        Args:
            customer: ``{"email", "phone", "name", "address": {"line1", "line2", "city", "state", "postal_code",
                "country"}}``; ``keep_address``: true if the carrier's corrections of the address do not matter.

        Raises Conflict (empty cart, not enough stock, two currencies), Refused (no carrier or tax provider knows the
        address; with the fact ``suggestion`` if the carrier corrects it), Unavailable (nothing is stored; for example
        without the tax provider).
        """
        return self.wiring.shown(self.wiring.checkout.place(cart_id, customer, key))

    @rpc(expected_exceptions=ShopError, idempotent=True, most=14)
    def choose_shipping(self, cart_id: str, order_id: str, shipping_id: str, key: str | None = None) -> dict[str, Any]:
        """Select another of the order's shipping methods, once per `key`; returns the order with its shipping line, tax
        line and amount updated.

        Raises NotFound, InvalidRequest (a method that was not offered), Conflict (paid, or being paid), Unavailable
        (the tax provider; the order stays as it is).
        """
        return self.wiring.shown(self.wiring.checkout.choose_shipping(order_id, cart_id, shipping_id, key))

    @rpc(expected_exceptions=ShopError, sensitive_arguments="card", idempotent=True, most=14)
    def pay(self, cart_id: str, order_id: str, card: str, key: str, return_url: str | None = None) -> dict[str, Any]:
        """Take the money once; then send the label, the email and the SMS, at once or later.

        Args:
            card: a token of the payment provider, such as Stripe's ``tok_…``, ``pm_…`` or ``ctoken_…``; "" for an
                order of 0.
            key: the caller's; an order is paid only once, regardless of the key.
            return_url: where the shopper comes back from a bank's page; a page of the shop's.

        Returns the order as `order` does; while its payment is ``processing``, nothing is delivered yet. Raises as
        `OrderPayment.pay` does.
        """
        bind(order_id=order_id)
        self._limit(self.settings.pay_timeout)
        wiring = self.wiring
        order = wiring.payment.pay(order_id, cart_id, card, self.payer, return_url)
        if not order.settled:
            return wiring.shown_with_deliveries(order)
        # The money is taken: from here on failures are recorded and repaired later, never reported as a failed payment,
        # and the shopper does not wait long.
        left = deadline.remaining()
        deadline.begin(time.monotonic() + (DELIVER_WITHIN_S if left is None else min(left, DELIVER_WITHIN_S)))
        wiring.outbox.deliver_order(order_id)
        # What becomes of the messages is known later.
        return wiring.shown_with_deliveries(self.store.orders.get(order_id), news=False)

    @rpc(expected_exceptions=ShopError)
    def payment_options(self) -> dict[str, Any]:
        """What a storefront needs for the provider's own form.

        Returns ``{"publishable_key", "currency", "payment_method_types"}``: the key is None when none is set, and there
        is nothing but test cards. Raises Unavailable, OutcomeUnknown or ProviderFailure when the provider does not
        say which methods there are.
        """
        self._limit(self.settings.rpc_timeout)
        return self.wiring.payment_options()

    @rpc(expected_exceptions=ShopError, idempotent=True, most=6)
    def cancel(self, cart_id: str | None, order_id: str, key: str) -> dict[str, Any]:
        """Cancel an unpaid order; returns the order, also when it was canceled before.

        Args:
            cart_id: None for an operator.
            key: the caller's; an order is canceled only once, regardless of the key.

        Raises as `Cancellation.cancel` does: Conflict when it is paid.
        """
        bind(order_id=order_id)
        self._limit(self.settings.pay_timeout)
        return self.wiring.shown(self.wiring.cancellation.cancel(order_id, cart_id))

    @rpc(expected_exceptions=ShopError, idempotent=True, most=6)
    def refund(self, order_id: str, amount: int | None, key: str) -> dict[str, Any]:
        """Refund some or all of a paid order, once per `key`; returns the order.

        Args:
            amount: in the currency's smallest unit; None for all that is left.

        Raises as `Refunds.refund` does: InvalidRequest naming ``amount``, Conflict when it is not paid.
        """
        bind(order_id=order_id)
        self._limit(self.settings.pay_timeout)
        return self.wiring.shown(self.wiring.refunds.refund(order_id, amount, key))

    @rpc(expected_exceptions=ShopError, sensitive_arguments="token")
    def order(self, order_id: str, cart_id: str | None = None, token: str | None = None) -> dict[str, Any]:
        """One order, for that cart or for the bearer of its token; for an operator when both are None.

        Returns it with ``label_url``, ``labels`` and ``notifications``, which an order in a list does not have.
        Raises NotFound, also for a wrong token.
        """
        return self.wiring.shown_with_deliveries(self.store.orders.get(order_id, cart_id, token))

    @rpc(expected_exceptions=ShopError)
    def orders(
        self,
        status: str | None = None,
        email: str | None = None,
        limit: int = 100,
        starting_after: str | None = None,
    ) -> dict[str, Any]:
        """A page of all orders, newest first, as a list object.

        Raises InvalidRequest for an unknown status or order to start after.
        """
        if status is not None and status not in STATUSES:
            message = f"must be one of {', '.join(STATUSES)}"
            raise InvalidRequest("There is no such status.", {"errors": {"status": [message]}})
        wiring = self.wiring
        page, following, total = self.store.orders.page(status, email, limit, starting_after)
        return {
            "object": "list",
            "url": "/api/orders",
            "has_more": following is not None,
            "total_count": total,
            "next_cursor": following,
            "data": [wiring.shown(order) for order in page],
        }

    @rpc(expected_exceptions=ShopError, idempotent=True, most=6)
    def quote_order(self, order: dict[str, Any], key: str) -> dict[str, Any]:
        """Fill in real rates for an external order, once per `key`. The order is not stored.

        Args:
            order: in the shape of the order object; its items of type ``sku`` are products of this shop.

        Raises NotFound (an unknown SKU), Conflict (a SKU that is not on sale, two currencies, more than one payment can
        take), InvalidRequest (more of a SKU than a cart can hold), Refused (no carrier knows the address).
        """
        return self.wiring.checkout.quote(order, key)

    @rpc(expected_exceptions=ShopError, idempotent=True, most=6)
    def ship(self, order: dict[str, Any], key: str) -> dict[str, Any]:
        """As `quote_order`, for gateways of the previous release during a rolling upgrade."""
        return self.quote_order(order, key)

    @rpc(expected_exceptions=ShopError, sensitive_arguments="token")
    def check_shipment(
        self, cart_id: str | None, shipment_id: str, of_no_order: bool, token: str | None = None
    ) -> dict[str, bool]:
        """Raise NotFound unless a shipment is for an order of that cart, or for the order of that token.

        Args:
            cart_id: None for a caller who has only a token.
            of_no_order: whether everybody may use a shipment without an order (made by `quote_order`).
        """
        if not self.store.orders.may_see_shipment(shipment_id, cart_id, token, of_no_order):
            raise NotFound(f"There is no shipment {shipment_id}.")
        return {"allowed": True}

    # For operators

    @rpc(expected_exceptions=ShopError, idempotent=True, most=6)
    def create_discount(self, spec: dict[str, Any], key: str) -> dict[str, Any]:
        """Make a discount code, once per `key`; returns it. See `DiscountCodes.create`."""
        self._limit(self.settings.rpc_timeout)
        return self.wiring.codes.create(spec, key)

    @rpc(expected_exceptions=ShopError)
    def discounts(self, limit: int = 100, starting_after: str | None = None) -> dict[str, Any]:
        """A page of the discount codes, newest first, as a list object. Raises InvalidRequest."""
        return self.wiring.codes.page(limit, starting_after)

    @rpc(expected_exceptions=ShopError, most=6)
    def delete_discount(self, code: str) -> dict[str, Any]:
        """Withdraw a discount code, also for orders that are not paid yet. Raises as `DiscountCodes.withdraw` does."""
        self._limit(self.settings.rpc_timeout)
        return self.wiring.codes.withdraw(code)

    @rpc(expected_exceptions=ShopError)
    def steps(self, order_id: str) -> list[dict[str, Any]]:
        """Every step that was taken to pay an order, oldest first."""
        self.store.orders.get(order_id)
        return self.store.journal.of_order(order_id)

    @rpc(expected_exceptions=ShopError)
    def revoke_token(self, order_id: str) -> dict[str, str]:
        """Replace an order's token, so that links with the old one open nothing; returns ``{"status_url"}``, the new
        link. Raises NotFound."""
        order = self.store.orders.revoke_token(order_id)
        log.info("order token revoked", order_id=order.id)
        return {"status_url": self.wiring.shown(order)["status_url"]}

    @rpc(expected_exceptions=ShopError)
    def refunds(self, order_id: str) -> list[dict[str, Any]]:
        """The refunds of an order, oldest first: ``asked``, ``done`` (perhaps ``pending``) or ``failed``."""
        self.store.orders.get(order_id)
        return self.store.refunds.of_order(order_id)

    @rpc(expected_exceptions=ShopError)
    def look_at_refunds(self, order_id: str) -> dict[str, Any]:
        """Record the provider's state of an order's refunds, such as those made in its dashboard; returns the order."""
        self._limit(self.settings.rpc_timeout)
        payment = self.store.orders.get(order_id).payment
        if payment is not None:
            self.wiring.refunds.refresh_refunds(payment)
        return self.wiring.shown(self.store.orders.get(order_id))

    @rpc(expected_exceptions=ShopError)
    def disputes(self, order_id: str) -> list[dict[str, Any]]:
        """The disputes and fraud warnings of an order, oldest first. Raises NotFound."""
        self.store.orders.get(order_id)
        return [asdict(case) for case in self.store.disputes.of_order(order_id)]

    @rpc(expected_exceptions=ShopError)
    def look_at_disputes(self, order_id: str) -> dict[str, Any]:
        """Record the provider's state of an order's disputes and fraud warnings; returns the order."""
        self._limit(self.settings.rpc_timeout)
        payment = self.store.orders.get(order_id).payment
        if payment is not None:
            self.wiring.disputes.refresh(payment)
        return self.wiring.shown(self.store.orders.get(order_id))

    @rpc(expected_exceptions=ShopError, most=4)
    def dispute_evidence(self, order_id: str) -> list[dict[str, Any]]:
        """What the shop knows about a disputed order, in the payment provider's shape. Nothing is submitted.

        Returns one entry for each dispute and fraud warning, oldest first: the fields of `disputes`, and ``evidence``
        (the provider's text fields; None when it takes none), ``files`` (what an operator has to upload, by field) and
        ``submit`` (the provider's call that sends it).

        Raises NotFound when there is no such order or it is not disputed, and as shipping's `tracking` does.
        """
        self._limit(self.settings.rpc_timeout)
        return self.wiring.evidence.collect(order_id)

    @rpc(expected_exceptions=ShopError)
    def attention(self, limit: int = 100) -> list[dict[str, Any]]:
        """The orders that need a person, the longest open first.

        Args:
            limit: 1 to 1000.

        Returns ``[{"order_id", "kind", "about", "detail", "since"}]``: `kind` is ``dispute``, ``fraud_warning``,
        ``refund``, ``payment``, ``label`` or ``message``, and `about` the id of the dispute, warning, refund or
        payment; for a delivery that was given up they are the kind and the key of its task. `since` is in Unix seconds.
        """
        return self.store.attention.list(page_size(limit))

    @rpc(expected_exceptions=ShopError)
    def dismiss(self, order_id: str, kind: str, about: str) -> dict[str, bool]:
        """Remove an entry from the list of `attention`, because it was dealt with. A label that was held because of it
        is bought then. Raises NotFound."""
        if not self.wiring.disputes.dismiss(order_id, kind, about):
            raise NotFound(f"Order {order_id} needs nobody because of {kind} {about}.")
        log.info("attention dismissed", order_id=order_id, kind=kind, about=about)
        return {"dismissed": True}

    @rpc(expected_exceptions=ShopError, sensitive_arguments="to")
    def send_again(self, order_id: str, kind: str, to: str | None = None, key: str | None = None) -> dict[str, Any]:
        """Send a paid order's mail or text message again, once per `key`.

        Args:
            kind: ``email`` or ``sms``.
            to: another address or number, which becomes the order's own; None for the order's.
            key: the caller's; None: each call sends again.

        Returns ``{"key", "status code"}``: the key of the delivery, and its state, as the order shows it. An entry of
        `attention` about an earlier message is closed once this one has arrived. Raises as `Again.owe` does.
        """
        bind(order_id=order_id)
        self._limit(self.settings.rpc_timeout)
        wiring = self.wiring
        delivery = wiring.again.owe(order_id, kind, to, key)
        wiring.outbox.deliver(delivery)
        return {"key": delivery, **wiring.outbox.outcome(order_id)["notifications"][kind]}

    @rpc(expected_exceptions=ShopError)
    def replay(self, key: str) -> Task:
        """Retry a task that was given up; returns it as it then is. Raises NotFound when there is none."""
        wiring = self.wiring
        queue = replayed(wiring.queues, key)
        if queue is self.store.deliveries:
            wiring.outbox.deliver(key)
        return queue.rows(key=key)[0]

    @rpc(expected_exceptions=ShopError, most=2)
    def buy_label_at(self, order_id: str, max_amount: int, service: str | None = None) -> Task:
        """Buy the labels of an order although they cost more than was quoted; `n.rpc.shipping.requote` shows the
        prices.

        Args:
            order_id: an order whose label was given up.
            max_amount: what all its labels may cost together, in the smallest unit of the carrier's currency; what was
                bought already counts.
            service: the token of another service; None for the one that the shopper chose.

        Returns:
            The delivery as it then is: ``done``, or ``failed`` again with its ``error``.

        Raises:
            NotFound: no such order.
            InvalidRequest: an argument makes no sense.
            Conflict: no label of the order was given up, or it is returned.
        """
        self._limit(self.settings.rpc_timeout)
        if isinstance(max_amount, bool) or not isinstance(max_amount, int) or not 0 <= max_amount <= MAX_LABEL_COST:
            raise wrong_field("max_amount", f"must be a whole number from 0 to {MAX_LABEL_COST}")
        if service is not None and not isinstance(service, str):
            raise wrong_field("service", "must be of string type")
        return self.wiring.outbox.buy_label_at(order_id, max_amount, service)

    @rpc(expected_exceptions=ShopError)
    def replay_all(self, kind: str | None = None) -> dict[str, Any]:
        """Retry all tasks that were given up, or those of one kind (``label``, ``email``, ``sms``); without those that
        were dismissed, and messages that were sent again since.

        Returns ``{"replayed": [keys]}`` at once; the completer works on them, and what fails again is listed again.
        """
        return {"replayed": self.wiring.replay_all(kind)}

    @rpc(expected_exceptions=ShopError)
    def stripe_event(self, raw: str, signature: str) -> dict[str, Any]:
        """As `webhook`, for gateways of the previous release during a rolling upgrade."""
        return self.wiring.webhooks.accept("stripe", raw, {"Stripe-Signature": signature})

    @rpc(expected_exceptions=ShopError, most=2)
    def mend(self, fix: dict[str, Any]) -> str:
        """Execute the repair of a difference that `audit` found; see `cart.reconcile.mending.Mending.mend`."""
        return self.wiring.mending.mend(fix)

    @sweeper(interval=SWEEP_INTERVAL_S)
    def complete(self, stopping: Callable[[], bool]) -> None:
        """Resume abandoned payments, cancellations and refunds; do owed work and handle events that are due."""
        sweep(self.wiring.lanes(), stopping, reading=self.store.database.read)

    @timer(interval=FOLLOW_INTERVAL_S)
    def follow_parcels(self) -> None:
        """Mark the orders whose parcels the carrier has as fulfilled."""
        self._limit(self.settings.rpc_timeout)
        try:
            self.wiring.parcels.follow()
        except (ShopError, RemoteError) as error:
            log.warning("parcels not followed", error=f"{type(error).__name__}: {error}")

    @timer(interval=FOLLOW_INTERVAL_S)
    def follow_messages(self) -> None:
        """Record what became of the orders' mails and text messages."""
        self._limit(self.settings.rpc_timeout)
        try:
            self.wiring.message_news.follow()
        except (ShopError, RemoteError) as error:
            log.warning("messages not followed", error=f"{type(error).__name__}: {error}")

    @timer(interval=WATCH_INTERVAL_S)
    def follow_provider(self) -> None:
        """Record refunds and disputes that were made elsewhere and of which no event arrived."""
        for watch in self.wiring.watches:
            deadline.begin(time.monotonic() + self.settings.rpc_timeout)
            try:
                watch.follow()
            except (ShopError, RemoteError) as error:
                log.warning(f"{watch.name} not followed", error=f"{type(error).__name__}: {error}")

    @timer(interval=READ_INTERVAL_S, eager=True)
    def read_discounts(self) -> None:
        """Read the provider's discount codes, in case an event was lost."""
        self._limit(READ_TIME_S)
        try:
            self.wiring.codes.refresh(None)
        except (ShopError, RemoteError) as error:
            log.warning("discount codes not read", error=f"{type(error).__name__}: {error}")

    @timer(interval=FILL_INTERVAL_S, eager=True)
    def fill_email_keys(self) -> None:
        """Set the key of the orders that older code has written, or still writes."""
        until = time.monotonic() + FILL_TIME_S
        try:
            while self.store.orders.fill_email_keys() == FILLED_AT_ONCE and time.monotonic() < until:
                time.sleep(FILL_PAUSE_S)
        except Unavailable as error:
            log.warning("postponed", error=str(error))

    @property
    def wiring(self) -> Parts:
        """The use cases, wired for this worker."""
        return Parts(self.store, self.settings, self.provider, self.products, self.shipping, self.notifications)

    def _limit(self, seconds: float) -> None:
        if deadline.remaining() is None:  # an operator's shell sets none
            deadline.begin(time.monotonic() + seconds)

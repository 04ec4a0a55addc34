"""The wiring of the cart service: what a worker receives, and which part uses which."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property, partial
from typing import Any

from nameko.containers import WorkerContext
from nameko.extensions import DependencyProvider

from cart.checkout import Checkout
from cart.completer import Lane
from cart.deliveries.messages import Again, MessageNews
from cart.deliveries.outbox import CALL_OFF, TRY_MARGIN_S, Outbox
from cart.deliveries.parcels import Parcels
from cart.deliveries.taxes import TAX_KINDS
from cart.discounts.codes import DiscountCodes
from cart.disputes.evidence import DisputeEvidence
from cart.disputes.record import DisputeRecords
from cart.disputes.watch import DisputeWatch
from cart.payment.cancel import Cancellation
from cart.payment.pay import OrderPayment
from cart.payment.settlement import CLAIM_S, Settlement
from cart.provider_news import ProviderNews
from cart.reconcile.audit import OrderAudit
from cart.reconcile.books import AuditBooks
from cart.reconcile.mending import Mending
from cart.refunds.refund import Refunds
from cart.refunds.watch import RefundWatch
from cart.rules.attention import PAYMENT
from cart.rules.order import CANCELING, EMAIL, LABEL, RELEASE, SMS, VOID, Order
from cart.rules.payments import MethodTypes, PaymentProvider
from cart.rules.public_order import public
from cart.rules.tax import Taxes
from cart.showing import Showing
from cart.store.attention import NOTICE, replayable
from cart.store.unit_of_work import CartStore
from cart.watch import Watch
from chassis import registry
from chassis.deadline import DEADLINE_MARGIN_S
from chassis.settings import Settings
from chassis.work.inbox import Inbox
from chassis.work.tasks import Tasks
from chassis.work.webhooks import Webhooks
from contracts.errors import Unavailable

# The column's length.
LONGEST_PAYER = 255
# How many orders, and how many of each kind of delivery, one copy completes at the same time.
MAX_ORDERS_AT_ONCE = 8
MAX_DELIVERIES_AT_ONCE = 4
MAX_EVENTS_AT_ONCE = 4
# How long the completer may work on an order (seconds): briefly at first, so that a provider that has just hung is soon
# asked again; then longer each time, for a slow provider.
FIRST_ALLOWANCE_S = 4.0
LONGEST_ALLOWANCE_S = 25.0
# What the completer delivers side by side: a silent carrier delays no mail.
DELIVERY_LANES = {
    "labels": (LABEL, VOID),
    "email": (EMAIL,),
    "sms": (SMS,),
    "stock": (RELEASE,),
    "payments": (CALL_OFF,),
    "taxes": TAX_KINDS,
    "notices": (NOTICE,),
}


class PayerProvider(DependencyProvider):
    """Whose limit a declined card counts against: the gateway names it for the shared cart; else None."""

    def get_dependency(self, worker_ctx: WorkerContext) -> str | None:
        payer = worker_ctx.data.get("payer")
        return payer if isinstance(payer, str) and len(payer) <= LONGEST_PAYER else None


def payment_provider(settings: Settings) -> dict[str, PaymentProvider]:
    """The payment provider in use, by its name. It is made once per process, to share its connections."""
    return registry.bundles(settings.in_use["PAYMENT_PROVIDER"], settings)


class Parts:
    """The use cases, as one worker uses them.

    Args:
        provider: as `payment_provider` returns it.
        products, shipping, notifications: the services, as a worker calls them.
    """

    def __init__(
        self,
        store: CartStore,
        settings: Settings,
        provider: dict[str, PaymentProvider],
        products: Any,
        shipping: Any,
        notifications: Any,
    ) -> None:
        self.store = store
        self.database = store.database
        self._settings = settings
        [(self._provider_name, self._provider)] = provider.items()
        self._payments = self._provider.payments
        self._taxes: Taxes | None = getattr(self._provider, "taxes", None)
        self._disputes: Any = getattr(self._provider, "disputes", None)
        self._products = products
        self._shipping = shipping
        self._notifications = notifications

    @cached_property
    def checkout(self) -> Checkout:
        taxes, included = self._taxes, self._settings.tax_included
        return Checkout(self.store, self._products, self._shipping, self._payments.live, self.codes, taxes, included)

    @cached_property
    def codes(self) -> DiscountCodes:
        return DiscountCodes(self.store, getattr(self._provider, "discounts", None))

    @cached_property
    def showing(self) -> Showing:
        return Showing(self.store, self._products, self.codes)

    @cached_property
    def outbox(self) -> Outbox:
        claim_s = TRY_MARGIN_S + self._settings.rpc_timeout
        services = self._products, self._shipping, self._notifications
        operator = self._settings.operator_email
        return Outbox(
            self.store,
            *services,
            self._payments,
            claim_s=claim_s,
            show=self.shown,
            taxes=self._taxes,
            operator=operator,
            look=self.disputes.refresh,
            holds_label=self._settings.dispute_holds_label,
        )

    @cached_property
    def settlement(self) -> Settlement:
        claim_s, hold_s = max(CLAIM_S, self._settings.pay_timeout), self._settings.bank_hold_s
        return Settlement(self.store, self._payments, self.outbox, claim_s=claim_s, bank_hold_s=hold_s)

    @cached_property
    def payment(self) -> OrderPayment:
        return OrderPayment(self.settlement)

    @cached_property
    def cancellation(self) -> Cancellation:
        return Cancellation(self.settlement)

    @cached_property
    def refunds(self) -> Refunds:
        return Refunds(self.settlement)

    @cached_property
    def parcels(self) -> Parcels:
        return Parcels(self.store, self._shipping)

    @cached_property
    def message_news(self) -> MessageNews:
        return MessageNews(self.store, self._notifications)

    @cached_property
    def again(self) -> Again:
        return Again(self.store, self._settings.sms_countries)

    @cached_property
    def disputes(self) -> DisputeRecords:
        return DisputeRecords(self.store, self._disputes, holds_label=self._settings.dispute_holds_label)

    @cached_property
    def evidence(self) -> DisputeEvidence:
        return DisputeEvidence(self.store, self._disputes, self._shipping)

    @cached_property
    def watches(self) -> list[Watch]:
        """What reads the provider's lists, in case an event was lost."""
        refunds = RefundWatch(self.refunds, self._provider.lists)
        return [refunds] if self._disputes is None else [refunds, DisputeWatch(self.disputes, self._disputes)]

    @cached_property
    def inbox(self) -> Inbox:
        return Inbox(self.store.database)

    @cached_property
    def webhooks(self) -> Webhooks:
        news = ProviderNews(self.payment, self.refunds, self.disputes, self._products, self.codes)
        return Webhooks(self.inbox, {self._provider_name: self._provider.webhooks(news)})

    @cached_property
    def audit(self) -> OrderAudit:
        title = registry.title_of(*self._settings.in_use["PAYMENT_PROVIDER"])
        books, lists = AuditBooks(self.store), self._provider.lists
        return OrderAudit(books, lists, self._products, self._shipping, title, self._taxes, self._disputes)

    @cached_property
    def mending(self) -> Mending:
        books, refunded, disputed = AuditBooks(self.store), self.refunds.refresh_refunds, self.disputes.refresh
        return Mending(self.store, books, self.payment, self.outbox, self.resume, refunded, disputed)

    @property
    def queues(self) -> list[Tasks]:
        """The work owed for orders, and the payment provider's events."""
        return [self.store.deliveries, self.inbox.tasks]

    def replay_all(self, kind: str | None) -> list[str]:
        """Make tasks wait again as `CartService.replay_all` describes; returns their keys."""
        deliveries = self.store.deliveries.again(kind=kind, only=[replayable()])
        return [*deliveries, *self.inbox.tasks.again(kind=kind)]

    def shown(self, order: Order) -> dict[str, Any]:
        """The order for those who may see it; `status_url` is None only while a missing token cannot be stored."""
        with suppress(Unavailable):
            self.store.orders.issue_tokens([order])
        return public(order, self._settings.public_url)

    def shown_with_deliveries(self, order: Order, news: bool = True) -> dict[str, Any]:
        """As `shown`, with the state of its label and messages, and with money that was taken for an open order.

        `news`: see `Outbox.outcome`.
        """
        found = {**self.shown(order), **self.outbox.outcome(order.id, news)}
        open_again = order.attempt > 0 and order.payment_status in ("unpaid", "failed")
        if open_again and self.store.attention.is_open(order.id, [PAYMENT]):
            found["payment"] = {"status": "taken", "failure": None}
        return found

    def payment_options(self) -> dict[str, Any]:
        """What a storefront needs for the provider's own form, as `CartService.payment_options` returns it."""
        kinds: MethodTypes | None = getattr(self._provider, "method_types", None)
        key = self._settings.stripe_publishable_key if "stripe" in self._settings.in_use["PAYMENT_PROVIDER"] else ""
        return {
            "publishable_key": key or None,
            "currency": self._settings.currency,
            "payment_method_types": [] if kinds is None else kinds.types(),
        }

    def forget(self) -> None:
        """Delete records that exist only to detect repetitions, once they have expired."""
        self.store.carts.forget_additions()
        self.store.attempts.forget()
        self.inbox.forget()

    def resume(self, order_id: str) -> None:
        """Finish the abandoned payment or cancellation of an order."""
        if self.store.orders.get(order_id).status == CANCELING:
            self.cancellation.resume(order_id)
        else:
            self.payment.resume(order_id)

    def lanes(self) -> list[Lane]:
        """The work of the completer."""
        store, outbox, handle = self.store, self.outbox, partial(self.inbox.handle, handler=self.webhooks.handle)
        orders = Lane(
            "orders",
            store.orders.stalled,
            self.resume,
            MAX_ORDERS_AT_ONCE,
            lambda order_id: _allowance(store.orders.get(order_id).looks),
            store.orders.put_off,
        )
        refunds = Lane(
            "refunds",
            store.refunds.stalled,
            self.refunds.resume,
            MAX_ORDERS_AT_ONCE,
            lambda refund_id: _allowance(store.refunds.get(refund_id)["looks"]),
        )

        def allowed(_key: str) -> float:
            return self._settings.rpc_timeout + DEADLINE_MARGIN_S

        due = store.deliveries.due
        any_due = partial(due, 1)
        deliveries = [
            Lane(name, partial(due, kinds=kinds), outbox.deliver, MAX_DELIVERIES_AT_ONCE, allowed, any_due=any_due)
            for name, kinds in DELIVERY_LANES.items()
        ]
        events = Lane("events", self.inbox.tasks.due, handle, MAX_EVENTS_AT_ONCE, allowed)
        return [orders, refunds, *deliveries, events]


def _allowance(looks: int) -> float:
    return min(LONGEST_ALLOWANCE_S, FIRST_ALLOWANCE_S * (1 + looks))

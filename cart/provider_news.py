"""What the shop does when the payment provider reports a change: it asks for the current state."""

from __future__ import annotations

from typing import Any

from cart.discounts.codes import DiscountCodes
from cart.disputes.record import DisputeRecords
from cart.payment.pay import OrderPayment
from cart.refunds.refund import Refunds
from chassis.logs import log


class ProviderNews:
    """Records news, as `cart.rules.payments.PaymentNews`.

    Args:
        payment, refunds, disputes: update an order to the provider's state.
        products: the products service: ``refresh(product_id)``.
        codes: reads discount codes again.
    """

    def __init__(
        self, payment: OrderPayment, refunds: Refunds, disputes: DisputeRecords, products: Any, codes: DiscountCodes
    ) -> None:
        self._payment = payment
        self._refunds = refunds
        self._disputes = disputes
        self._products = products
        self._codes = codes

    def payment_changed(self, payment_id: str, order_id: str | None) -> None:
        """See the port."""
        if self._payment.look_now(payment_id):
            return
        if not order_id:
            log.info("not a payment of the shop's", payment=payment_id)
        else:
            self._payment.report_stray(payment_id, order_id)

    def refunds_changed(self, payment_id: str) -> None:
        """See the port."""
        if not self._refunds.refresh_refunds(payment_id):
            log.info("not a refund of the shop's", payment=payment_id)

    def disputes_changed(self, payment_id: str) -> None:
        """See the port."""
        if not self._disputes.refresh(payment_id):
            log.info("not a dispute of the shop's", payment=payment_id)

    def product_changed(self, product_id: str) -> None:
        """See the port."""
        self._products.refresh(product_id)

    def discount_changed(self, discount_id: str) -> None:
        """See the port."""
        self._codes.refresh(discount_id)

    def discount_terms_changed(self, terms_id: str) -> None:
        """See the port."""
        self._codes.refresh_terms(terms_id)

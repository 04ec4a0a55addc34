"""Stripe as a bundle: its client, its lists, its disputes, its discount codes, its taxes, its methods, its webhooks."""

from __future__ import annotations

from cart.rules.payments import PaymentNews
from cart.stripe.discounts import StripeDiscounts
from cart.stripe.disputes import StripeDisputes
from cart.stripe.lists import StripeLists
from cart.stripe.method_types import StripeMethodTypes
from cart.stripe.payments import StripePayments
from cart.stripe.tax import StripeTaxes
from cart.stripe.webhooks import StripeWebhooks
from chassis.settings import Settings


class Stripe:
    """Stripe as an implementation of the port `cart.rules.payments.PaymentProvider`."""

    def __init__(self, settings: Settings) -> None:
        self.payments = StripePayments(settings)
        self.lists = StripeLists(self.payments)
        self.disputes = StripeDisputes(self.payments)
        self.discounts = StripeDiscounts(self.payments)
        self.taxes = StripeTaxes(settings)
        self.method_types = StripeMethodTypes(self.payments)
        self._secret = settings.stripe_webhook_secret

    def webhooks(self, news: PaymentNews) -> StripeWebhooks:
        """See the port."""
        return StripeWebhooks(self._secret, news)

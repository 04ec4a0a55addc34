"""What a worker of the cart service receives in addition to its store."""

from __future__ import annotations

from nameko.containers import WorkerContext
from nameko.extensions import DependencyProvider

from cart.stripe.payments import StripePayments
from chassis.settings import Settings

# The column's length.
LONGEST_PAYER = 255


class SettingsProvider(DependencyProvider):
    """The settings of the process."""

    def setup(self) -> None:
        self.settings = Settings.from_config(self.container.config)

    def get_dependency(self, worker_ctx: WorkerContext) -> Settings:
        return self.settings


class PayerProvider(DependencyProvider):
    """Whose limit a declined card counts against: the gateway names it for the shared cart; else None."""

    def get_dependency(self, worker_ctx: WorkerContext) -> str | None:
        payer = worker_ctx.data.get("payer")
        return payer if isinstance(payer, str) and len(payer) <= LONGEST_PAYER else None


class PaymentsProvider(DependencyProvider):
    """The payments port, made once per process: its connections are shared, and it has no other state."""

    def setup(self) -> None:
        self.payments = StripePayments(Settings.from_config(self.container.config))

    def get_dependency(self, worker_ctx: WorkerContext) -> StripePayments:
        return self.payments

"""The wiring of the shipping service."""

from __future__ import annotations

from chassis import registry
from chassis.db.engine import Database
from chassis.deadline import bounded
from chassis.settings import Settings
from chassis.work.ask_once import AskOnce
from chassis.work.tasks import Tasks
from chassis.work.webhooks import Webhooks
from shipping.composite import CompositeCarriers
from shipping.labels.buy import LabelDesk
from shipping.labels.costs import LabelCosts
from shipping.labels.refund import VoidDesk
from shipping.quotes import QuoteDesk
from shipping.reconcile.audit import LabelAudit
from shipping.rules.carriers import Carrier, Carriers
from shipping.store.shipments import ShippingStore
from shipping.tracker import Tracker


class Shipping:
    """What the workers of the shipping service share; it has no state of its own.

    Args:
        database: the service's.
        settings: of the process.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        bundles: dict[str, Carrier] = registry.bundles(settings.in_use["CARRIERS"], settings)
        [only, *others] = bundles.values()
        composite = CompositeCarriers(bundles) if others else None
        self.database = database
        self.settings = settings
        self.store = ShippingStore(database)
        self.carriers: Carriers = composite or only.carriers
        self.quotes = QuoteDesk(self.carriers, settings.ship_from)
        self.labels = LabelDesk(self.store, self.carriers, AskOnce(bounded))
        self.refunds = VoidDesk(self.labels, self.store, self.carriers)
        self.tracker = Tracker(self.store, self.carriers, self.refunds)
        self.audit = LabelAudit(self.store, composite or only.lists)
        self.costs = LabelCosts(self.store, composite or only.lists)
        sources = {
            name: each.webhooks(composite.news(name, self.tracker) if composite else self.tracker)
            for name, each in bundles.items()
        }
        self.webhooks = Webhooks(self.store.inbox, sources)

    @property
    def queues(self) -> list[Tasks]:
        """The providers' events."""
        return [self.webhooks.inbox.tasks]

    def forget(self) -> None:
        """Delete records that exist only to detect repetitions or to answer soon, once they have expired."""
        self.store.inbox.forget()
        self.store.lookups.forget()

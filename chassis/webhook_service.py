"""The verbs and timers of every service that receives webhooks and is compared with its providers.

Import the module, not the class: Nameko starts every class with verbs that it finds in a service's module.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

from chassis.db.engine import Database
from chassis.rpc.entrypoint import rpc
from chassis.work.sweep import SWEEP_INTERVAL_S, SWEEP_TIME_S, swept
from chassis.work.tasks import FAILED, Task, Tasks, listed, replayed
from chassis.work.timer import timer
from chassis.work.webhooks import Webhooks
from contracts.errors import ShopError

Ids = list[str]


class Wiring(Protocol):
    """What the service's `bootstrap` makes once per process. `audit` compares the service's records with the
    provider's, page by page, and repairs what is safe to repair."""

    @property
    def database(self) -> Database: ...

    @property
    def webhooks(self) -> Webhooks: ...

    @property
    def audit(self) -> Any: ...

    @property
    def queues(self) -> list[Tasks]:
        """The service's durable work, the providers' events last."""
        ...

    def forget(self) -> None:
        """Delete records that exist only to detect repetitions, once they have expired."""
        ...


class WebhookVerbs:
    """The verbs, for a service that handles its events in its own way."""

    @property
    def wiring(self) -> Wiring:
        """The service's."""
        raise NotImplementedError

    # Not quick: a batch of two thousand events lets other requests run between its transactions.
    @rpc(expected_exceptions=ShopError, most=8)
    def webhook(self, provider: str, raw: str, headers: dict[str, str]) -> dict[str, Any]:
        """Accept a webhook from a provider; see `chassis.work.webhooks.Webhooks.accept`."""
        return self.wiring.webhooks.accept(provider, raw, headers)

    @rpc(expected_exceptions=ShopError)
    def tasks(self, state: str = FAILED, limit: int = 100) -> list[Task]:
        """The durable work in a state: ``failed`` (given up), ``waiting`` or ``done``; of each queue the oldest first.

        Raises InvalidRequest for any other state, or a limit (of each queue) outside of 1 to 1000.
        """
        return listed(self.wiring.queues, state, limit)

    @rpc(expected_exceptions=ShopError)
    def replay(self, key: str) -> Task:
        """Retry work that was given up; returns it as it then is. Raises NotFound when there is none."""
        return replayed(self.wiring.queues, key).rows(key=key)[0]

    @rpc(expected_exceptions=ShopError, most=2)
    def audit(
        self, part: str, cursor: str | None = None, since: float = 0.0, until: float = 9e12, ids: Ids | None = None
    ) -> dict[str, Any]:
        """Compare one page of our records with the provider's; see the `page` of the service's audit."""
        page: dict[str, Any] = self.wiring.audit.page(part, cursor, since, until, ids)
        return page

    @rpc(expected_exceptions=ShopError, most=2)
    def mend(self, fix: dict[str, Any]) -> str:
        """Repair a difference that `audit` found, as it proposed; see the `mend` of the service's audit."""
        return str(self.wiring.audit.mend(fix))

    @rpc(expected_exceptions=ShopError)
    def health(self) -> dict[str, str]:
        """Whether the service can work: ``{"status", "database"}``. Raises Unavailable when not."""
        self.wiring.database.ready()
        return {"status": "ok", "database": "ok"}

    @timer(interval=3600)
    def forget_events(self) -> None:
        """Delete records that exist only to detect repetitions, once they have expired."""
        swept(self.wiring.forget)


class WebhookService(WebhookVerbs):
    """The verbs and timers. A service class inherits from this, and has its wiring as the dependency `shop`."""

    shop: Wiring

    @property
    def wiring(self) -> Wiring:
        return self.shop

    @timer(interval=SWEEP_INTERVAL_S)
    def handle_events(self) -> None:
        """Handle the waiting events."""
        swept(lambda: self.wiring.webhooks.sweep(time.monotonic() + SWEEP_TIME_S))

"""Shippo as a bundle: its client, its lists, its webhooks."""

from __future__ import annotations

from chassis.settings import Settings
from shipping.rules.carriers import ParcelNews
from shipping.shippo.carriers import ShippoCarriers
from shipping.shippo.webhooks import ShippoWebhooks


class Shippo:
    """Shippo as an implementation of the port `shipping.rules.carriers.Carrier`."""

    def __init__(self, settings: Settings) -> None:
        shippo, times = settings.shippo, (settings.provider_connect_timeout, settings.provider_timeout)
        self.carriers = ShippoCarriers(shippo.key, shippo.base, settings.ship_from, *times)
        self.lists = self.carriers.lists
        self._secret = settings.shippo_webhook_secret

    def webhooks(self, parcels: ParcelNews) -> ShippoWebhooks:
        """See the port."""
        return ShippoWebhooks(self._secret, parcels)

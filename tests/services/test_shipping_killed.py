"""The shipping service killed in the middle of a purchase, over either database: one label in the end."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from contracts.errors import ShopError
from tests.gateway.rabbit_node import RabbitNode
from tests.running_sandbox import RunningSandbox, _module_sandbox, providers
from tests.services.running_service import RunningService
from tests.services.test_shipping_service import BONE, CHLOE, labels, until

__all__ = ["_module_sandbox", "providers"]


def test_a_buyer_killed_in_the_middle_costs_one_label_over_either_database(
    rabbit: RabbitNode, providers: RunningSandbox, database_url: str, tmp_path: Path
) -> None:
    order_id = f"or_{secrets.token_hex(8)}"
    settings = {
        "AMQP_URI": rabbit.uri,
        "SANDBOX_URL": providers.url,
        "DATABASE_URL": database_url,
        "PROVIDER_TIMEOUT": "1",
        "PROVIDER_CONNECT_TIMEOUT": "1",
    }
    running = RunningService("shipping", tmp_path, settings)
    try:
        offer = running.call("create", f"key:{order_id}", order_id, CHLOE, [BONE])
        # It buys, and does not learn of it: the answer would come after the process died.
        providers.fault("shippo", latency_ms=1500, method="POST", path="/transactions")
        caller = threading.Thread(target=attempt, args=(running, offer))
        caller.start()
        patiently(lambda: providers.hits("shippo") > 0)
        running.kill()
        caller.join(timeout=20)
        patiently(lambda: bool(labels(providers, order_id)))  # the carrier finishes what nobody waits for any more
        providers.heal()
        running.start()
        bought = until(lambda: running.call("buy_label", offer["object_id"], offer["selected"], "key", timeout=4.0))
        (label,) = labels(providers, order_id)
        assert label["label_url"] == bought["label_url"]
    finally:
        running.stop()


def patiently(happened: Callable[[], bool]) -> None:
    """Wait until something has happened."""
    end = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)


def attempt(running: RunningService, offer: dict[str, Any]) -> None:
    """Buy, whatever comes of it."""
    with suppress(ShopError):
        running.call("buy_label", offer["object_id"], offer["selected"], "key", timeout=3.0)

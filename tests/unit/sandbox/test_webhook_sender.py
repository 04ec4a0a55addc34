"""The webhook sender of the sandbox, without a running sandbox."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sandbox.webhooks.sender import Sender


class NothingDue:
    """The webhooks and the clock of a sandbox whose only webhook is due much later."""

    noticed: Any = None

    def due(self, most: int, under_way: set[int]) -> list[Any]:
        return []

    def next_due(self) -> float:
        return 1000.0

    def now(self) -> float:
        return 0.0


@pytest.mark.parametrize("turns", range(5))
def test_sender_stops_although_it_was_just_woken(turns: int) -> None:
    async def stop_after_wake_up() -> bool:
        webhooks: Any = NothingDue()
        settings: Any = None
        sending = asyncio.create_task(Sender(webhooks, webhooks, settings).run())
        await asyncio.sleep(0.01)
        webhooks.noticed()
        for _ in range(turns):  # the wake-up may still be pending when the sender stops
            await asyncio.sleep(0)
        sending.cancel()
        done, _ = await asyncio.wait({sending}, timeout=5)
        return bool(done)

    assert asyncio.run(stop_after_wake_up())

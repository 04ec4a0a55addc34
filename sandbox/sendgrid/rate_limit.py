"""The headers that tell a client how many calls are left: "Rate Limits"
(https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits).

The sandbox counts, but it refuses nothing: its fault switch gives 429.
"""

from __future__ import annotations

import time

from sandbox.provider import Answer

MAX_CALLS_PER_PERIOD = 600
PERIOD_S = 60


class RateLimit:
    """The calls of the current period."""

    def __init__(self) -> None:
        self._reset = 0
        self._calls = 0

    def counted(self, answer: Answer) -> Answer:
        """Count a call, and return its answer with the headers; nothing is left after a 429."""
        now = int(time.time())
        if now >= self._reset:
            self._reset, self._calls = now - now % PERIOD_S + PERIOD_S, 0
        self._calls += 1
        left = 0 if answer.status == 429 else max(0, MAX_CALLS_PER_PERIOD - self._calls)
        values = {"Limit": MAX_CALLS_PER_PERIOD, "Remaining": left, "Reset": self._reset}
        return answer._replace(
            headers={**answer.headers, **{f"X-RateLimit-{name}": str(value) for name, value in values.items()}}
        )

"""The HTTP session that every provider's SDK is given: no call without an end, and the environment respected.

Stripe's SDK keeps one session per greenlet unless it is handed one, Shippo's sets no timeout and ignores proxies and
certificate bundles of the environment, Twilio's sets no timeout: this one session cures all of it.
"""

from __future__ import annotations

from typing import Any

import eventlet
import requests
from requests.adapters import HTTPAdapter

from chassis.deadline import bounded
from chassis.provider_guard import FAIR, Guard, NotSent

# As many connections are kept to a provider as one service process has workers, with room.
POOL = 50


class DeadlinePassed(NotSent):
    """There was no time left to ask: the request was never sent."""


class ProviderSession(requests.Session):
    """A session with default timeouts, never longer than what is left for the call being handled.

    Args:
        connect: seconds to connect.
        read: seconds between two bytes of the answer.
        provider: its name.

    Attributes:
        guard: what keeps a slow provider from taking every worker, and a failing one from being hammered.
    """

    def __init__(self, connect: float, read: float, provider: str = "The provider") -> None:
        super().__init__()
        self.guard = Guard(provider)
        self._connect = connect
        self._read = read
        for scheme in ("http://", "https://"):
            self.mount(scheme, HTTPAdapter(pool_maxsize=POOL))

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send as `requests.Session.send` does.

        Raises NotSent without sending: DeadlinePassed when no time is left, or what `Guard.calling` raises.
        """
        # What the SDK passes in wins, as in requests' own request(); shippo passes nothing.
        environment = self.merge_environment_settings(request.url, {}, None, None, None)
        for name, value in environment.items():
            options.setdefault(name, value)
        with self.guard.calling() as call:
            left = bounded(self._read)
            if left <= 0:
                call.hurried = True
                raise DeadlinePassed("No time is left to ask the provider.", request=request)
            call.hurried = left < min(self._read, FAIR)
            options["timeout"] = (min(self._connect, left), left)
            # That bounds the wait for each byte. A provider that drips them is left by the clock of the service's own
            # loop.
            late = requests.exceptions.ReadTimeout("The provider's answer took too long.", request=request)
            with eventlet.Timeout(left + self._connect, late):
                answer = super().send(request, **options)
            call.status = answer.status_code
            return answer

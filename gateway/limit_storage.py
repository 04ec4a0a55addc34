"""Where the counters of `gateway.limits` are stored: in the process, or in Redis while it answers.

The strategies of the library `limits` work over both. Its own memory storage is not used: it is unbounded, scans all
keys in a new thread at about every hit, and follows the wall clock.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from limits.storage import RedisStorage
from limits.storage.base import SlidingWindowCounterSupport, Storage

from chassis.logs import log

# Counters of one limit in one process; beyond that the least recently used one is dropped. About 3 MB per limit.
MAX_COUNTERS = 10_000
# Redis answers within a millisecond; after this timeout it counts as down (seconds).
REDIS_TIMEOUT_S = 0.1
REDIS_RETRY_S = 2.0


@dataclass(frozen=True)
class Limit:
    """One limit.

    Attributes:
        name: as `RateLimit-Policy` shows it.
        quota: requests in one window.
        window: seconds.
        per: what each counter belongs to.
        of: which requests it counts.
    """

    name: str
    quota: int
    window: int
    per: str
    of: str


class BoundedMemory(Storage, SlidingWindowCounterSupport):
    """Sliding-window counters in this process, at most `max_counters` of them, by the monotonic clock."""

    STORAGE_SCHEME = ["shop+memory"]

    def __init__(self, max_counters: int = MAX_COUNTERS, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._max_counters = max_counters
        self._clock = clock
        self._lock = threading.Lock()
        # key -> number of the window, hits in the one before, hits in it; most recently used last.
        self._counters: OrderedDict[str, tuple[int, int, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counters)

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        with self._lock:
            window, part = divmod(self._clock() / expiry, 1)
            before, now = self._hits(key, int(window))
            free = int(before * (1 - part) + now) + amount <= limit
            self._counters[key] = (int(window), before, now + amount * free)
            self._counters.move_to_end(key)
            if len(self._counters) > self._max_counters:
                self._counters.popitem(last=False)
            return free

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        with self._lock:
            window, part = divmod(self._clock() / expiry, 1)
            before, now = self._hits(key, int(window))
        rest = (1 - part) * expiry
        return before, rest if before else 0.0, now, rest + expiry

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        self.clear(key)

    def _hits(self, key: str, window: int) -> tuple[int, int]:
        counted, before, now = self._counters.get(key, (window, 0, 0))
        if counted == window:
            return before, now
        return (now, 0) if counted == window - 1 else (0, 0)

    # The rest of a storage's interface.

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        raise NotImplementedError

    def get(self, key: str) -> int:
        raise NotImplementedError

    def get_expiry(self, key: str) -> float:
        raise NotImplementedError

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        with self._lock:
            count = len(self._counters)
            self._counters.clear()
            return count

    def clear(self, key: str) -> None:
        with self._lock:
            self._counters.pop(key, None)


class SharedStorage:
    """Redis, and whether it answers. While it does not, a thread retries it, and no request waits for it.

    Args:
        url: ``redis://…``
    """

    def __init__(self, url: str) -> None:
        # Most gateways have no Redis; importing it takes a tenth of a gateway's start.
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        once: Any = Retry(NoBackoff(), 0)
        self.storage = RedisStorage(
            url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S, retry=once
        )
        self._lock = threading.Lock()
        self._away = False

    @property
    def answers(self) -> bool:
        return not self._away

    def lost(self, error: Exception) -> None:
        """It did not answer: do not use it until it answers again."""
        with self._lock:
            if self._away:
                return
            self._away = True
        log.warning("redis does not answer: limits are counted in this process", error=type(error).__name__)
        threading.Thread(target=self._until_back, name="redis-retry", daemon=True).start()

    def _until_back(self) -> None:
        while not self._check():
            time.sleep(REDIS_RETRY_S)
        self._away = False
        log.info("redis answers again")

    def _check(self) -> bool:
        try:
            return bool(self.storage.check())
        except Exception:
            return False

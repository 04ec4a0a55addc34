"""Access to the admin routes: only with a key; open to all while no key is set and every provider is the sandbox."""

from __future__ import annotations

import hashlib
import hmac
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from falcon import Request

from chassis.settings import Settings
from contracts.errors import TooManyRequests
from gateway import addresses, visit
from gateway.errors import NoKey, WrongKey
from gateway.visit import Visit

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="shop"'}
# A longer key is rejected without a comparison.
LONGEST_KEY = 512
# This many wrong keys from one address are only refused; each further one doubles the delay, up to the longest.
FREE_WRONG_KEYS = 5
LONGEST_DELAY_S = 300
# Wrong keys are forgotten after an hour without another; at most this many addresses are kept.
WRONG_KEYS_KEPT_S = 3600.0
MAX_ADDRESSES = 10_000


class WrongKeys:
    """Delays clients that guess admin keys: per address, in this process, by the monotonic clock.

    With N workers an address has up to N times as many guesses, each of them delayed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # address -> wrong keys, time of the last one, end of the delay; most recent last.
        self._wrong: OrderedDict[str, tuple[int, float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._wrong)

    def delay(self, address: str) -> float:
        """Seconds until a key from this address is checked again; 0: now."""
        with self._lock:
            _, _, until = self._wrong.get(address, (0, 0.0, 0.0))
            return max(0.0, until - self._clock())

    def wrong(self, address: str) -> None:
        """Record a wrong key."""
        with self._lock:
            now = self._clock()
            count, last, _ = self._wrong.get(address, (0, now, 0.0))
            count = 1 if now - last > WRONG_KEYS_KEPT_S else count + 1
            over = count - FREE_WRONG_KEYS
            delay = 0.0 if over < 0 else min(LONGEST_DELAY_S, 2.0 ** min(over, 30))
            self._wrong[address] = (count, now, now + delay)
            self._wrong.move_to_end(address)
            if len(self._wrong) > MAX_ADDRESSES:
                self._wrong.popitem(last=False)

    def right(self, address: str) -> None:
        """Record a right key: the address starts over."""
        with self._lock:
            self._wrong.pop(address, None)


def identify(current: Visit, authorization: str | None) -> None:
    """Find out whether a request carries an admin key; if so, `current.admin` is its SHA-256.

    Raises TooManyRequests for any key while its address is delayed for wrong ones. Called once per request, so that a
    wrong key counts once on every route.
    """
    given = _bearer(authorization)
    if given is None or not current.gateway.settings.admin_api_keys:
        return
    address, wrong_keys = addresses.limit_key(current.client_address), current.gateway.wrong_keys
    delay = wrong_keys.delay(address)
    if delay:
        facts = {"limit": "wrong-admin-keys", "quota": FREE_WRONG_KEYS, "window": LONGEST_DELAY_S}
        detail = "Too many wrong admin keys came from this address. Try again later."
        raise TooManyRequests(detail, {"retry_after": math.ceil(delay), **facts})
    if _accepted(current.gateway.settings, given):
        wrong_keys.right(address)
        current.admin = hashlib.sha256(given.encode()).hexdigest()
    else:
        wrong_keys.wrong(address)


def admits(current: Visit, authorization: str | None) -> bool:
    """Whether a request carries an admin key that may be checked now. Counts nothing: `identify` does, afterwards."""
    given = _bearer(authorization)
    delayed = current.gateway.wrong_keys.delay(addresses.limit_key(current.client_address))
    return given is not None and not delayed and _accepted(current.gateway.settings, given)


def admin_only(request: Request, **_hug: Any) -> None:
    """A Hug requirement. Raises NoKey without a key, WrongKey with a wrong one."""
    current = visit.of(request)
    if not current.gateway.settings.admin_api_keys or current.admin is not None:
        return
    if _bearer(request.auth) is None:
        raise NoKey("Send the key as `Authorization: Bearer …`.", CHALLENGE)
    raise WrongKey("This key is not one of the shop's.")


def is_admin(request: Request) -> bool:
    """Whether the request carries an admin key; False for everybody while no key is set."""
    return visit.of(request).admin is not None


def _bearer(authorization: str | None) -> str | None:
    scheme, _, key = (authorization or "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def _accepted(settings: Settings, given: str) -> bool:
    if len(given) > LONGEST_KEY:
        return False
    # Digests are compared, because a key may be configured as its digest; all of them, each in constant time, so that
    # the answer's delay reveals nothing about any key.
    sent = hashlib.sha256(given.encode("latin-1", "replace")).hexdigest()  # WSGI decodes a header's bytes as Latin-1
    return any([hmac.compare_digest(sent, _digest(key)) for key in settings.admin_api_keys])  # noqa: C419


def _digest(key: str) -> str:
    hashed = key.removeprefix("sha256:")
    return hashlib.sha256(key.encode()).hexdigest() if hashed == key else hashed.lower()

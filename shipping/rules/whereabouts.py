"""Where a parcel is: interprets the carrier's reports, which arrive in any order, and decides what is news."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

UNKNOWN, PRE_TRANSIT, TRANSIT, DELIVERED = "UNKNOWN", "PRE_TRANSIT", "TRANSIT", "DELIVERED"
RETURNED, FAILURE = "RETURNED", "FAILURE"

# The normal sequence of a parcel. A step forward in it is always accepted.
WAY = (UNKNOWN, PRE_TRANSIT, TRANSIT, DELIVERED)
# Other accepted steps, if the carrier's time is later: a parcel that could not be delivered is retried or returned; the
# same applies to one that was not accepted.
DETOURS = {
    TRANSIT: (FAILURE, RETURNED),
    FAILURE: (TRANSIT, DELIVERED, RETURNED),
    DELIVERED: (RETURNED,),
    RETURNED: (),
}
# After these no further news is expected that matters to a shop.
FINAL = (DELIVERED, RETURNED)
# In these the carrier has the parcel, or had it.
WITH_CARRIER = (TRANSIT, DELIVERED, RETURNED, FAILURE)


@dataclass(frozen=True)
class Whereabouts:
    """A carrier's report on a parcel, and the carrier's time of it (Unix seconds; None when it gives none)."""

    status: str
    at: float | None

    def follows(self, known: Whereabouts | None) -> bool:
        """Whether this is news compared with that."""
        if known is None:
            return True
        if self.status == known.status:
            return False
        if self.status in WAY and known.status in WAY:
            return WAY.index(self.status) > WAY.index(known.status)
        if known.status in (UNKNOWN, PRE_TRANSIT):
            return True
        later = self.at is None or known.at is None or self.at > known.at
        return later and self.status in DETOURS[known.status]


def whereabouts(tracking_status: Any) -> Whereabouts | None:
    """Parse Shippo's ``{"status", "status_date"}``; None when it has no status, or an unknown one."""
    if not isinstance(tracking_status, Mapping):
        return None
    status = tracking_status.get("status")
    if status not in (*WAY, RETURNED, FAILURE):
        return None
    return Whereabouts(str(status), _seconds(tracking_status.get("status_date")))


def _seconds(moment: Any) -> float | None:
    """Return the Unix seconds of "2017-09-05T12:20:36.546Z", or None."""
    if not isinstance(moment, str):
        return None
    try:
        when = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()

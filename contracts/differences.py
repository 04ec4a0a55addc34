"""What a comparison of the shop's books with a provider's finds, as it crosses the wire: free of any framework."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

NOTHING = "nothing"


@dataclass(frozen=True)
class Difference:
    """One thing that two books say differently.

    Attributes:
        kind: what is wrong, in a few words that are the same for all of its kind.
        subject: the order, or whatever else can be looked up ("or_…", a provider's id).
        ours: what the shop says.
        theirs: what the provider, or the other service, says; begins with who that is.
        repair: what mending it does; empty when that is not safe to do without a person.
        advice: what a person can do, when `repair` is empty.
        fix: what to hand to the service's ``mend``; empty when `repair` is.
    """

    kind: str
    subject: str
    ours: str
    theirs: str
    repair: str = ""
    advice: str = ""
    fix: dict[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As it is sent; ``Difference(**plain)`` reads it."""
        return asdict(self)

    def line(self) -> str:
        """The one line that an operator reads."""
        if self.repair:
            mending = f"--repair: {self.repair}"
        else:
            mending = f"--repair: {NOTHING} ({self.advice or 'a person has to look'})"
        return f"{self.kind}: {self.subject} | we say: {self.ours} | {self.theirs} | {mending}"


def page(
    looked: int,
    differences: Sequence[Difference],
    following: str | None = None,
    seen: Sequence[str] = (),
    known: Sequence[str] = (),
) -> dict[str, Any]:
    """What the verb ``audit`` answers for one page.

    Args:
        looked: how many things were looked at.
        differences: what was found.
        following: the cursor of the next page; None at the end.
        seen: the ids that a provider's list had.
        known: the ids that our books have, and that the provider's list should have had.
    """
    return {
        "looked": looked,
        "differences": [each.plain() for each in differences],
        "next": following,
        "seen": list(seen),
        "known": list(known),
    }

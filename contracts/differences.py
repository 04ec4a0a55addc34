"""The result of comparing the shop's records with a provider's, as sent over the wire; independent of any framework."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

NOTHING = "nothing"


@dataclass(frozen=True)
class Difference:
    """One difference between two sides' records.

    Attributes:
        kind: what is wrong, in a few words that are the same for all of its kind.
        subject: the order, or any other object that can be looked up ("or_…", a provider's id).
        ours: the shop's record.
        theirs: the record of the provider, or of the other service; begins with its name.
        repair: what the repair does; empty when it is not safe without a person.
        advice: what a person can do, when `repair` is empty.
        fix: the argument for the service's ``mend``; empty when `repair` is.
    """

    kind: str
    subject: str
    ours: str
    theirs: str
    repair: str = ""
    advice: str = ""
    fix: dict[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """The form that is sent; ``Difference(**plain)`` reads it."""
        return asdict(self)

    def line(self) -> str:
        """One line for an operator."""
        if self.repair:
            mending = f"--repair: {self.repair}"
        else:
            mending = f"--repair: {NOTHING} ({self.advice or 'a person has to look'})"
        return f"{self.kind}: {self.subject} | we say: {self.ours} | {self.theirs} | {mending}"


def page(
    compared: int,
    differences: Sequence[Difference],
    following: str | None = None,
    seen: Sequence[str] = (),
    known: Sequence[str] = (),
) -> dict[str, Any]:
    """The answer of the verb ``audit`` for one page.

    Args:
        compared: how many things were compared.
        differences: those found.
        following: the cursor of the next page; None at the end.
        seen: the ids in the provider's list.
        known: the ids in our records that the provider's list should contain.
    """
    return {
        "compared": compared,
        "differences": [each.plain() for each in differences],
        "next": following,
        "seen": list(seen),
        "known": list(known),
    }

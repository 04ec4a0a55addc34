"""What the bench checked and found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Findings:
    """What was checked and found.

    Attributes:
        checked: what was compared, and how much of it.
        not_checked: what could not be had, and why.
        differences: each begins with its provider or description.
        undescribed: answers for which the description has nothing.
    """

    checked: dict[str, int] = field(default_factory=dict)
    not_checked: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    undescribed: list[str] = field(default_factory=list)

    def add(self, what: str, count: int, differences: Sequence[str], name: str) -> None:
        """Note a comparison: what it was, of how many, and its differences, whose lines begin with `name`."""
        self.checked[what] = self.checked.get(what, 0) + count
        self.differences += [f"{name}: {difference}" for difference in dict.fromkeys(differences)]

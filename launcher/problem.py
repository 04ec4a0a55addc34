"""The one kind of failure that the launcher tells its user about: a sentence, and nothing else."""

from __future__ import annotations


class Problem(Exception):
    """Something stands in the way: `str()` of it is the sentence to show, `detail` what may help (lines of a log)."""

    def __init__(self, sentence: str, detail: str = "") -> None:
        super().__init__(sentence)
        self.detail = detail

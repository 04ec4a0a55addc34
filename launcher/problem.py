"""The only exception that the launcher shows to its user: as one sentence, without a traceback."""

from __future__ import annotations


class Problem(Exception):
    """A failure for the user: `str()` of it is the sentence to show, `detail` is further information (lines of a
    log)."""

    def __init__(self, sentence: str, detail: str = "") -> None:
        super().__init__(sentence)
        self.detail = detail

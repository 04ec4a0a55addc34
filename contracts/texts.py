"""Characters that no shopper or shopkeeper may use in a text: they hide, reorder or break it."""

from __future__ import annotations

import re

# C0, DEL and C1; soft hyphen; line and paragraph separators; bidi marks, embeddings, overrides and isolates; other
# invisible format characters, including tags.
_NO_LINE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e0fff]"
    # The joiners shape Persian and Indic words and emoji; next to ASCII they only hide.
    r"|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"
)
# Texts of several lines may have tabs, line breaks, and the marks and isolates that Arabic and Hebrew need.
_NO_PARAGRAPH = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e"
    "\U000e0000-\U000e0fff]"
)
# The same for JSON Schema, whose patterns say what a text must have: no character with which the above begins.
ONE_LINE_PATTERN, PLAIN_PATTERN = (rf"^(?:(?!{refused.pattern})[\s\S])*$" for refused in (_NO_LINE, _NO_PARAGRAPH))


def is_one_line(text: str) -> bool:
    """Whether `text` is one line without control, bidi or invisible characters."""
    return _NO_LINE.search(text) is None


def is_plain(text: str) -> bool:
    """Whether `text`, of several lines, has no control characters and reorders nothing."""
    return _NO_PARAGRAPH.search(text) is None


def one_line(text: str) -> str:
    """`text` as one line: each character that `is_one_line` refuses becomes a blank, and blanks become one."""
    return " ".join(_NO_LINE.sub(" ", text).split())

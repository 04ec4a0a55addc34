"""Compares an answer with the answer that a page shows. They must be equal, except for values that differ by shop.

- An id (``prod_…``, ``or_…``, 32 hex digits, a tracking number) may be another id of the same form. One shown id always
  stands for one real id, and two shown ids stand for two real ids.
- A time (Unix seconds, or 2026-11-21T20:27:17Z) may be any time within an hour of now. A date may be any of the next
  sixty days.
- ``…`` stands for more: in a text for any characters, on a line of its own for any lines, in a list for any further
  elements, in an object for any further members.
- A body that is not JSON is compared as text.
- The answer must have every header that is shown.
"""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

MORE = "…"
HOUR_S = 3600.0
_RECENT = 1_500_000_000  # a larger number on a page is a time
_FORMS = {
    "instant": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z",
    "day": r"\d{4}-\d\d-\d\d",
    "seconds": r"1[5-9]\d{8}(?:\.\d+)?",
    "secret": r"pi_[A-Za-z0-9]{24}_secret_[A-Za-z0-9]{20,}",
    "token": r"ot_[A-Za-z0-9_-]{32}",
    "cart": r"cart_[A-Za-z0-9_-]{32}\.[A-Za-z0-9_-]{22}",
    **{prefix: rf"{prefix}_[A-Za-z0-9]{{14,}}" for prefix in ("prod", "sku", "or", "ch", "pi", "pm", "promo")},
    "message": r"SM[0-9a-f]{32}",
    "hex": r"[0-9a-f]{32}",
    "tracking": r"\d{22}",
}
_NEVER_THE_SAME = re.compile(
    "|".join(f"(?P<{name}>(?<![A-Za-z0-9]){form}(?![A-Za-z0-9]))" for name, form in _FORMS.items())
    # SendGrid's id of a mail has no prefix: the whole text is 22 mixed characters.
    + r"|(?P<mail>^(?=.*\d)(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9_-]{22}$)"
    + f"|(?P<lines>^{MORE}\n)|(?P<more>{MORE})",
    re.MULTILINE,
)
_ALIKE = {**_FORMS, "mail": r"[A-Za-z0-9_-]{22}", "lines": r"(?:[^\n]*\n)*?", "more": r"[^\n]*?"}


class Unlike(AssertionError):
    """The answer differs from the shown one; the message names the place."""


class Likeness:
    """Compares the answers of one run, and remembers which real id each shown id stands for."""

    def __init__(self) -> None:
        self._real: dict[str, str] = {}
        self._shown: dict[str, str] = {}

    def check(self, kind: str, shown: str, got: str) -> None:
        """Raise Unlike when `got` is not the answer `shown` as `kind` ("http", "text", or "" for no output)."""
        if kind == "http":
            self._http(shown, got)
        else:
            # A page does not keep spaces at the end of a line.
            self._text(shown, "\n".join(line.rstrip() for line in got.rstrip("\n").split("\n")), "the answer")

    def _http(self, shown: str, got: str) -> None:
        shown_head, _, shown_body = shown.partition("\n\n")
        got_head, _, got_body = got.partition("\r\n\r\n")
        shown_status, *shown_headers = shown_head.split("\n")
        got_status, *got_headers = got_head.split("\r\n")
        if shown_status != got_status:
            raise Unlike(f"{got_status!r} instead of {shown_status!r}:\n{got}")
        there = {name.lower(): value for name, _, value in (line.partition(": ") for line in got_headers)}
        for line in shown_headers:
            name, _, value = line.partition(": ")
            self._text(value, there.get(name.lower(), "(no such header)"), name)
        if got_body and "json" not in there.get("content-type", ""):
            self._text(f"{shown_body}\n", f"{got_body.rstrip()}\n", "the body")
            return
        try:
            body = json.loads(got_body) if got_body else ""
        except ValueError:
            raise Unlike(f"no JSON:\n{got_body}") from None
        self._value(parse(shown_body) if shown_body else "", body, "")

    def _value(self, shown: Any, got: Any, where: str) -> None:
        if type(shown) is not type(got):
            raise Unlike(f"{where or 'the body'} is {got!r} instead of {shown!r}")
        if isinstance(shown, dict):
            self._members(shown, got, where)
        elif isinstance(shown, list):
            self._elements(shown, got, where)
        elif isinstance(shown, str):
            self._text(shown, got, where)
        elif isinstance(shown, (int, float)) and shown > _RECENT:
            _near(float(got), where)
        elif shown != got:
            raise Unlike(f"{where} is {got!r} instead of {shown!r}")

    def _members(self, shown: dict[str, Any], got: dict[str, Any], where: str) -> None:
        wanted = set(shown) - {MORE}
        if wanted - set(got):
            raise Unlike(f"{where or 'the body'} lacks {sorted(wanted - set(got))}: {got!r}")
        if set(got) - wanted and MORE not in shown:
            raise Unlike(f"{where or 'the body'} has {sorted(set(got) - wanted)} too")
        for name in wanted:
            self._value(shown[name], got[name], f"{where}.{name}".lstrip("."))

    def _elements(self, shown: list[Any], got: list[Any], where: str) -> None:
        first = shown.index(MORE) if MORE in shown else len(shown)
        last = shown[first + 1 :]
        if len(got) < first + len(last) or (MORE not in shown and len(got) != len(shown)):
            raise Unlike(f"{where or 'the body'} has {len(got)} elements instead of {shown!r}: {got!r}")
        for index in range(first):
            self._value(shown[index], got[index], f"{where}[{index}]")
        for index in range(1, len(last) + 1):
            self._value(last[-index], got[-index], f"{where}[-{index}]")

    def _text(self, shown: str, got: str, where: str) -> None:
        got = got.replace("http://localhost:", "http://127.0.0.1:")
        parts: list[tuple[str, str]] = []
        pattern, end = "", 0
        for token in _NEVER_THE_SAME.finditer(shown):
            form = token.lastgroup or ""
            pattern += f"{re.escape(shown[end : token.start()])}({_ALIKE[form]})"
            parts.append((form, token[0]))
            end = token.end()
        found = re.fullmatch(pattern + re.escape(shown[end:]), got)
        if found is None:
            raise Unlike(f"{where} is {got!r} instead of {shown!r}")
        for (form, token_shown), token_got in zip(parts, found.groups(), strict=True):
            self._token(form, token_shown, token_got, where)

    def _token(self, form: str, shown: str, got: str, where: str) -> None:
        if form == "instant":
            _near(datetime.fromisoformat(got.replace("Z", "+00:00")).timestamp(), where)
        elif form == "seconds":
            _near(float(got), where)
        elif form == "day":
            today = datetime.now(UTC).date()
            if not today - timedelta(days=1) <= date.fromisoformat(got) <= today + timedelta(days=60):
                raise Unlike(f"{where} is {got}, which is not of these days")
        elif form not in ("lines", "more"):
            known, meant = self._real.setdefault(shown, got), self._shown.setdefault(got, shown)
            if known != got:
                raise Unlike(f"{where} is {got}, and {shown} was {known} before")
            if meant != shown:
                raise Unlike(f"{where} is {got}, which was shown as {meant} before, and is {shown} here")


def parse(shown: str) -> Any:
    """Parse JSON that contains ``…``: in an object it becomes a member, in a list an element, in a text it stays."""
    out, nesting, in_text, escaped = [], [], False, False
    for letter in shown:
        if in_text:
            in_text = escaped or letter != '"'
            escaped = letter == "\\" and not escaped
        elif letter == '"':
            in_text = True
        elif letter in "[{":
            nesting.append(letter)
        elif letter in "]}":
            nesting.pop()
        more = letter == MORE and not in_text
        out.append(letter if not more else f'"{MORE}": 0' if nesting[-1] == "{" else f'"{MORE}"')
    return json.loads("".join(out))


def _near(moment: float, where: str) -> None:
    if abs(moment - time.time()) > HOUR_S:
        raise Unlike(f"{where} is {moment}, which is not of this hour")

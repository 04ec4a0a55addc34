"""Repairs the two requests that the seed prints as not quite JSON; repairs nothing else.

The SMS request has a number with a leading plus (`"number": +79994413746`), the payment lacks the comma between its two
lines. This runs only after strict reading has failed, and only on these two routes. Strings are skipped as a whole, so
that nothing inside one is ever changed; the result is read strictly again.
"""

from __future__ import annotations

import re

# A string; or, when a quote is never closed, all that follows it (otherwise each later quote would be tried again).
_STRING = r'"(?:[^"\\]|\\.)*"'
_OVER = rf'{_STRING}|"[\s\S]*'
_PLUS = re.compile(rf'("number"\s*:\s*)\+(?=[1-9])|{_OVER}')
_COMMA = re.compile(rf'("order_id"\s*:\s*{_STRING})(?=[ \t\r]*\n\s*"cart"\s*:)|{_OVER}')


def sms(text: str) -> str:
    """`text` without the plus before the value of `number`."""
    return _PLUS.sub(lambda found: found[1] or found[0], text)


def payment(text: str) -> str:
    """`text` with a comma after the value of `order_id`, when `cart` follows on a new line."""
    return _COMMA.sub(lambda found: found[1] + "," if found[1] else found[0], text)

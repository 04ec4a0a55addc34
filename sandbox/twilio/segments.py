"""How many SMS a text needs.

Source: "What is GSM-7 Character Encoding?" (https://www.twilio.com/docs/glossary/what-is-gsm-7-character-encoding) and
"What is UCS-2 Character Encoding?" (https://www.twilio.com/docs/glossary/what-is-ucs-2-character-encoding).
"""

from __future__ import annotations

_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
# An escape character precedes each of these, so it takes the place of two.
_GSM_DOUBLE = frozenset("^{}\\[~]|€\f")


def segments(text: str) -> int:
    """Return how many SMS the text needs: 160 places of the GSM alphabet in one, 153 in several; else 70 and 67.

    In UCS-2, what is outside the Basic Multilingual Plane, such as an emoji, takes two places. A character of two
    places is never split between two SMS.
    """
    if set(text) <= _GSM | _GSM_DOUBLE:
        one, several = 160, 153
        widths = [2 if character in _GSM_DOUBLE else 1 for character in text]
    else:
        one, several = 70, 67
        widths = [2 if ord(character) > 0xFFFF else 1 for character in text]
    if sum(widths) <= one:
        return 1
    count, left = 1, several
    for width in widths:
        if width > left:
            count, left = count + 1, several
        left -= width
    return count

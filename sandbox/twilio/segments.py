"""How many SMS a text needs."""

from __future__ import annotations

_GSM = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà^{}\\[~]|€"
)


def segments(text: str) -> int:
    """Return how many SMS the text needs: 160 characters of the GSM alphabet in one, 153 in several; else 70 and 67."""
    one, several = (160, 153) if set(text) <= _GSM else (70, 67)
    return 1 if len(text) <= one else -(-len(text) // several)

"""Comparing mail addresses: capitals, Unicode forms and the spelling of the domain make no difference."""

from __future__ import annotations

import unicodedata
from contextlib import suppress

import idna

LONGEST_KEY = 400  # of an address of 320 characters, whose domain may be longer in its other spelling


def email_key(address: str) -> str:
    """The common key of all spellings of one address.

    The domain is spelled as in DNS (``münchen.de`` as ``xn--mnchen-3ya.de``). In the local part only the case is
    ignored, since no mail provider distinguishes two mailboxes by case.
    """
    local, at, domain = address.strip().rpartition("@")
    with suppress(idna.IDNAError, UnicodeError):  # otherwise it is compared as written
        domain = idna.encode(domain, uts46=True).decode()
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", f"{local}{at}{domain}").casefold())
    return folded.replace("\0", "")[:LONGEST_KEY]

"""Mail addresses as they are compared: capitals, Unicode forms and the spelling of the domain make no difference."""

from __future__ import annotations

import unicodedata
from contextlib import suppress

import idna

LONGEST_KEY = 400  # an address of 320 characters, whose domain may be longer in its other spelling


def email_key(address: str) -> str:
    """What two spellings of one address have in common.

    The domain is spelled as DNS has it (``münchen.de`` as ``xn--mnchen-3ya.de``); of the local part, too, only the case
    is left out, since no mail provider tells two mailboxes apart by it.
    """
    local, at, domain = address.strip().rpartition("@")
    with suppress(idna.IDNAError, UnicodeError):  # else it is compared as it was written
        domain = idna.encode(domain, uts46=True).decode()
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", f"{local}{at}{domain}").casefold())
    return folded.replace("\0", "")[:LONGEST_KEY]

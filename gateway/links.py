"""The `Link` header from one page of a list to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from falcon import Response


def link_next(response: Response, path: str, query: Mapping[str, Any], cursor: str | None) -> None:
    """Set `Link: <…>; rel="next"` to the page after this one, unless this is the last.

    Args:
        query: this page's parameters.
        cursor: the beginning of the next page; None at the end.
    """
    if cursor is not None:
        further = urlencode({**query, "starting_after": cursor})
        response.set_header("Link", f'<{path}?{further}>; rel="next"')

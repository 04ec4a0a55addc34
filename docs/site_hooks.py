"""Hooks of the documentation's site (properdocs.yml)."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

DOCS = Path(__file__).resolve().parent
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#:]+)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Name a file of the repository that is no page of the site, instead of linking to it."""

    def named(link: re.Match[str]) -> str:
        target = (DOCS / PurePosixPath(page.file.src_uri).parent / link[2]).resolve()
        if target.is_relative_to(DOCS) or not target.exists():
            return link[0]
        return f"`{target.relative_to(DOCS.parent)}`"

    return _LINK.sub(named, markdown)

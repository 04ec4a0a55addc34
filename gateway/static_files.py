"""The demo storefront's files, read once at the start and served from memory.

A request is a look-up in a dict: it opens no file, so no path can name one outside the folder.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.payment_script import PaymentScript

STOREFRONT = Path(__file__).resolve().parent.parent / "storefront"
# The pages of storefront/app.js. Each is answered with index.html, so that reload and a shared link work.
PAGES = re.compile(
    r"/|/(?:cart|checkout|checkout/[A-Za-z0-9_-]{1,100}/(?:delivery|payment)|(?:product|order)/[A-Za-z0-9_-]{1,100})/?"
)
INDEX = "index.html"
# Every other file is under this path.
PREFIX = "/storefront/"

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Bounds for what each process keeps in memory.
MAX_FILE_BYTES = 256 * 1024
MAX_TOTAL_BYTES = 4 * 1024 * 1024

# Where the index has the address of the payment provider's script, and what it says only with the sandbox.
_SCRIPT = '<meta name="stripe-js" content="{}">'
_DEMONSTRATION = re.compile(rb"<!-- sandbox -->.*?<!-- end -->", re.DOTALL)


def content_security_policy(script: PaymentScript | None = None) -> str:
    """The policy of a page: nothing but our own files runs, and `script` if there is one.

    `https:` is for the pictures of products, whose URLs an admin chooses. Stripe's script needs a default policy of
    Trusted Types; the storefront's admits addresses of scripts only (`storefront/element.js`).
    """
    ours = ("'self'",)
    return "; ".join(
        (
            "default-src 'none'",
            _sources("script-src", ours + script.scripts if script else ours),
            "style-src 'self'",
            "img-src 'self' https:",
            _sources("connect-src", ours + script.connections if script else ours),
            *([_sources("frame-src", script.frames)] if script else []),
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types default" if script else "trusted-types 'none'",
        )
    )


def _sources(directive: str, sources: Iterable[str]) -> str:
    return " ".join((directive, *sources))


# Names carry no version: code is revalidated each time (304), pictures once an hour.
REVALIDATE, PICTURE_AGE = "no-cache", "public, max-age=3600"


@dataclass(frozen=True)
class File:
    """One file, with the headers of its answer."""

    body: bytes
    etag: str
    headers: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, suffix: str, body: bytes, script: PaymentScript | None = None) -> File:
        """The file with its headers.

        Args:
            suffix: of its name, one of `TYPES`.
            script: what a page permits besides our own files. The bank's pages that Stripe opens need a handle on
                this one, and the origin that it has (https://docs.stripe.com/financial-connections/deployment-checklist).
        """
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = (
            ("etag", etag),
            ("cache-control", PICTURE_AGE if suffix == ".svg" else REVALIDATE),
            ("content-security-policy", content_security_policy(script)),
            ("referrer-policy", "strict-origin-when-cross-origin" if script else "same-origin"),
            ("cross-origin-opener-policy", "same-origin-allow-popups" if script else "same-origin"),
        )
        return cls(body, etag, (*headers, ("content-type", TYPES[suffix]), ("content-length", str(len(body)))))

    def answer(self, environ: Mapping[str, Any]) -> tuple[int, list[tuple[str, str]], bytes]:
        """Status, headers and body for a GET: 304 when `If-None-Match` names this content (RFC 9110, 13.1.2)."""
        known = environ.get("HTTP_IF_NONE_MATCH")
        if known is not None and (known.strip() == "*" or self.etag in re.findall(r'"[^"]*"', known)):
            return 304, [header for header in self.headers if not header[0].startswith("content-")], b""
        return 200, [*self.headers], self.body


class StaticFiles:
    """The files of a folder, by the path of their URL.

    Args:
        folder: files of another type than `TYPES`, hidden ones and links are left out.
        script: the payment provider's script, which the pages load.
        demonstration: whether the pages say that nothing is charged, and nothing is sent.

    Raises ValueError when the files are too large to be kept in memory, or `INDEX` is missing.
    """

    def __init__(
        self, folder: Path = STOREFRONT, script: PaymentScript | None = None, demonstration: bool = True
    ) -> None:
        self._files: dict[str, File] = {}
        total = 0
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_symlink() or not path.is_file() or path.suffix not in TYPES or "/." in f"/{name}":
                continue
            body = path.read_bytes()
            total += len(body)
            if len(body) > MAX_FILE_BYTES or total > MAX_TOTAL_BYTES:
                raise ValueError(f"{path} is too large to be served from memory.")
            self._files[PREFIX + name] = File.of(path.suffix, body)
        index = self._files.pop(PREFIX + INDEX, None)
        if index is None:
            raise ValueError(f"{folder} has no {INDEX}.")
        body = index.body if demonstration else _DEMONSTRATION.sub(b"", index.body)
        if script is not None:
            body = body.replace(_SCRIPT.format("").encode(), _SCRIPT.format(html.escape(script.url)).encode())
        self._index = File.of(".html", body, script)

    def find(self, path: str) -> File | None:
        """The file for the path of a URL, or None."""
        return self._index if PAGES.fullmatch(path) else self._files.get(path)

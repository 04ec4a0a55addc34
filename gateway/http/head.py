"""The head of a request as a WSGI environment."""

from __future__ import annotations

import io
import re
import sys
from typing import Any
from urllib.parse import unquote_to_bytes

from gateway import errors

Environ = dict[str, Any]
Headers = list[tuple[bytes, bytes]]

LATIN1 = "latin-1"
# Host, loosely as in RFC 3986: no user information, path, white space or control character.
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
_ABSOLUTE = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)
# Decoded, these would act as path separators or end a text: no id contains them.
_ENCODED_SEPARATOR = re.compile(rb"%(?:2f|5c|[01][0-9a-f]|7f)", re.IGNORECASE)

_NAMES: dict[bytes, str | None] = {}
# Clients choose the names, so both their number and their length are bounded.
_MAX_NAMES = 1000
_LONGEST_NAME = 64


def blank(peer: str) -> Environ:
    """The environment for a request from `peer` whose head cannot be read."""
    return {
        "REQUEST_METHOD": "",
        "PATH_INFO": "",
        "QUERY_STRING": "",
        "REMOTE_ADDR": peer,
        "SCRIPT_NAME": "",
        "SERVER_NAME": "",
        "SERVER_PORT": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.errors": sys.stderr,
        "wsgi.input": io.BytesIO(),
        "wsgi.url_scheme": "http",
    }


def environ_of(peer: str, method: bytes, url: bytes, version: str, headers: Headers) -> Environ:
    """The environment of a head. Raises BadHttp for a contradictory one."""
    if version not in ("1.0", "1.1"):
        raise errors.BadHttp("This version of HTTP is not supported. Send HTTP/1.1.")
    if method == b"CONNECT":
        raise errors.BadHttp("This is no proxy.")
    environ = blank(peer)
    environ["SERVER_PROTOCOL"] = f"HTTP/{version}"
    environ["REQUEST_METHOD"] = method.decode(LATIN1)
    environ["PATH_INFO"], environ["QUERY_STRING"] = target(url)
    hosts = 0
    for name, value in headers:
        key = _environ_name(name)
        if key is None:
            continue
        if key == "HTTP_HOST":
            hosts += 1
            if not _HOST.fullmatch(value.strip(b" \t")):
                raise errors.BadHttp("The Host header is not a host.")
        text = value.decode(LATIN1).strip(" \t")
        if key in environ:
            environ[key] += ("; " if key == "HTTP_COOKIE" else ",") + text
        else:
            environ[key] = text
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise errors.BadHttp("A request must have exactly one Host header.")
    coding = environ.get("HTTP_TRANSFER_ENCODING")
    if coding is not None and (version == "1.0" or coding.lower() != "chunked"):
        raise errors.BadHttp("The only Transfer-Encoding here is chunked, over HTTP/1.1.")
    return environ


def target(url: bytes) -> tuple[str, str]:
    """Path and query of a request's target. Raises BadHttp for an invalid one."""
    absolute = _ABSOLUTE.match(url)
    if absolute is not None:
        url = url[absolute.end() :]
        if not url.startswith(b"/"):
            url = b"/" + url
    if not (url.startswith(b"/") or url == b"*") or b"#" in url:
        raise errors.BadHttp("The request's target must be a path.")
    path, _, query = url.partition(b"?")
    if b"%" in path and not _ENCODED_SEPARATOR.search(path):
        path = unquote_to_bytes(path)
    return path.decode(LATIN1), query.decode(LATIN1)


def _environ_name(name: bytes) -> str | None:
    """`X-Request-ID` -> ``HTTP_X_REQUEST_ID``. None for a name with `_`, which WSGI would confuse with `-`."""
    known = _NAMES.get(name)
    if known is None and name not in _NAMES:
        known = None if b"_" in name else name.decode(LATIN1).upper().replace("-", "_")
        if known is not None and known not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            known = f"HTTP_{known}"
        if len(_NAMES) < _MAX_NAMES and len(name) <= _LONGEST_NAME:
            _NAMES[name] = known
    return known

"""The stand-in for Stripe.js: the script, and the frames of the sandbox's origin that it opens in a shop's page."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from sandbox.control import refusal

FILES = Path(__file__).parent / "js"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
# Any shop may embed the frames, like Stripe's. They run and call nothing but the sandbox's own.
FRAME_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors http: https:; require-trusted-types-for 'script'"
)


def add_script_routes(application: web.Application) -> None:
    """Add GET /sandbox/js/{file} to the application."""
    files = {path.name: path.read_bytes() for path in FILES.iterdir() if path.suffix in _TYPES}

    async def file(request: web.Request) -> web.Response:
        name = request.match_info["file"]
        if name not in files:
            return refusal(404, "the stand-in for Stripe.js has no such file")
        headers = {"Content-Security-Policy": FRAME_POLICY, "Cache-Control": "no-cache"}
        kind = _TYPES[Path(name).suffix]
        return web.Response(body=files[name], content_type=kind, charset="utf-8", headers=headers)

    application.router.add_get("/sandbox/js/{file}", file)

"""The state of the shop itself: whether this process is alive, and whether the whole shop is ready."""

from __future__ import annotations

from typing import Any

from falcon import Request, Response

from contracts.errors import Unavailable
from gateway import visit
from gateway.errors import PROBLEM, problem_body, status_line
from gateway.routing import get


@get("/health/live")
def live(request: Request) -> dict[str, str]:
    """Whether this process accepts requests: 503 when it is about to stop. No other part is asked."""
    if visit.of(request).gateway.leaving:
        raise Unavailable("This gateway is about to stop.", {"retry_after": 1})
    return {"status": "ok"}


@get("/health/ready")
def ready(request: Request, response: Response) -> dict[str, Any]:
    """Whether every part is up: 200, or 503 with the same parts in a problem."""
    current = visit.of(request)
    parts = current.gateway.readiness.parts()
    missing = [name for name, part in parts.items() if set(part.values()) != {"ok"}]
    if not missing:
        return {"status": "ok", "parts": parts}
    response.status = status_line(503)
    response.content_type = PROBLEM
    response.set_header("Retry-After", "1")
    detail = f"Not ready: {', '.join(missing)}."
    return problem_body(503, "not-ready", "The shop is not ready", detail, current.request_id, {"parts": parts})

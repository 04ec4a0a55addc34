"""The assembled WSGI application: the routes on Hug, and the common handling of every answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

import falcon

from chassis import safe_start
from chassis.logs import log
from chassis.rpc.client import RpcClient
from chassis.settings import Settings
from contracts.errors import ShopError
from gateway import auth, cors, cross_site, errors, limits, visit
from gateway.errors import NoSuchRoute
from gateway.limits import Limits
from gateway.loop_rpc import LoopRpcClient
from gateway.pages.failure import failure
from gateway.pages.rendering import HEADERS as PAGE_HEADERS
from gateway.payment_script import payment_script
from gateway.readiness import Readiness
from gateway.routes import (
    about,
    cart,
    description,
    discounts,
    notifications,
    orders,
    pages,
    products,
    shipments,
    webhooks,
)
from gateway.routing import BOUNDS, Bounds, api
from gateway.rpc import NAMES, Deadlines
from gateway.shares import SharedClient
from gateway.static_files import File, StaticFiles
from gateway.visit import Visit

# Each module registers its routes with the one API when it is imported.
ROUTES = (about, cart, description, discounts, notifications, orders, pages, products, shipments, webhooks)
# No route has a longer path; its beginning is enough for the log.
LOGGED_PATH = 200
# Answers under these paths concern one shopper or an admin: no cache may store them.
PRIVATE = ("/api/cart", "/api/discounts", "/api/orders", "/api/shipments", "/api/notifications")
# Answers under this path are pages for people, failures included.
PAGES = "/orders/"

StartResponse = Callable[..., Any]


class Gateway:
    """The shop's public HTTP interface as a WSGI application.

    Args:
        settings: permissions and time limits.
        client: the connection to the services, started.

    Attributes:
        leaving: whether this process is about to stop, so that a proxy should send its requests elsewhere.
    """

    def __init__(self, settings: Settings, client: RpcClient) -> None:
        safe_start.check(settings, "gateway")
        self.settings = settings
        self.client = client
        self.leaving = False
        self.shared = SharedClient(client)
        self.deadlines = Deadlines(settings)
        self.readiness = Readiness(client)
        self.limits = Limits(settings)
        self.wrong_keys = auth.WrongKeys()
        self._storefront = (
            StaticFiles(script=payment_script(settings), demonstration=not settings.live)
            if settings.storefront
            else None
        )
        self._routes = _assemble()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, with its id, and log it in one line."""
        began = time.perf_counter()
        request_id = visit.request_id(environ.get("HTTP_X_REQUEST_ID"))
        current = environ[visit.ENVIRON_KEY] = Visit(self, request_id, environ)
        environ["QUERY_STRING"] = ""  # see gateway.routing
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        sent = 0

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal sent
            sent = int(status[:3])
            headers.append(("x-request-id", request_id))
            headers.append(("x-content-type-options", "nosniff"))
            headers += cors.headers(environ, self.settings)
            if path.startswith(PRIVATE):
                headers.append(("cache-control", "no-store"))
            if path.startswith(PAGES):
                headers.extend(PAGE_HEADERS)
            if current.replayed:
                headers.append(("idempotent-replayed", "true"))
            left = limits.header(current)
            if left is not None:
                headers.append(("ratelimit", left))
            return start_response(status, headers)

        file = self._file(path)
        is_preflight = cors.is_preflight(environ, self.settings)
        if method == "HEAD":
            environ["REQUEST_METHOD"] = "GET"
        elif method not in falcon.HTTP_METHODS:
            environ["REQUEST_METHOD"] = "TRACE"  # no route has it: 405 or 404, not Falcon's 400
        try:
            if not is_preflight:
                limits.admit(current, environ, file is not None)
            refusal: Exception | None = environ.get(visit.REFUSAL_KEY)
            if refusal is not None:
                raise refusal
            if "//" in path:
                raise NoSuchRoute("There is nothing here.")  # Falcon would treat the empty part as an id, or skip it
            cross_site.check(environ, self.settings)
            if method == "OPTIONS":
                verbs = self._allowed(path)
                further = cors.preflight(verbs) if is_preflight else []
                start(errors.status_line(200), [("allow", verbs), ("content-length", "0"), *further])
                body: Iterable[bytes] = []
            elif file is not None:
                body = _serve(file, environ, start)
            else:
                body = self._routes(environ, start)
        except Exception as error:
            answer = _answer(error, current, request_id)
            start(errors.status_line(answer.status), [*answer.headers.items()])
            body = [answer.body]
        log.info(
            "request",
            service="gateway",
            request_id=request_id,
            method=method[:20],
            path=path[:LOGGED_PATH],
            status=sent,
            ms=round((time.perf_counter() - began) * 1000, 1),
        )
        return [] if method == "HEAD" else body

    def body_limit(self, environ: dict[str, Any]) -> int:
        """How many bytes this request's body may have; 0 when the answer does not depend on the body.

        Args:
            environ: the request's head.
        """
        by_verb, parameters = self._bounds(environ["PATH_INFO"])
        bounds = by_verb.get(environ["REQUEST_METHOD"])
        if bounds is None:
            return 0
        try:
            cross_site.check(environ, self.settings)
        except errors.CrossSite:
            return 0
        if bounds.admin and self.settings.admin_api_keys:
            current = environ[visit.ENVIRON_KEY] = Visit(self, "", environ)
            if not auth.admits(current, environ.get("HTTP_AUTHORIZATION")):
                return 0
        if callable(bounds.most_bytes):
            return bounds.most_bytes(self.settings, **parameters)
        return bounds.most_bytes

    def _bounds(self, path: str) -> tuple[dict[str, Bounds], dict[str, str]]:
        """The bounds of each verb of a path, and its parameters; empty when the path does not exist."""
        if "//" in path:
            return {}, {}
        found = self._routes._router.find(path[:-1] if len(path) > 1 and path.endswith("/") else path)
        return ({}, {}) if found is None else (BOUNDS[found[3]], found[2])

    def _allowed(self, path: str) -> str:
        if self._file(path) is not None:
            return errors.allowed(["GET"])
        verbs = {verb for each in BOUNDS.values() for verb in each} if path == "*" else self._bounds(path)[0]
        if not verbs:
            raise NoSuchRoute("There is nothing here.")
        return errors.allowed(verbs)

    def _file(self, path: str) -> File | None:
        return None if self._storefront is None else self._storefront.find(path)


def _serve(file: File, environ: dict[str, Any], start: StartResponse) -> list[bytes]:
    """Answer a request with a file of the storefront. Raises HTTPError for another verb than GET."""
    if environ["REQUEST_METHOD"] != "GET":
        raise falcon.HTTPError("405 Method Not Allowed", headers={"Allow": "GET"})
    status, headers, body = file.answer(environ)
    start(errors.status_line(status), headers)
    return [body]


def _assemble() -> falcon.API:
    """The routes as a Falcon application that answers every failure through `gateway.errors`."""
    # Otherwise Hug serves every route a second time, under /v{anything}/.
    api.http.versions.clear()
    # Without Hug's own page for unknown paths: Falcon's refusal is answered like every other failure.
    routes = api.http.server(None)
    routes.add_error_handler(Exception, _failed)
    return routes


def _failed(request: falcon.Request, response: falcon.Response, error: Exception, _params: Any) -> None:
    current = visit.of(request)
    # A repeated failure is sent byte for byte, under the id under which it was first sent.
    answer = _answer(error, current, current.answered_id if isinstance(error, ShopError) else current.request_id)
    response.status = errors.status_line(answer.status)
    response.set_headers(answer.headers)
    response.body = answer.body


def _answer(error: Exception, current: Visit, request_id: str) -> errors.Answer:
    answer = errors.answer(error, request_id)
    if not current.path.startswith(PAGES):
        return answer
    return failure(answer, current.gateway.settings, request_id)


def create() -> Gateway:
    """The application of one process, from `config.yml`, for the running loop; it connects in the background."""
    settings = Settings.load()
    loop = asyncio.get_running_loop()
    return Gateway(settings, LoopRpcClient(settings.amqp_uri, loop, name="gateway", services=NAMES).start())

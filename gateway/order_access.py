"""Who may read an order: the cart that placed it, an admin, or the bearer of its token.

The token is the header `Order-Token`, or the parameter `token` of the URL that the order and its mail show as
`status_url`. Only the cart service knows which token is the right one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from falcon import Request

from contracts.errors import NotFound
from gateway import auth, limits, schemas
from gateway.identity import cart_id, own_cart
from gateway.reading import query

HEADER = "Order-Token"


def token(request: Request) -> str | None:
    """The token that the request carries; None without one. Raises InvalidRequest for an unreadable query."""
    sent: str | None = request.get_header(HEADER) or query(request, schemas.ORDER_TOKEN).get("token")
    return None if sent is None else sent[: schemas.LONGEST_TOKEN]


def reader(request: Request) -> tuple[str | None, str | None]:
    """The cart and the token by which the request may read an order; None and None for an admin, who may read all.

    A request with a token needs no cart. Raises InvalidRequest as `gateway.identity.cart_id` does.
    """
    if auth.is_admin(request):
        return None, None
    given = token(request)
    return (cart_id(request), None) if given is None else (own_cart(request), given)


@contextmanager
def bounded_guesses(request: Request, given: str | None) -> Iterator[None]:
    """Count a wrong token, and refuse every token of an address that sent too many wrong ones.

    Args:
        given: the token that is tried inside, where NotFound means that it is wrong; None: nothing is counted.

    Raises TooManyRequests.
    """
    if given is None:
        yield
        return
    limits.require_left(request, limits.ORDER_TOKEN)
    try:
        yield
    except NotFound:
        limits.spend(request, limits.ORDER_TOKEN)
        raise

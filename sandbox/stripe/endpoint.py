"""One endpoint of Stripe's: its route, its parameters, and its action."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from sandbox.state import State
from sandbox.stripe.lists import expanded
from sandbox.stripe.params import Type, read_fields

Parameters = dict[str, Any]
Key = Literal["secret", "publishable"]
SECRET: frozenset[Key] = frozenset(("secret",))
PUBLISHABLE: frozenset[Key] = frozenset(("publishable",))


@dataclass(frozen=True)
class Upload:
    """The file of a multipart request: its name and its content."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Desk:
    """What an endpoint works with: the state, the base of the sandbox's URLs, and the file that was uploaded.

    publishable: whether the call has the publishable key, which anyone may know.
    """

    state: State
    public_url: str
    upload: Upload | None = None
    publishable: bool = False

    def now(self) -> int:
        """Return the Unix time in whole seconds, as Stripe does."""
        return int(self.state.now())


@dataclass(frozen=True)
class Endpoint:
    """`method` and `path`; `fields`: parameter -> type; `action(desk, asked, **path arguments)` -> the JSON object.

    An action may return bytes: JSON as it is stored. One that expands its object itself takes `expand` out of `asked`.
    keys: the keys that may call it.
    """

    method: str
    path: str
    fields: Mapping[str, Type]
    action: Callable[..., Parameters | bytes]
    keys: frozenset[Key] = SECRET

    def run(self, desk: Desk, arguments: Mapping[str, str], parameters: Mapping[str, Any]) -> bytes:
        """Return the JSON text of the answer; StripeFailure when the request is rejected."""
        asked = read_fields(self.fields, parameters)
        body = self.action(desk, asked, **arguments)
        paths = asked.get("expand")
        if paths:
            body = expanded(desk.state, orjson.loads(body) if isinstance(body, bytes) else body, paths)
        return body if isinstance(body, bytes) else orjson.dumps(body)

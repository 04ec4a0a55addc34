"""An answer as it goes over the wire: ``{"result": ..., "error": ...}``, and one that was kept and is given again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from nameko.exceptions import UnserializableValueError, get_module_path, serialize

from chassis.logs import log
from contracts.errors import ShopError


@dataclass(frozen=True)
class Replay:
    """An answer that was given before, to be given again as it was.

    Attributes:
        text: the answer, as `encoded` made it.
        request_id: of the request that it was first given to; None when that had none.
    """

    text: str
    request_id: str | None


def encoded_result(result: Any) -> bytes:
    """The answer of a call that went well. Raises orjson.JSONEncodeError when it is nothing that JSON can tell."""
    return orjson.dumps({"result": result, "error": None})


def encoded(result: Any, error: BaseException | None = None) -> bytes:
    """What a call came to, as JSON. A `Replay` says beside its answer ``"replayed": true`` and ``"request_id"``."""
    if isinstance(result, Replay):
        return f'{result.text[:-1]},"replayed":true,"request_id":'.encode() + orjson.dumps(result.request_id) + b"}"
    if error is None:
        try:
            return encoded_result(result)
        except orjson.JSONEncodeError:
            error = UnserializableValueError(result)
    try:
        return orjson.dumps({"result": None, "error": _described(error)})
    except Exception:
        # Facts that are no JSON, a text that is no UTF-8, a class that is nowhere: its kind can still be told. What
        # escaped here would end the process.
        kind = type(error)
        text = str(error).encode("utf-8", "replace").decode()
        described = {"exc_type": kind.__name__, "exc_path": f"{kind.__module__}.{kind.__name__}", "exc_args": [text]}
        log.error("a failure that cannot be told whole", kind=kind.__name__, detail=text)
        return orjson.dumps({"result": None, "error": {**described, "value": text}})


def _described(error: BaseException) -> dict[str, Any]:
    """As `nameko.exceptions.serialize`, which makes strings of the numbers and nulls in the arguments: ours stay."""
    if isinstance(error, ShopError):
        return {
            "exc_type": type(error).__name__,
            "exc_path": get_module_path(type(error)),
            "exc_args": [error.detail, error.facts],
            "value": error.detail,
        }
    described: dict[str, Any] = serialize(error)
    return described

"""The wire format of an answer, ``{"result": ..., "error": ...}``, and of a stored answer that is sent again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from nameko.exceptions import UnserializableValueError, get_module_path, serialize

from chassis.logs import log
from contracts.errors import ShopError


@dataclass(frozen=True)
class Replay:
    """An answer that was given before, to be sent again unchanged.

    Attributes:
        text: the answer, as `encoded` made it.
        request_id: the id of the request that first received it; None when that request had no id.
    """

    text: str
    request_id: str | None


def encoded_result(result: Any) -> bytes:
    """Encode the result of a successful call. Raises orjson.JSONEncodeError when it cannot be expressed as JSON."""
    return orjson.dumps({"result": result, "error": None})


def encoded(result: Any, error: BaseException | None = None) -> bytes:
    """Encode a call's outcome as JSON. A `Replay` adds ``"replayed": true`` and ``"request_id"`` to its answer."""
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
        # The facts may not be JSON, the text not UTF-8, or the class not importable: send at least the kind of failure.
        # An exception that escapes here would end the process.
        kind = type(error)
        text = str(error).encode("utf-8", "replace").decode()
        described = {"exc_type": kind.__name__, "exc_path": f"{kind.__module__}.{kind.__name__}", "exc_args": [text]}
        log.error("failure cannot be serialized", kind=kind.__name__, detail=text)
        return orjson.dumps({"result": None, "error": {**described, "value": text}})


def _described(error: BaseException) -> dict[str, Any]:
    """Describe an error like `nameko.exceptions.serialize`, but keep numbers and nulls in its arguments as they are."""
    if isinstance(error, ShopError):
        return {
            "exc_type": type(error).__name__,
            "exc_path": get_module_path(type(error)),
            "exc_args": [error.detail, error.facts],
            "value": error.detail,
        }
    described: dict[str, Any] = serialize(error)
    return described

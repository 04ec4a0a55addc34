"""One JSON line per event on standard output, with the service and the request it belongs to.

Records of Nameko and of the libraries go through the same renderer. Values that must never be printed (keys, cards)
are never passed to a logger; nothing here searches for them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from typing import Any

import orjson

from chassis.optional_imports import without

with without("rich"):
    import structlog


def _render(_logger: Any, _name: str, event: Any) -> str:
    try:
        return orjson.dumps(event, default=str).decode()
    except TypeError:  # half a surrogate pair, an integer of more than 64 bits, a value whose repr fails
        return json.dumps(event, default=_named, skipkeys=True)


def _named(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # a failure of logging must not reach the call that is logged
        return f"<{type(value).__name__}>"


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


class _Printer(structlog.PrintLogger):
    """Prints lines; one that cannot be written is lost, and the work that it describes continues."""

    def msg(self, message: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # a full disk, a reader that is gone, a closed file
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def _printer(*_names: Any) -> _Printer:
    return _Printer()


structlog.configure(
    processors=[*_SHARED, _render],
    wrapper_class=structlog.make_filtering_bound_logger(
        getattr(logging, os.environ.get("LOG_LEVEL", "INFO").upper(), logging.INFO)
    ),
    logger_factory=_printer,
    cache_logger_on_first_use=True,
)

log: Any = structlog.get_logger()


def json_formatter() -> logging.Formatter:
    """The formatter that `config.yml` names for the standard library's loggers."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *_SHARED],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _render],
    )


def bind(**values: Any) -> None:
    """Add values to every line that this greenlet or thread logs from now on."""
    structlog.contextvars.bind_contextvars(**values)


def clear() -> None:
    """Forget the bound values: the greenlet or thread is about to do something else."""
    structlog.contextvars.clear_contextvars()

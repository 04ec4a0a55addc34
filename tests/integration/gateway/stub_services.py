"""Doubles of the four services, on a real broker: `python stub_services.py products cart …`.

Every verb returns its call (``service``, ``verb``, ``args``, ``request_id``), the fields that routes read, and the
headers of an `Idempotency-Key` (``once``). Every verb honours the idempotency key. An argument controls the verb:

- ``fail-KIND``: raise the ShopError of that name.
- ``fail-bug``: raise an unexpected error.
- ``fail-signature``: raise the error of a webhook with a wrong signature.
- ``hang-SECONDS``: answer late.
- ``hold-NAME``: wait until the file ``$STUB_CONTROL/NAME`` exists.

The file ``$STUB_CONTROL/<service>`` controls the answer of `health`.
"""

from __future__ import annotations

import eventlet

eventlet.monkey_patch()

import os  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import structlog  # noqa: E402
import yaml  # noqa: E402
from nameko.cli.main import setup_yaml_parser  # noqa: E402
from nameko.extensions import DependencyProvider  # noqa: E402
from nameko.runners import ServiceRunner  # noqa: E402

from chassis.rpc.entrypoint import rpc  # noqa: E402
from chassis.store_provider import StoreProvider  # noqa: E402
from contracts import errors  # noqa: E402
from tests.integration.gateway.routes import HELD  # noqa: E402

VERBS = {
    "products": "create update get list delete add_sku update_sku delete_sku",
    "cart": "create items summary buy set_quantity remove clear checkout choose_shipping pay order orders quote_order "
    "cancel refund webhook check_shipment apply_discount remove_discount create_discount discounts delete_discount",
    "shipping": "list rates label tracking webhook",
    "notifications": "send_email send_sms webhook",
}
FACTS = {
    "InvalidRequest": {"errors": {"quality": ["too many"]}},
    "PaymentDeclined": {"code": "card_declined", "decline_code": "insufficient_funds", "secret": "internal"},
    "PaymentActionRequired": {"client_secret": "pi_1_secret_2", "next_action": {"type": "redirect_to_url"}},
    "KeyInProgress": {"retry_after": 1},
    "KeyReused": {"errors": {"Idempotency-Key": ["was used"]}},
    "Refused": {"errors": {"address": ["unknown"]}},
    "Unavailable": {"retry_after": 7.4},
    "OutcomeUnknown": {"retry_after": 0},
}


class EmptyStore:
    """A store without data. As for every store, `chassis.work.idempotency` keeps the idempotency keys."""

    def __init__(self, _database: Any) -> None:
        pass


class HeadersProvider(DependencyProvider):
    """The RPC headers that the gateway adds for an `Idempotency-Key`."""

    def get_dependency(self, worker_ctx: Any) -> list[str]:
        return [worker_ctx.data[name] for name in ("once_key", "once_body") if name in worker_ctx.data]


def strings(value: Any) -> list[str]:
    """Return every text in `value`, at any depth."""
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [text for part in parts for text in strings(part)]


def obey(args: tuple[Any, ...]) -> None:
    """Fail or wait when an argument requires it."""
    for text in strings(args):
        command, _, operand = text.partition("-")
        if command == "hang":
            eventlet.sleep(float(operand))
        elif command == "hold":
            with Path(os.environ["STUB_CONTROL"], HELD).open("a") as calls:
                calls.write(f"{operand}\n")
            while not Path(os.environ["STUB_CONTROL"], operand).exists():
                eventlet.sleep(0.05)
        elif command == "fail" and operand == "bug":
            raise KeyError("the secret of the service")
        elif command == "fail" and operand == "signature":
            raise errors.InvalidRequest("The signature is not the sender's.", {"unsigned": True})
        elif command == "fail":
            raise getattr(errors, operand)(f"This is {operand}.", FACTS.get(operand))


def double(service: str) -> type:
    """Return a service class with the verbs of `service`."""

    def make_method(verb: str) -> Any:
        def method(self: Any, *args: Any) -> dict[str, Any]:
            obey(args)
            report = {
                "service": service,
                "verb": verb,
                "args": args,
                "once": self.headers,
                "request_id": structlog.contextvars.get_contextvars().get("request_id"),
            }
            return {
                "id": "prod_stub",
                "cart_id": "cart_stub",
                "data": [report],
                "has_more": any("more" in each for each in strings(args)),
                "next_cursor": "c1.there" if any("more" in each for each in strings(args)) else None,
                **report,
            }

        method.__name__ = verb
        return rpc(expected_exceptions=errors.ShopError, idempotent=True)(method)

    def health(self: Any) -> dict[str, str]:
        control = Path(os.environ["STUB_CONTROL"], service)
        state = control.read_text() if control.exists() else ""
        if state == "no database":
            raise errors.Unavailable("The database cannot be reached.")
        if state == "hang":
            eventlet.sleep(6)
        return {"status": "ok", "database": "ok"}

    verbs = {verb: make_method(verb) for verb in VERBS[service].split()}
    provided = {"headers": HeadersProvider(), "answers": StoreProvider(EmptyStore)}
    return type(service.title(), (), {"name": service, "health": rpc(health), **provided, **verbs})


if __name__ == "__main__":
    setup_yaml_parser()
    settings = yaml.safe_load(Path("config.yml").read_text(encoding="utf-8"))
    runner = ServiceRunner({**settings, "DATABASE_URL": "sqlite://", "max_workers": 120})
    for name in sys.argv[1:]:
        runner.add_service(double(name))
    runner.start()
    runner.wait()

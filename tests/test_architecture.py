"""Who may know whom, proved from the imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.place import ROOT

SERVICES = {"products", "cart", "shipping", "notifications"}
SHARED = {"contracts", "chassis"}
OURS = SERVICES | SHARED | {"gateway", "sandbox", "launcher", "bench", "tests"}

# What the rules of the shop may be made of: the standard library, themselves, and the failures they raise.
RULES = (
    "cart/cart.py",
    "cart/order.py",
    "cart/payments.py",
    "cart/reconcile.py",
    "cart/reconcile_books.py",
    "products/catalog.py",
    "products/stock.py",
    "shipping/shipment.py",
    "shipping/parcel.py",
    "shipping/carriers.py",
    "shipping/reconcile.py",
    "notifications/messages.py",
    "notifications/reconcile.py",
    "notifications/email.py",
    "notifications/sms.py",
    "notifications/progress.py",
    "shipping/whereabouts.py",
)
# The rules of mail are written as templates, and Jinja renders those without knowing of the shop.
ALLOWED_IN_RULES = {"notifications/messages.py": {"jinja2"}}

FRAMEWORKS = {
    *("nameko", "hug", "falcon", "uvicorn", "uvloop", "httptools", "greenlet", "cerberus", "eventlet", "kombu", "amqp"),
    *("sqlalchemy", "alembic"),
    *("stripe", "shippo", "twilio", "sendgrid", "python_http_client", "requests", "jinja2", "aiohttp", "structlog"),
}
SDKS = {
    "stripe": {"cart/stripe_", "products/stripe_"},
    "shippo": {"shipping/shippo_"},
    "twilio": {"notifications/twilio_"},
    "sendgrid": {"notifications/sendgrid_"},
}


def modules(package: str) -> Iterator[Path]:
    yield from (path for path in sorted((ROOT / package).rglob("*.py")) if "__pycache__" not in path.parts)


def imports(path: Path) -> set[str]:
    """The modules a file imports, in full: ``{"cart.order", "sqlalchemy"}``."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {node.module or ""}
    return found


def tops(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_no_service_imports_another(service: str) -> None:
    for path in modules(service):
        assert not tops(path) & (OURS - SHARED - {service}), path


def test_the_gateway_imports_no_service() -> None:
    for path in modules("gateway"):
        assert not tops(path) & (OURS - SHARED - {"gateway"}), path


def test_what_is_shared_knows_nobody() -> None:
    for path in modules("contracts"):
        assert not tops(path) & (OURS - {"contracts"}), path
    for path in modules("chassis"):
        assert not tops(path) & (OURS - SHARED), path


def test_the_sandbox_is_reached_over_http_alone() -> None:
    for path in modules("sandbox"):
        assert not tops(path) & (OURS - {"sandbox", "contracts"}), path
        # Both ends of Stripe's wire share only the meaning of an amount.
        assert {name for name in imports(path) if name.startswith("contracts")} <= {"contracts.currencies"}, path
    for package in OURS - {"sandbox", "tests", "bench"}:
        for path in modules(package):
            assert "sandbox" not in tops(path), path


@pytest.mark.parametrize("name", RULES)
def test_rules_are_free_of_frameworks(name: str) -> None:
    path = ROOT / name
    allowed = ALLOWED_IN_RULES.get(name, set())
    assert not tops(path) & (FRAMEWORKS - allowed), path
    # Nor by way of a module of the same service that has one.
    for other in imports(path):
        if other.partition(".")[0] in SERVICES:
            inner = ROOT / (other.replace(".", "/") + ".py")
            if inner.exists():
                assert not tops(inner) & (FRAMEWORKS - allowed), f"{path} by way of {inner}"


@pytest.mark.parametrize("sdk", sorted(SDKS))
def test_a_providers_words_stop_in_its_adapter(sdk: str) -> None:
    for package in SERVICES | SHARED | {"gateway"}:
        for path in modules(package):
            if sdk in tops(path):
                name = path.relative_to(ROOT).as_posix()
                assert any(name.startswith(adapter) for adapter in SDKS[sdk]), name


def test_only_the_cart_calls_other_services() -> None:
    for package in SERVICES - {"cart"}:
        for path in modules(package):
            assert not imports(path) & {"chassis.service_rpc", "nameko.rpc", "nameko.standalone.rpc"}, path


def test_only_the_gateway_knows_how_failures_look_over_http() -> None:
    for package in SERVICES | {"contracts"}:
        for path in modules(package):
            assert not tops(path) & {"hug", "falcon"}, path


def test_no_state_lives_in_classes_or_modules() -> None:
    """No service has a module variable or class attribute that is changed: every `global` statement is one too many."""
    for package in SERVICES:
        for path in modules(package):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            assert not [node for node in ast.walk(tree) if isinstance(node, ast.Global)], path

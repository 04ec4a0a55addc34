"""Which packages may import which: the contracts of import-linter, and rules that it cannot express."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.place import ROOT

SERVICES = {"products", "cart", "shipping", "notifications"}
SHARED = {"contracts", "chassis"}

# import-linter accepts no pattern for a part of a module's name.
SDKS = {
    "stripe": {"cart/stripe/", "products/stripe/", "chassis/providers/stripe_sdk.py"},
    "shippo": {"shipping/shippo/"},
    "twilio": {"notifications/twilio/"},
    "sendgrid": {"notifications/sendgrid/"},
}


def modules(package: str) -> Iterator[Path]:
    yield from (path for path in sorted((ROOT / package).rglob("*.py")) if "__pycache__" not in path.parts)


def imports(path: Path) -> set[str]:
    """The full names of the modules that a file imports: ``{"cart.rules.order", "sqlalchemy"}``."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {node.module or ""}
    return found


def top_level_packages(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


def test_import_contracts_are_kept() -> None:
    lint = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"
    done = subprocess.run([sys.executable, "-c", lint], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("sdk", sorted(SDKS))
def test_sdk_is_imported_only_by_its_adapters(sdk: str) -> None:
    for package in SERVICES | SHARED | {"gateway"}:
        for path in modules(package):
            if sdk in top_level_packages(path):
                name = path.relative_to(ROOT).as_posix()
                assert any(name.startswith(adapter) for adapter in SDKS[sdk]), name


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_rules_import_only_python_and_contracts(service: str) -> None:
    # import-linter can forbid packages, but not all except some.
    allowed = {*sys.stdlib_module_names, "contracts"}
    for path in modules(f"{service}/rules"):
        strangers = {name for name in imports(path) if name.partition(".")[0] not in allowed}
        assert {name for name in strangers if not name.startswith(f"{service}.rules")} == set(), path


def test_services_call_each_other_through_the_chassis() -> None:
    # import-linter sees an external package as one module.
    for package in SERVICES:
        for path in modules(package):
            assert not imports(path) & {"nameko.rpc", "nameko.standalone.rpc"}, path


def test_services_have_no_global_statements() -> None:
    """A `global` statement changes a module variable, and a service keeps no state there."""
    for package in SERVICES:
        for path in modules(package):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            assert not [node for node in ast.walk(tree) if isinstance(node, ast.Global)], path

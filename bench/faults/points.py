"""The crash points: those that the modules declare, and those that their code passes."""

from __future__ import annotations

import ast
import functools
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("cart", "products", "shipping", "notifications", "chassis", "gateway")


@functools.cache
def declared() -> dict[str, tuple[str, ...]]:
    """Return module -> the names in its constant POINTS. The result is shared: do not change it."""
    found = {}
    for module, tree in _modules():
        names = [target.id for node in tree.body for target in _targets(node) if isinstance(target, ast.Name)]
        if "POINTS" in names:
            found[module] = tuple(importlib.import_module(module).POINTS)
    return found


@functools.cache
def passed() -> dict[str, list[re.Pattern[str]]]:
    """Return module -> the points that its code passes, as patterns: a part that is computed at run time matches
    anything. The result is shared: do not change it."""
    found: dict[str, list[re.Pattern[str]]] = {}
    for module, tree in _modules():
        if module == "chassis.crash_points":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _name(node.func) == "crash_point":
                found.setdefault(module, []).append(re.compile(_pattern(node.args[0])))
    return found


def _modules() -> Iterator[tuple[str, ast.Module]]:
    """The modules that mention crash points; parsing the others would take most of the time."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            if "POINTS" in text or "crash_point" in text:
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts), ast.parse(text)


def _targets(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []


def _name(function: ast.expr) -> str | None:
    """Return the name of the called function, independently of how it was imported."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else None


def _pattern(name: ast.expr) -> str:
    if isinstance(name, ast.Constant):
        return re.escape(str(name.value))
    if isinstance(name, ast.JoinedStr):
        return "".join(_pattern(part) if isinstance(part, ast.Constant) else ".+" for part in name.values)
    return ".+"

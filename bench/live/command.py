"""Take the tours at the real providers and at a sandbox, and write what differs."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.conformance import stripe_types
from bench.conformance.command import TOURS, compare, default_cache, default_specs
from bench.conformance.exchanges import Caller, Exchange, Record
from bench.conformance.findings import Findings
from bench.conformance.sandbox_process import CONTACTS, HEADERS, ROOT, running_sandbox
from bench.conformance.tours import Trip
from bench.live.differences import compared
from bench.live.journey import bought
from bench.live.keys import NAMES, VARIABLES, Access, accesses, check_twilio, contacts
from bench.rpc.machine import about
from launcher.problem import Problem
from launcher.screen import say

MISUSED = 2
# No gateway listens here: the tours need no webhook.
NOWHERE = "http://127.0.0.1:9"


def main(arguments: Sequence[str]) -> int:
    """Run the bench; return 0, or 2 with a sentence on stderr when it cannot run. Differences are no failure."""
    options = _options(arguments)
    try:
        return _run(options)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return MISUSED


def _run(options: argparse.Namespace) -> int:
    names = tuple(options.providers.split(","))
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise Problem(f"There is no provider {unknown[0]!r}; there are {', '.join(NAMES)}.")
    found = accesses(names, os.environ, options.at)
    people = contacts(os.environ, options.at)
    if "twilio" in found and options.at is None:
        check_twilio(found["twilio"], people["account"])
    if options.journey and not os.environ.get("LIVE_MAIL_TO"):
        raise Problem("The journey mails its order. Not set: LIVE_MAIL_TO, a mailbox of your own.")
    real, ours = Record(), Record()
    say(f"The tours at {', '.join(names)} …")
    trip = _toured(names, found, people, real)
    say("The same tours at a sandbox …")
    with running_sandbox(NOWHERE) as base:
        local = {name: Access(f"{base}/{name}", HEADERS[name]) for name in names}
        _toured(names, local, CONTACTS, ours)
    lines = {name: compared(_of(real, name), _of(ours, name)) for name in names}
    if options.journey:
        say("A purchase in a shop that uses them, and one in a shop on the sandbox …")
        lines["shop"] = _journey(names, options.at)
    described = _described(real, options)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(_written(options, names, real, trip, lines, described))
    total = sum(map(len, lines.values()))
    say(f"{total} differences, {len(trip.unexpected)} surprises, {len(described)} against the descriptions.")
    say(str(options.report))
    return 0


def _toured(names: Sequence[str], found: dict[str, Access], people: dict[str, str], record: Record) -> Trip:
    """Take the chapters that need no sandbox; they clean up after themselves."""
    trip = Trip(f"conf{secrets.token_hex(4)}", None, people)
    for name in names:
        trip.take(Caller(name, found[name].base, found[name].headers, record), TOURS[name])
    return trip


def _of(record: Record, name: str) -> list[Exchange]:
    return [each for each in record.exchanges if each.provider == name]


def _journey(names: Sequence[str], at: str | None) -> list[str]:
    mail, phone = os.environ["LIVE_MAIL_TO"], os.environ.get("LIVE_SMS_TO") or "+14155550123"
    keys = {variable: None for name in NAMES for variable in VARIABLES[name]}
    own: dict[str, str | None] = {**keys, "MAIL_FROM": os.environ.get("MAIL_FROM") or "shop@example.com"}
    real: dict[str, str | None] = {**own, "SANDBOX_URL": at} if at else dict(own)
    if at is None:
        real |= {variable: os.environ[variable] for name in names for variable in VARIABLES[name]}
        real["ALLOW_SANDBOX_PAYMENTS"] = "true"  # a provider that is not named stays the sandbox's
    return compared(bought(real, mail, phone), bought(own, mail, phone))


def _described(real: Record, options: argparse.Namespace) -> list[str]:
    """Return where the real answers differ from the providers' own descriptions."""
    findings = Findings()
    try:
        tools = stripe_types.installed(options.cache)
    except stripe_types.NotHad as error:
        tools = None
        findings.not_checked.append(str(error))
    compare(findings, real, options.specs, tools)
    return [*findings.differences, *(f"not checked: {what}" for what in findings.not_checked)]


def _written(
    options: argparse.Namespace,
    names: Sequence[str],
    real: Record,
    trip: Trip,
    lines: dict[str, list[str]],
    described: Sequence[str],
) -> str:
    where = options.at or "the real test modes"
    parts = [
        "# The real providers against the sandbox",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}; {', '.join(names)} at {where}; {len(real.exchanges)} requests; "
        f"commit {about('none', ())['commit']}.",
        "",
    ]
    sections = {
        "Surprises during the tours": list(trip.unexpected),
        **{f"Differences: {name}": found for name, found in lines.items()},
        "The real answers against the descriptions": list(described),
    }
    for title, found in sections.items():
        parts += [f"## {title}", "", *([f"- {each}" for each in found] or ["None."]), ""]
    return "\n".join(parts).rstrip() + "\n"


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench live")
    parser.add_argument("--providers", default=",".join(NAMES), help="names with commas between them (default: all)")
    parser.add_argument("--journey", action="store_true", help="also buy once in a whole shop")
    parser.add_argument("--at", help="the address of a sandbox that stands in for all providers")
    parser.add_argument("--specs", type=Path, default=default_specs(), help="as for bench conformance")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="as for bench conformance")
    parser.add_argument("--report", type=Path, default=ROOT / "bench" / "results" / "live.md")
    return parser.parse_args(arguments)

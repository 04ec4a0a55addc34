"""Start a sandbox, drive it, and compare all that it says with the providers' own descriptions."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.conformance import (
    coverage,
    openapi,
    other_parameters,
    parameters,
    shippo_models,
    stripe_fixtures,
    stripe_types,
    tour_sendgrid,
    tour_shippo,
    tour_stripe,
    tour_twilio,
)
from bench.conformance.exchanges import PROVIDERS, Caller, Receiver, Record
from bench.conformance.findings import Findings
from bench.conformance.parameters import Result
from bench.conformance.reasons import unused
from bench.conformance.report import written
from bench.conformance.sandbox_process import CONTACTS, ROOT, callers, routes, running_sandbox
from bench.conformance.tours import Chapter, Trip
from launcher.screen import say
from sandbox.webhooks.events import KINDS

TOURS: Mapping[str, Sequence[Chapter]] = {
    "stripe": tour_stripe.CHAPTERS,
    "shippo": tour_shippo.CHAPTERS,
    "twilio": tour_twilio.CHAPTERS,
    "sendgrid": tour_sendgrid.CHAPTERS,
}
FIXTURES = "stripe-fixtures3.json"
# How long the last webhooks may take (seconds).
WEBHOOKS_TIMEOUT_S = 20
SHOWN_FINDINGS = 50
MISUSED = 2


def drive(calling: Mapping[str, Caller], trip: Trip) -> None:
    """Take the tours of all providers."""
    for provider, chapters in TOURS.items():
        trip.take(calling[provider], chapters)


def driven_sandbox(name: str, after: Callable[[str, Mapping[str, Caller]], None]) -> tuple[Record, Trip]:
    """Drive a sandbox of its own; return what was seen.

    Args:
        name: for what must be unique.
        after: called with the sandbox's URL and callers that record elsewhere, while the sandbox still runs.
    """
    record = Record()
    receiver = Receiver(record)
    try:
        with running_sandbox(receiver.url) as base:
            trip = Trip(name, base, CONTACTS)
            for provider in PROVIDERS:
                trip.control("PUT", f"/sandbox/webhooks/{provider}", {"events": ["*"]})
            drive(callers(base, record), trip)
            _await_webhooks(trip)
            for provider in PROVIDERS:
                trip.control("PUT", f"/sandbox/webhooks/{provider}", {"enabled": False})
            after(base, callers(base, Record()))
    finally:
        receiver.close()
    return record, trip


def _await_webhooks(trip: Trip) -> None:
    """Wait until what happens later has happened, and all of it was sent."""
    trip.control("POST", "/sandbox/clock", {"advance_seconds": 86400})
    until = time.monotonic() + WEBHOOKS_TIMEOUT_S
    for provider in PROVIDERS:
        while trip.control("GET", f"/sandbox/webhooks/{provider}")["counts"]["waiting"]:
            if time.monotonic() > until:
                trip.unexpected.append(f"{provider}: webhooks were not sent within {WEBHOOKS_TIMEOUT_S} s")
                return
            trip.control("POST", f"/sandbox/webhooks/{provider}/flush")


def main(arguments: Sequence[str]) -> int:
    """Run the bench; return its exit status."""
    options = _options(arguments)
    specs = options.specs
    if specs is not None and not specs.is_dir():
        print(f"There is no folder {specs}.", file=sys.stderr)
        return MISUSED
    began = time.monotonic()
    findings = Findings()
    try:
        tools = stripe_types.installed(options.cache)
    except stripe_types.NotHad as error:
        tools = None
        findings.not_checked += [f"Stripe's answers, events and parameters against its types: {error}"]

    results: dict[str, Result] = {}

    def send_parameters(base: str, calling: Mapping[str, Caller]) -> None:
        if tools is not None:
            results["stripe"] = parameters.check(calling["stripe"], parameters.documented(tools))
        results["shippo"] = other_parameters.check_shippo(calling["shippo"])
        for name in openapi.FILES:
            described = _description(specs, name)
            if described is None:
                continue
            if name == "twilio":
                result = other_parameters.check_twilio(
                    calling[name], described, CONTACTS["account"], CONTACTS["number"]
                )
            else:
                result = other_parameters.check_sendgrid(calling[name], described, tour_sendgrid.mail(CONTACTS))
            results[name] = result

    say("Driving a sandbox …")
    record, trip = driven_sandbox(f"t{secrets.token_hex(4)}", send_parameters)
    findings.add("requests of the tours", len(record.exchanges), trip.unexpected, "tour")
    known = routes()
    findings.add(
        "routes driven", sum(map(len, known.values())), coverage.missing_routes(known, record.exchanges), "route"
    )
    findings.add("kinds of events", sum(map(len, KINDS.values())), coverage.differing_events(KINDS, record), "event")
    compare(findings, record, specs, tools)
    for name, result in results.items():
        _note_parameters(findings, name, result)
    if not findings.not_checked:
        findings.differences += unused(findings.differences)
    text, left = written(findings, record, time.monotonic() - began)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(text)
    for what in findings.not_checked:
        say(f"not checked: {what}")
    for finding in left[:SHOWN_FINDINGS]:
        say(finding)
    say(f"{len(left)} findings; {options.report}")
    if findings.not_checked and options.strict:
        return 1
    return 1 if left else 0


def compare(findings: Findings, record: Record, specs: Path | None, tools: stripe_types.Tools | None) -> None:
    """Compare what was seen with the descriptions in `specs`, Stripe's types, and the models of Shippo's SDK."""
    for name in openapi.FILES:
        described = _description(specs, name)
        if described is None:
            findings.not_checked.append(f"{name}'s answers and parameters: there is no {openapi.FILES[name]}.")
            continue
        own = [each for each in record.exchanges if each.provider == name]
        count, differences, undescribed = openapi.check(described, own)
        findings.add(f"{name}: answers compared with its OpenAPI", count, differences, name)
        findings.undescribed += [f"{name}: {each}" for each in undescribed]
    own = [each for each in record.exchanges if each.provider == "shippo"]
    count, differences, extra = shippo_models.check(own, record.webhooks)
    findings.add("shippo: bodies compared with the SDK's models", count, [*differences, *extra], "shippo")
    bodies = list(stripe_types.bodies(record.exchanges, record.webhooks))
    fixtures = None if specs is None else specs / FIXTURES
    if fixtures is None or not fixtures.exists():
        findings.not_checked.append(f"Stripe's answers against its fixtures: there is no {FIXTURES}.")
    else:
        count, differences = stripe_fixtures.check(json.loads(fixtures.read_text())["resources"], bodies)
        findings.add("stripe: bodies compared with the fixtures", count, differences, "fixtures")
    if tools is not None:
        findings.add("stripe: bodies compiled with tsc", len(bodies), stripe_types.check(tools, bodies), "stripe")


def _note_parameters(findings: Findings, name: str, result: Result) -> None:
    differences = [
        *(f"{each} is unknown" for each in result.unknown),
        *(each if ": {" in each else f"{each} is refused" for each in result.values),
        *result.loose,
    ]
    findings.add(f"{name}: operations whose parameters were sent", result.operations, [], name)
    findings.add(f"{name}: parameters sent", len(result.known) + len(result.unknown), differences, name)


def _description(specs: Path | None, name: str) -> openapi.Description | None:
    path = None if specs is None else specs / openapi.FILES[name]
    return openapi.Description(path) if path is not None and path.exists() else None


def default_specs() -> Path | None:
    """Return the folder of the descriptions that PROVIDER_SPECS names, or None."""
    variable = os.environ.get("PROVIDER_SPECS")
    return Path(variable) if variable else None


def default_cache() -> Path:
    """Return where npm packages are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shop-bench-conformance"


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench conformance")
    parser.add_argument(
        "--specs",
        type=Path,
        default=default_specs(),
        help="the folder of the OpenAPI descriptions and fixtures (default: PROVIDER_SPECS)",
    )
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where npm packages are kept")
    report = ROOT / "bench" / "results" / "conformance.md"
    parser.add_argument("--report", type=Path, default=report, help="where the report is written")
    parser.add_argument("--strict", action="store_true", help="what cannot be checked is a finding")
    return parser.parse_args(arguments)

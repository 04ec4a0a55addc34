"""Requests made from the API's own description, against a whole shop: Schemathesis with all checks.

`./install_run_project bench schemathesis [--requests N] [--seed N]` starts a shop with an admin key, and sends at least
N requests (20 000) in rounds, each with the next seed. Exit status 1 if there is a finding: an answer 5xx, a status or
an answer outside the description, a body that does not fit and is accepted, an admin route without a key.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.abuse.target import Target, target
from launcher.problem import Problem
from launcher.screen import say

REQUESTS, SEED = 20_000, 1
# Test cases per operation and phase in one round.
CASES, CASES_SHORT = 40, 1
# A request of the longest verb ends before this (seconds).
REQUEST_TIMEOUT_S = 60
# A round's limit, far above its usual time (seconds).
ROUND_TIMEOUT_S = 3600
SHOWN_ON_FAILURE = 30_000  # characters

# Operations whose requests may be refused although they fit, for what JSON Schema cannot say: two fields that must be
# equal, an attribute that the product does not have, an amount that is too large together with others, a number with
# three decimals, a time that has passed, a telephone number or mail domain that does not exist, a currency that Stripe
# does not take, a place in a list or an order of it that does not exist, a method that was not offered, a signature, a
# cart that the shop did not issue; 1.0, which JSON Schema takes for an integer.
PARTLY_SAID = (
    *("/api/products/", "/api/products/{product_id}/", "/api/orders/", "/api/orders/{order_id}/refund/"),
    *("/api/products/{product_id}/skus/", "/api/products/{product_id}/skus/{sku}/", "/api/discounts/"),
    *("/api/cart/", "/api/cart/summary/", "/api/cart/discount/"),
    *("/api/cart/{product_id}/", "/api/cart/{product_id}/buy/"),
    *("/api/cart/checkout/", "/api/cart/shipping/", "/api/cart/paid/"),
    *("/api/shipments/", "/api/shipments/{shipment_id}/rates/{currency}/"),
    *("/api/notifications/email/", "/api/notifications/sms/", "/api/webhooks/{provider}/"),
)
# What may become of any request that fits: it is not there, the state forbids it, the provider refuses it.
ACCEPTED = ("2xx", "401", "402", "403", "404", "409", "422", "429")
# A request that does not fit may also be too large.
REJECTED = ("400", "401", "403", "404", "405", "409", "413", "414", "415", "422", "429", "431")
# How often a parameter is the id of something that exists.
KNOWN_SHARE = 0.7


@dataclass
class Outcome:
    """What the rounds found.

    Attributes:
        requests: how many were sent.
        findings: the report of each round that failed.
    """

    requests: int = 0
    findings: list[str] = field(default_factory=list)


def run(shop: Target, folder: Path, seed: int, requests: int, cases: int, show: Callable[[str], None]) -> Outcome:
    """Send at least `requests` requests to a shop, in rounds; stop after the first round with a finding.

    Args:
        folder: for the configuration.
        seed: of the first round.
        cases: per operation and phase in one round.

    Raises Problem when Schemathesis cannot run.
    """
    found = Outcome()
    while found.requests < requests and not found.findings:
        settings = folder / f"round-{seed}.toml"
        settings.write_text(_settings(asyncio.run(_existing(shop))), encoding="utf-8")
        done = _round(shop, settings, seed, cases)
        sent = re.search(r"^  (\d+) generated", done.stdout, re.MULTILINE)
        if sent is None or done.returncode not in (0, 1):
            raise Problem(f"Schemathesis ended with {done.returncode}.\n{done.stdout[-SHOWN_ON_FAILURE:]}{done.stderr}")
        found.requests += int(sent[1])
        if done.returncode:
            found.findings.append(f"Seed {seed}:\n{done.stdout[-SHOWN_ON_FAILURE:]}")
        show(f"seed {seed}: {sent[1]} requests, {found.requests} in all{', a finding' if done.returncode else ''}")
        seed += 1
    return found


def main(arguments: Sequence[str]) -> int:
    """Run the bench; return its exit status."""
    parser = argparse.ArgumentParser(prog="bench schemathesis", description="Requests made from /openapi.json.")
    parser.add_argument("--requests", type=int, default=REQUESTS, help="send at least this many (%(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="of the first round (%(default)s)")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="shop-schemathesis-") as folder, target(Path(folder)) as shop:
        found = run(shop, Path(folder), given.seed, given.requests, CASES, say)
    for finding in found.findings:
        say(finding)
    say(f"{found.requests} requests, {'a finding' if found.findings else 'no finding'}")
    return 1 if found.findings else 0


def _round(shop: Target, settings: Path, seed: int, cases: int) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("schemathesis"))
    options = {
        "--checks": "all",
        "--seed": str(seed),
        "--max-examples": str(cases),
        "--request-timeout": str(REQUEST_TIMEOUT_S),
        "--generation-database": "none",
        # They concern the generator: a body with many rules is rarely found by chance, and a busy machine is slow.
        "--suppress-health-check": "filter_too_much,too_slow,data_too_large",
        "--header": f"Authorization: Bearer {shop.admin_key}",
    }
    flat = [part for pair in options.items() for part in pair]
    return subprocess.run(
        [program, "--config-file", str(settings), "run", f"{shop.shop.url}/openapi.json", "--no-color", *flat],
        cwd=settings.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=ROUND_TIMEOUT_S,
    )


async def _existing(shop: Target) -> dict[str, str]:
    """A product, its SKU, a discount code, a paid order with its token and shipment, and its cart, by parameter."""
    product = await shop.product(pieces=10_000)
    cart, order = await shop.paid(product["id"])
    code, token = {"code": f"CODE-{uuid.uuid4().hex}", "percent_off": 10}, order["status_url"].partition("token=")[2]
    found = {
        **{"product_id": product["id"], "sku": product["skus"]["data"][0]["id"]},
        "code": (await shop.done("POST", "/api/discounts/", code, admin=True))["code"],
        **{"order_id": order["id"], "shipment_id": order["upstream_id"]},
    }
    known = {f"path.{name}": value for name, value in found.items()}
    return {**known, "query.token": token, "header.Order-Token": token, "header.Cart-Id": cart}


def _settings(existing: dict[str, str]) -> str:
    """Schemathesis' configuration: ids that exist, and the statuses that its checks accept."""
    lines = [
        "[checks.negative_data_rejection]",
        f"expected-statuses = {json.dumps(REJECTED)}",
        "[checks.positive_data_acceptance]",
        f"expected-statuses = {json.dumps(ACCEPTED)}",
        "[[operations]]",
        f"include-path = {json.dumps(PARTLY_SAID)}",
        "[operations.checks.positive_data_acceptance]",
        f"expected-statuses = {json.dumps((*ACCEPTED, '400'))}",
    ]
    for place, (name, value) in enumerate(existing.items()):
        lines += [f"[dictionaries.known{place}]", f"values = {json.dumps([value])}"]
        lines += [f'[parameters."{name}"]', f'dictionary = "known{place}"', f"probability = {KNOWN_SHARE}"]
    return "\n".join(lines) + "\n"

"""Requests made from the API's own description, against a whole shop: Schemathesis with all checks.

`./install_run_project bench schemathesis [--requests N] [--seed N]` starts a shop with an admin key, and sends at least N
requests (20 000) in rounds, each with the next seed. Exit status 1 if there is a finding: an answer 5xx, a status or an
answer outside of the description, a body that does not fit and is accepted, an admin route without a key.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.abuse.target import target
from launcher.problem import Problem
from launcher.screen import say

REQUESTS = 20_000
# Test cases per operation and phase in one round.
CASES, CASES_SHORT = 60, 4
# A request of the longest verb ends before this (seconds).
REQUEST_TIMEOUT_S = 60
# A round's limit, far above its usual time (seconds).
ROUND_TIMEOUT_S = 3600
SHOWN_ON_FAILURE = 20_000  # characters


@dataclass
class Outcome:
    """What the rounds found.

    Attributes:
        requests: how many were sent.
        findings: the report of each round that failed.
    """

    requests: int = 0
    findings: list[str] = field(default_factory=list)


def run(url: str, key: str, folder: Path, seed: int, requests: int, cases: int, show: Callable[[str], None]) -> Outcome:
    """Send at least `requests` requests to the shop at `url`, in rounds.

    Args:
        key: an admin key.
        folder: for the reports.
        seed: of the first round.
        cases: per operation and phase in one round.
    """
    found = Outcome()
    while found.requests < requests and not found.findings:
        sent, finding = _round(url, key, folder, seed, cases)
        if not sent:
            raise Problem(f"Schemathesis sent nothing.\n{finding}")
        found.requests += sent
        if finding:
            found.findings.append(f"Seed {seed}:\n{finding}")
        show(f"seed {seed}: {sent} requests, {found.requests} in all{', a finding' if finding else ''}")
        seed += 1
    return found

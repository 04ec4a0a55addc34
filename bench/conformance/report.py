"""The report of `bench conformance`, in Markdown."""

from __future__ import annotations

import platform
from collections import Counter

from bench.conformance.exchanges import PROVIDERS, Record
from bench.conformance.findings import Findings
from bench.conformance.reasons import sorted_out
from bench.conformance.stripe_types import API_VERSION, PACKAGES
from bench.rpc.machine import about

SHOWN_PER_REASON = 12


def written(findings: Findings, record: Record, took_s: float) -> tuple[str, list[str]]:
    """Return the report, and the differences that have no reason."""
    left, explained = sorted_out(findings.differences)
    count = sum(map(len, explained.values()))
    statuses = Counter((each.provider, "answers" if each.status < 400 else "errors") for each in record.exchanges)
    events = Counter(each.provider for each in record.webhooks)
    lines = [
        "# The sandbox against the providers' descriptions",
        "",
        f"Python {platform.python_version()}; commit {about('none', ())['commit']}; {took_s:.0f} s; "
        f"Stripe {API_VERSION} ({', '.join(PACKAGES)}).",
        "",
        f"**{len(left)} finding{'' if len(left) == 1 else 's'}**, and {count} differences that have a reason.",
        "",
        *(f"- {finding}" for finding in left),
        *([""] if left else []),
        "## What was compared",
        "",
        "| provider | answers | errors | events |",
        "|---|--:|--:|--:|",
        *(
            f"| {name} | {statuses[name, 'answers']} | {statuses[name, 'errors']} | {events[name]} |"
            for name in PROVIDERS
        ),
        "",
        "| comparison | number |",
        "|---|--:|",
        *(f"| {what} | {number} |" for what, number in findings.checked.items()),
        "",
        "## Not checked",
        "",
        *([f"- {what}" for what in findings.not_checked] or ["Everything was checked."]),
        "",
        "Nor can these be checked, because the description has no body for the status:",
        "",
        *(f"- {what}" for what in findings.undescribed),
        "",
        "## Differences that stay",
        "",
    ]
    for why, differences in explained.items():
        lines += [f"### {why}", "", f"{len(differences)} differences.", ""]
        lines += [f"- {_short(difference)}" for difference in differences[:SHOWN_PER_REASON]]
        more = len(differences) - SHOWN_PER_REASON
        lines += [f"- and {more} more"] * (more > 0) + [""]
    return "\n".join(lines).rstrip() + "\n", left


def _short(difference: str) -> str:
    return f"`{difference.split(' [')[0][:110]}`"

"""The report of `bench abuse` as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bench.abuse import answers
from bench.abuse.cost import LIMIT_MS, Costs
from bench.abuse.fuzz import Fuzzed
from bench.abuse.strangers import GOAL, Strangers, quantile

MAX_LISTED = 60


@dataclass
class Outcome:
    """The result of each part; None for a part that did not run."""

    seed: int
    rows: list[answers.Result] | None = None
    fuzzed: Fuzzed | None = None
    costs: Costs | None = None
    strangers: Strangers | None = None
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def findings(self) -> list[str]:
        """Return every finding, one line each."""
        found = [f"{result.row}: {result.finding}" for result in self.rows or () if result.finding]
        for part in (self.fuzzed, self.costs, self.strangers):
            found += part.findings if part else []
        return found


def markdown(outcome: Outcome) -> str:
    """Return the whole page."""
    return "\n".join(_lines(outcome)) + "\n"


def _lines(outcome: Outcome) -> Iterator[str]:
    about, findings = outcome.about, outcome.findings
    yield "# The shop under abuse"
    yield ""
    if about:
        yield (
            f"{about['cores']} cores of {about['processor']}, {about['system']}, load {about['load_before']} before;"
            f" Python {about['python']}; commit {about['commit']}; seed {outcome.seed}."
        )
        yield ""
    yield f"**{len(findings) or 'No'} finding{'' if len(findings) == 1 else 's'}.**"
    yield ""
    for finding in findings[:MAX_LISTED]:
        yield f"- {_one_line(finding)}"
    if findings:
        yield ""
    if outcome.rows is not None:
        yield "## Right answers"
        yield ""
        for result in outcome.rows:
            yield f"- {'**wrong**' if result.finding else 'right'}: {result.row}"
        yield ""
    if outcome.fuzzed:
        yield from _fuzzed(outcome.fuzzed)
    if outcome.costs:
        yield from _costs(outcome.costs)
    if outcome.strangers:
        yield from _strangers(outcome.strangers)


def _fuzzed(found: Fuzzed) -> Iterator[str]:
    yield "## Fuzzed requests"
    yield ""
    statuses = ", ".join(f"{count} times {status or 'closed'}" for status, count in sorted(found.statuses.items()))
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(found.kinds.items()))
    yield f"{found.requests} requests in {found.seconds:.0f} s: {statuses}. Of these kinds: {kinds}."
    warm, end = found.memory_mb
    yield f"Memory of the gateway's workers: {warm} MB after a tenth of them, {end} MB at the end."
    for what, count in found.counted.most_common(MAX_LISTED):
        yield f"- {count} times {what}"
    yield ""


def _costs(found: Costs) -> Iterator[str]:
    yield "## CPU per request"
    yield ""
    yield f"The most expensive request of each route, of {found.requests} (at most {LIMIT_MS:g} ms are allowed):"
    yield ""
    yield "| route | part | ms | what was sent | answer |"
    yield "|---|---|---:|---|---:|"
    for part, table in (("gateway", found.worst), ("services", found.services)):
        for route, (spent, kind, status) in sorted(table.items(), key=lambda each: -each[1][0]):
            yield f"| `{route}` | {part} | {spent:.1f} | {kind} | {status or 'none'} |"
    yield ""


def _strangers(found: Strangers) -> Iterator[str]:
    yield "## Slow strangers"
    yield ""
    wanted = "" if found.heads == found.wanted_heads else f" ({found.wanted_heads} were wanted: limit of open files)"
    yield (
        f"{found.bodies} half bodies and {found.heads} half heads{wanted} from one address, while shoppers from other"
        " addresses browse, buy, check out and pay:"
    )
    yield ""
    yield "| others | p50 of POSTs, ms | p99 of POSTs, ms | POSTs | p99 of GETs, ms | failed |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name, leg in (("idle", found.idle), ("attacked", found.attacked)):
        yield (
            f"| {name} | {quantile(leg.posts, 0.5):.1f} | {quantile(leg.posts, 0.99):.1f} | {len(leg.posts)}"
            f" | {quantile(leg.gets, 0.99):.1f} | {sum(leg.failed.values())} |"
        )
    yield ""
    yield f"The p99 of POSTs under attack is {found.ratio:.2f} times that of idle (at most {GOAL:g} are allowed)."
    for attack in found.attacks:
        ends = "; ".join(
            f"{kind}: {', '.join(f'{count} times {end}' for end, count in sorted(counted.items()))}"
            for kind, counted in attack["ends"].items()
        )
        yield f"Attackers' connections, {attack['most_open']} open at most: {ends}; slowest: {attack['slowest']} s."
    yield ""


def _one_line(text: str) -> str:
    return " ".join(text.split())[:600]

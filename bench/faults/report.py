"""The result of a run, for people and for programs."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from bench.faults.chaos import Outcome
from bench.faults.journal import WALKED_AWAY
from bench.faults.settling import BARS, GLANCE, quantiles, share_within

MAX_SHOWN = 50  # violations in the page; all of them are in the JSON


def verdict(outcome: Outcome) -> str:
    """Return the result in one line."""
    settled = outcome.settled
    bars = ", ".join(f"{settled.within(seconds):.1f} % within {seconds:g} s" for _, seconds in BARS)
    return (
        f"{outcome.journal.placed} checkouts, {sum(outcome.killed.values())} kills,"
        f" {sum(outcome.troubles.values())} provider troubles: {len(outcome.violations)} violations;"
        f" of {len(settled.times)} interrupted orders settled after the last fault: {bars}."
    )


def document(outcome: Outcome, about: dict[str, Any]) -> dict[str, Any]:
    """Return everything as plain JSON."""
    plan, journal, settled = outcome.plan, outcome.journal, outcome.settled
    return {
        "about": about,
        "plan": {
            "seed": plan.seed,
            "checkouts": plan.checkouts,
            "shoppers": plan.shoppers,
            "mean_gap_s": plan.mean_gap,
            "squall_s": plan.squall,
            "broker_restarts": plan.restarts,
        },
        "checkouts": journal.placed,
        "seconds": round(outcome.seconds, 1),
        "checkouts_per_second": round(outcome.rate, 2),
        "cpu_seconds_of_the_shoppers": round(outcome.cpu, 1),
        "orders": dict(sorted(outcome.orders.items())),
        "afterwards": outcome.afterwards,
        "killed": dict(sorted(outcome.killed.items())),
        "troubles": dict(sorted(outcome.troubles.items())),
        "answers": {
            "definitive": len(journal.sights),
            "after_a_repetition": sum(1 for sight in journal.sights if sight.tries > 1),
            "replayed": sum(1 for sight in journal.sights if sight.replayed),
            "passing_trouble": dict(sorted(journal.heard.items())),
            "walked_away": sum(1 for lost in journal.lost if lost.why == WALKED_AWAY),
            "never_learned": dict(
                Counter(f"{lost.what}: {lost.why[:60]}" for lost in journal.lost if lost.why != WALKED_AWAY)
            ),
        },
        "settling": {
            "lulls": outcome.lulls,
            "interrupted_orders": len(settled.times),
            "seconds": {name: _plain(value) for name, value in quantiles(settled.times).items()},
            "within": {f"{seconds:g} s": round(settled.within(seconds), 2) for _, seconds in BARS},
            "longer_than_a_glance": {
                "orders": len(settled.lasted),
                **{f"{seconds:g} s": round(share_within(settled.lasted, seconds), 2) for _, seconds in BARS},
            },
            "slow": [[since, _plain(took), order_id, what] for since, took, order_id, what in settled.slow],
            "not_settled": settled.late,
            "done_last": {
                what: {"orders": len(times), **quantiles(times)} for what, times in sorted(settled.lasting.items())
            },
        },
        "outages": {
            name: {"times": len(times), "slowest_s": _plain(round(max(times), 1))}
            for name, times in sorted(outcome.outages.items())
        },
        "timeline": outcome.timeline,
        "restarted_by_themselves": outcome.strangers,
        "violations": [[each.rule, each.order, each.detail] for each in outcome.violations],
    }


def markdown(outcome: Outcome, about: dict[str, Any]) -> str:
    """Return the page."""
    facts = document(outcome, about)
    settling, answers = facts["settling"], facts["answers"]
    how = "restarted, by `kill -9` and by SIGTERM in turn" if outcome.plan.restarts else "killed with `kill -9`"
    lines = [
        f"# The shop under faults: {about['database']}",
        "",
        f"{about['cores']} cores of {about['processor']}, {about['system']}, load {about['load_before']} before;"
        f" {about['broker']}, Python {about['python']}; commit {about['commit']}; {about['copies']} of each service.",
        "",
        f"Seed {facts['plan']['seed']}, {facts['plan']['shoppers']} shoppers at a time, an event about every"
        f" {facts['plan']['mean_gap_s']:g} s.",
        "",
        f"**{verdict(outcome)}**",
        "",
        "| what | how many |",
        "|---|---|",
        f"| checkouts | {facts['checkouts']} in {facts['seconds']:.0f} s, {facts['checkouts_per_second']} a second |",
        f"| orders at the end | {_counts(facts['orders'])} |",
        f"| went wrong after a provider had said yes | {_counts(facts['afterwards'])} |",
        f"| {how} | {_counts(facts['killed'])} |",
        f"| troubles of providers | {_counts(facts['troubles'])} |",
        f"| troubles below the shop, and the slowest settling after each | {_outages(facts['outages'])} |",
        f"| definitive answers | {answers['definitive']}, of them {answers['after_a_repetition']} only after a"
        f" repetition, {answers['replayed']} given again |",
        f"| passing trouble that shoppers met | {_counts(answers['passing_trouble'])} |",
        f"| payments from which the shopper walked away | {answers['walked_away']} |",
        f"| requests that were not answered for good within three minutes | {_counts(answers['never_learned'])} |",
        f"| orders on their way when the last fault struck, over {settling['lulls']} lulls |"
        f" {settling['interrupted_orders']} |",
        f"| seconds from the last fault until they were settled | {_counts(settling['seconds'])} |",
        f"| of those that were still open after {GLANCE:g} s | {_glance(settling['longer_than_a_glance'])} |",
        f"| by what was done last (orders; 95 % of them within) | {_lasting(settling['done_last'])} |",
        f"| violations | {len(outcome.violations)} |",
        "",
    ]
    lines += [f"- not settled in time: {order_id}: {what}" for order_id, what in outcome.settled.late.items()]
    lines += [f"- not settled in time after {name}: {took:.1f} s" for name, took in outcome.slow_outages.items()]
    lines += [f"- not settled in time: {order_id}: {what}" for order_id, what in outcome.after_outages.late.items()]
    if not outcome.proven:
        lines.append(f"- nothing was measured: {outcome.lulls} lulls, and no order that was interrupted")
    lines += [f"- another process than before: {part}" for part in outcome.strangers]
    lines += [f"- {violation}" for violation in outcome.violations[:MAX_SHOWN]]
    return "\n".join(lines).rstrip() + "\n"


def _counts(counts: dict[str, Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def _outages(outages: dict[str, dict[str, Any]]) -> str:
    return ", ".join(f"{name} {each['times']}: {each['slowest_s']} s" for name, each in outages.items()) or "none"


def _plain(value: float) -> float | str:
    return "never" if math.isinf(value) else value


def _glance(open_still: dict[str, float]) -> str:
    return ", ".join(
        f"{value:g} % within {name}" if name != "orders" else f"{value}" for name, value in open_still.items()
    )


def _lasting(done_last: dict[str, dict[str, float]]) -> str:
    return ", ".join(f"{what} {one['orders']}; {one['p95']:g} s" for what, one in done_last.items())

"""The result, for people and for programs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.rpc.sides import Side


@dataclass
class Leg:
    """One side at one number of connections, and its measurement in each round.

    Attributes:
        peer: the peer's leg in the same rounds, if those were separate from the rounds of all the others.
    """

    side: Side
    connections: int
    runs: list[dict[str, Any]] = field(default_factory=list)
    peer: Leg | None = None

    @property
    def rate(self) -> float:
        """Return the requests per second, the median of the rounds."""
        rates: list[float] = [run["rate"] for run in self.runs]
        return statistics.median(rates)

    @property
    def errors(self) -> dict[str, int]:
        """Return error -> how often, over all rounds."""
        total: dict[str, int] = {}
        for run in self.runs:
            for what, count in run["errors"].items():
                total[what] = total.get(what, 0) + count
        return total


def machine_line(about: dict[str, Any]) -> str:
    """Return one line about the measurement's environment."""
    versions = " ".join(f"{name} {version}" for name, version in about["versions"].items())
    return (
        f"{about['cores']} cores of {about['processor']}, {about['system']}, load {about['load_before']} before;"
        f" {about['broker']}, Python {about['python']}, {versions}; commit {about['commit']};"
        f" web processes {about['web_processes']}, service processes {about['service_processes']} on either side;"
        f" {about['rounds']} rounds of {about['seconds']:g} s."
    )


def markdown(legs: Sequence[Leg], about: dict[str, Any], peer: str, at: int, goal: float) -> str:
    """Return the table, and whether the goal is met."""
    lines = [
        "# One RPC behind HTTP: the shop compared with FastAPI/uvicorn and FastStream",
        "",
        machine_line(about),
        "",
        "| connections | side | requests/s (median) | rounds | p50 ms | p99 ms | times the peer | errors |",
        "|---:|---|---:|---|---:|---:|---:|---:|",
    ]
    lines += [_line(leg, leg.peer or _peer(legs, peer, leg.connections)) for leg in legs]
    ours = next(leg for leg in legs if leg.connections == at)
    ratio = ours.rate / _peer(legs, peer, at).rate
    verdict = "reached" if ratio >= goal else "NOT reached"
    lines += ["", f"At {at} connections: {ratio:.2f} times the peer; the goal of {goal} is {verdict}."]
    others = [
        leg for leg in legs if leg.connections == at and leg.side.name != peer and leg.side.port != ours.side.port
    ]
    if others:
        best = max(others, key=lambda leg: leg.rate)
        lines.append(
            f"FastStream's RPC lets one call at a time through a connection; {ours.rate / best.rate:.2f} times the best"
            " of the two ways around that, which its users would have to build themselves."
        )
    return "\n".join(lines)


def document(legs: Sequence[Leg], about: dict[str, Any]) -> dict[str, Any]:
    """Return everything measured, as plain JSON."""
    return {
        "about": about,
        "legs": [
            {"side": leg.side.name, "connections": leg.connections, "median": leg.rate, "runs": leg.runs}
            for leg in legs
        ],
    }


def _peer(legs: Sequence[Leg], peer: str, connections: int) -> Leg:
    return next(leg for leg in legs if leg.side.name == peer and leg.connections == connections)


def _line(leg: Leg, peer: Leg) -> str:
    middle = sorted(leg.runs, key=lambda run: run["rate"])[len(leg.runs) // 2]
    rounds = " ".join(f"{run['rate']:.0f}" for run in leg.runs)
    return (
        f"| {leg.connections} | {leg.side.name} | {leg.rate:.0f} | {rounds} | {middle['p50_ms']} | {middle['p99_ms']}"
        f" | {leg.rate / peer.rate:.2f} | {sum(leg.errors.values())} |"
    )

"""The comparison: both sides alternately, round after round, on the same machine and broker; medians and their
ratio."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench.rpc import machine, real_service, sides, table
from bench.rpc.sides import HOST, Processes, Side
from bench.rpc.table import Leg
from launcher import screen
from launcher.place import ROOT, environment
from launcher.problem import Problem

GOAL = 2.5
AT = 16  # the number of connections for which the goal is defined
ROUNDS = 5
RESULTS = Path(__file__).resolve().parent.parent / "results"
REQUEST = "FastAPI + FastStream"
PEERS = {"request": REQUEST}
MORE_PEERS = {"pool": "… its RPC over 16 connections", "replies": "… futures and a reply queue by hand"}
REAL = "the shop, real products service"


def main(arguments: Sequence[str]) -> int:
    """Measure and print; return 1 when the measurement failed or an answer was wrong, else 0."""
    options = _options(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="shop-bench-") as folder:
            legs, about = _measured(options, Path(folder))
    except Problem as problem:
        screen.errors.print(f"{problem.detail}\n{problem}".strip(), markup=False)
        return 1
    text = table.markdown(legs, about, REQUEST, AT, GOAL)
    print(f"\n{text}")
    failed = {f"{leg.side.name} at {leg.connections}": leg.errors for leg in legs if leg.errors}
    if failed:
        print(f"Not a measurement, since answers were wrong: {failed}", file=sys.stderr)
        return 1
    if options.save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "rpc.md").write_text(f"{text}\n", encoding="utf-8")
        (RESULTS / "rpc.json").write_text(f"{json.dumps(table.document(legs, about), indent=1)}\n", encoding="utf-8")
        print(f"\nWritten to {(RESULTS / 'rpc.md').relative_to(ROOT)} and .json.")
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./install_run_project bench rpc",
        description="A GET that makes one RPC: the shop compared with FastAPI/uvicorn with FastStream's RabbitMQ RPC,"
        " one web and one service process each, in turn on the same machine and broker (AMQP_URI, else a private one).",
    )
    parser.add_argument("--short", action="store_true", help=f"only {AT} connections, only the two sides, short legs")
    parser.add_argument("--web", type=int, default=1, metavar="N", help="web processes on either side (1)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"rounds, each of all legs ({ROUNDS})")
    parser.add_argument("--seconds", type=float, metavar="S", help="of each leg (3; 1.5 with --short)")
    parser.add_argument("--save", action="store_true", help="write the result to bench/results/ as well")
    return parser.parse_args(arguments)


def _measured(options: argparse.Namespace, folder: Path) -> tuple[list[Leg], dict[str, Any]]:
    env = environment()
    seconds = options.seconds or (1.5 if options.short else 3.0)
    processes = Processes(folder)
    with sides.broker(folder, env) as uri:
        about = machine.about(sides.broker_version(uri))
        about.update(rounds=options.rounds, seconds=seconds, web_processes=options.web, service_processes=1)
        print(table.machine_line(about))
        try:
            ours = sides.start_ours(processes, env, uri, options.web)
            calls = PEERS if options.short else {**PEERS, **MORE_PEERS}
            peer, *more = sides.start_peers(processes, env, uri, options.web, calls)
            for side in (ours, peer, *more):
                processes.until(partial(sides.answers, side), side.name)
            _same_answer(ours, peer)
            levels = (AT,) if options.short else (AT, 1, 64)
            legs = [Leg(side, connections) for connections in levels for side in (ours, peer)]
            legs += [Leg(side, AT) for side in more]
            _rounds(legs, options.rounds, seconds)
            if not options.short:
                real = real_service.put_in_place(processes, env, uri, ours, REAL)
                pair = [Leg(real, AT), Leg(peer, AT)]
                _rounds(pair, options.rounds, seconds)
                pair[0].peer = pair[1]
                legs.append(pair[0])
        finally:
            processes.stop()
    return legs, about


def _same_answer(ours: Side, peer: Side) -> None:
    if json.loads(sides.body(ours)) != json.loads(sides.body(peer)) or len(sides.body(ours)) != len(sides.body(peer)):
        raise Problem("The two sides do not answer the same.")


def _rounds(legs: Sequence[Leg], rounds: int, seconds: float) -> None:
    for number in range(1, rounds + 1):
        # The order is reversed in every other round, so that no side always follows the same predecessor.
        for leg in legs if number % 2 else list(reversed(legs)):
            run = _load(leg, warm_up=min(1.0, seconds / 3), seconds=seconds)
            leg.runs.append(run)
            wrong = f"  errors: {run['errors']}" if run["errors"] else ""
            print(
                f"round {number}/{rounds}  {leg.connections:>3} connections  {leg.side.name:<36}"
                f" {run['rate']:>7.0f} requests/s{wrong}",
                flush=True,
            )


def _load(leg: Leg, warm_up: float, seconds: float) -> dict[str, Any]:
    numbers = (leg.side.port, leg.side.path, leg.connections, warm_up, seconds)
    command = [sys.executable, "-m", "bench.rpc.load", HOST, *map(str, numbers)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=warm_up + seconds + 60)
    if done.returncode != 0:
        raise Problem(f"The load on {leg.side.name} failed.", done.stderr[-1500:])
    counted: dict[str, Any] = json.loads(done.stdout)
    return counted

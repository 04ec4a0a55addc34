"""The shop's own processes as supervisord programs."""

from __future__ import annotations

import math

from launcher.place import SERVICES, Place
from launcher.runtime_dir import RuntimeDir
from launcher.supervision import Program

# A payment may take PAY_TIMEOUT (30 s), and requests in progress when the shop stops are finished first. A service
# gives up 3 s after that, and so do the gateway's workers.
TIMEOUTS = {"RPC_TIMEOUT": 10, "CHECKOUT_TIMEOUT": 20, "PAY_TIMEOUT": 30}
DRAIN, GATEWAY_DRAIN = 5, 10
# The start order, after the broker (10, 20); the stop order is the reverse, with the gateway first.
SANDBOX_ORDER, SERVICE_ORDER, CART_ORDER, GATEWAY_ORDER = 30, 40, 50, 60
# Seconds: a program that fails during this time is retried with a growing pause, not at once. It is no longer than a
# start takes, because a program that is killed repeatedly is at work by then and must be restarted at once.
STEADY = 2


def shop_programs(runtime: RuntimeDir, place: Place) -> list[Program]:
    """Return the sandbox (when it is needed), services and gateway of one copy."""
    python = f"{runtime.python}"
    longest = max(_seconds(place.env.get(name), usual) for name, usual in TIMEOUTS.items())
    programs = []
    if place.own_sandbox:
        programs.append(Program("sandbox", [python, "-m", "sandbox"], order=SANDBOX_ORDER))
    for service in SERVICES:
        nameko = [python, f"{runtime.python.parent}/nameko", "run", "--config", "config.yml", f"{service}.service"]
        programs.append(
            Program(
                service,
                [python, "-m", "launcher.after_broker", *nameko],
                order=CART_ORDER if service == "cart" else SERVICE_ORDER,
                stop_wait=longest + DRAIN,
                steady=STEADY,
                copies=place.copies[service],
                group=None if service == "cart" else "services",
            )
        )
    programs.append(
        Program(
            "gateway",
            [python, "-m", "gateway"],
            order=GATEWAY_ORDER,
            stop_wait=longest + GATEWAY_DRAIN + _seconds(place.env.get("GATEWAY_LEAVE_SECONDS"), 0),
            steady=STEADY,
        )
    )
    return programs


def _seconds(text: str | None, usual: int) -> int:
    try:
        return math.ceil(float(text or usual))
    except (ValueError, OverflowError):
        return usual  # the program that reads it will report the error

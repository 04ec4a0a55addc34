"""How many Stripe reads per second the sandbox answers, alone on this machine.

`./install_run_project bench sandbox-reads [seconds]` starts a separate sandbox on a free port, reads one product and
one payment intent over 16 keep-alive connections, and prints requests per second and the 99th percentile of the
latency. Exit status 1 below 500 requests per second.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp

CONNECTIONS = 16
LEAST = 500
KEY = {"Authorization": "Bearer sk_sandbox"}


async def measure(session: aiohttp.ClientSession, url: str, seconds: float) -> tuple[float, float]:
    """Read `url` for `seconds` over all connections; return requests per second and the 99th percentile in ms."""
    took: list[float] = []
    end = time.perf_counter() + seconds

    async def reader() -> None:
        while (began := time.perf_counter()) < end:
            async with session.get(url) as answer:
                await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"{url} answered {answer.status}")
            took.append(time.perf_counter() - began)

    started = time.perf_counter()
    await asyncio.gather(*(reader() for _ in range(CONNECTIONS)))
    return len(took) / (time.perf_counter() - started), sorted(took)[int(len(took) * 0.99)] * 1000


async def run(base: str, seconds: float) -> float:
    """Measure both reads; return the lower rate."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(connector=connector, headers=KEY, timeout=timeout) as session:
        paths = []
        for path, form in (("products", {"name": "Wally"}), ("payment_intents", {"amount": "446", "currency": "usd"})):
            async with session.post(f"{base}/stripe/v1/{path}", data=form) as answer:
                paths.append(f"/v1/{path}/{(await answer.json())['id']}")
        rates = []
        for path in paths:
            rate, slowest = await measure(session, f"{base}/stripe{path}", seconds)
            print(f"GET {path.rsplit('/', 1)[0]}/{{id}}: {rate:.0f} requests/s, 99% within {slowest:.1f} ms")
            rates.append(rate)
    return min(rates)


def main(arguments: Sequence[str]) -> int:
    """Start a sandbox, measure each read for the seconds in `arguments` (5), and stop it; return the exit status."""
    seconds = float(arguments[0]) if arguments else 5.0
    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "SANDBOX_HOST": "127.0.0.1", "SANDBOX_PORT": "0", "VAR_DIR": folder}
        environment["WEBHOOK_URL"] = "http://127.0.0.1:9"  # no shop receives them here
        sandbox = subprocess.Popen(
            [sys.executable, "-m", "sandbox"], cwd=root, env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            assert sandbox.stdout is not None
            base = sandbox.stdout.readline().split()[-1]
            rate = asyncio.run(run(base, seconds))
        finally:
            sandbox.terminate()
            sandbox.wait(timeout=10)
    print(f"{'enough' if rate >= LEAST else 'too slow'}: at least {LEAST} requests/s are wanted")
    return 0 if rate >= LEAST else 1

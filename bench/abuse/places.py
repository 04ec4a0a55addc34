"""S4, S5, S8, S16: starts that must be refused, who may use the broker, and who may read the shop's files."""

from __future__ import annotations

import asyncio
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import amqp
import requests
from kombu.utils.url import parse_url

from bench.abuse.answers import expect, limited, require, row
from bench.abuse.target import Target, secret
from launcher.place import ROOT
from launcher.ports import free_port

START_WAIT_S = 60.0
LONGEST_REFUSAL = 400  # characters: one sentence
# Formatted like real keys, and assembled here so that no file contains one.
STRIPE_LIVE = {"STRIPE_API_KEY": "_".join(("sk", "live", "x" * 24))}
SHIPPO_LIVE = {"SHIPPO_API_KEY": "_".join(("shippo", "live", "x" * 24))}
TWILIO_LIVE = {"TWILIO_ACCOUNT_SID": "AC" + "1" * 32, "TWILIO_AUTH_TOKEN": "x" * 32}
SENDGRID_LIVE = {"SENDGRID_API_KEY": ".".join(("SG", "x" * 22, "x" * 43))}
KEYS = "ADMIN_API_KEYS"
CARTS_PER_HOUR = 60  # per address, while rate limits are on
MAKER, OTHER_MAKER = "127.0.0.44", "127.0.0.45"


@row("S4", "real labels, SMS or mail for sandbox money: the start is refused")
async def half_live(target: Target) -> None:
    for live in (SHIPPO_LIVE, TWILIO_LIVE, SENDGRID_LIVE, {**SHIPPO_LIVE, **TWILIO_LIVE, **SENDGRID_LIVE}):
        await _refused(target, {**live, KEYS: secret()}, f"{', '.join(live)} without Stripe's key")
    await _starts(
        target, {**SHIPPO_LIVE, KEYS: secret(), "ALLOW_SANDBOX_PAYMENTS": "true"}, "with ALLOW_SANDBOX_PAYMENTS"
    )


@row("S8", "a live provider without admin keys, or with weak ones: refused")
async def weak_keys(target: Target) -> None:
    good = secret()
    for title, keys in (
        ("no key", ""),
        ("one letter", "a"),
        ("23 letters", good[:23]),
        ("not ASCII", "ключ" * 8),
        ("one good and one weak", f"{good},short"),
        ("a hash that is none", "sha256:" + "x" * 64),
        ("a short hash", "sha256:abc"),
    ):
        await _refused(target, {**STRIPE_LIVE, KEYS: keys}, title)
    hashed = "sha256:" + "0123456789abcdef" * 4
    for title, keys in (("a hashed key", hashed), ("a good key and a hashed one", f"{good},{hashed}")):
        await _starts(target, {**STRIPE_LIVE, KEYS: keys}, title)


@row("S7", "one address gets so many new carts an hour, another address its own")
async def carts_per_address(target: Target) -> None:
    def until_ready() -> tuple[Any, int, int | None, str]:
        gateway = _gateway(target, {KEYS: target.admin_key, "RATE_LIMITS": "true"})
        return gateway, *gateway.__enter__()

    gateway, port, status, said = await asyncio.to_thread(until_ready)
    try:
        require(status is None, f"no gateway with limits: {said[-300:]}")
        limiting = replace(target, port=port)
        for number in range(CARTS_PER_HOUR + 1):
            answer = await limiting.ask("POST", "/api/cart/", source=MAKER)
            if number < CARTS_PER_HOUR:
                expect(answer, 201, 503, what=f"cart {number + 1}")
        limited(answer, f"cart {CARTS_PER_HOUR + 1}")
        expect(await limiting.ask("POST", "/api/cart/", source=OTHER_MAKER), 201, what="another address")
        expect(await limiting.ask("GET", "/health/ready/", source=MAKER), 200, 503, what="health")
    finally:
        await asyncio.to_thread(gateway.__exit__, None, None, None)


@row("S5", "nobody enters the private broker as guest")
async def guest(target: Target) -> None:
    parts = parse_url(target.shop.amqp_uri)
    require(parts["userid"] != "guest" and parts["password"] != "guest", "the shop itself is guest")
    for user, password in (("guest", "guest"), (parts["userid"], "guest"), (parts["userid"], "")):
        require(not await asyncio.to_thread(_enters, parts, user, password), f"{user} entered with a known password")


@row("S16", "nobody else can read the files of VAR_DIR")
async def closed_files(target: Target) -> None:
    var_dir = target.shop.place.var_dir
    mode = stat.S_IMODE(var_dir.stat().st_mode)
    require(not mode & 0o077, f"VAR_DIR has mode {mode:o}")
    for file in sorted(var_dir.rglob("*.db")):
        mode = stat.S_IMODE(file.stat().st_mode)
        require(not mode & 0o077, f"{file.relative_to(var_dir)} has mode {mode:o}")


async def _refused(target: Target, extra: dict[str, str], what: str) -> None:
    status, said = await asyncio.to_thread(_start, target, extra)
    require(status not in (None, 0), f"{what}: the gateway started")
    require("Traceback" not in said and 0 < len(said) <= LONGEST_REFUSAL, f"{what}: it said {said[-600:]!r}")


async def _starts(target: Target, extra: dict[str, str], what: str) -> None:
    status, said = await asyncio.to_thread(_start, target, extra)
    require(status is None, f"{what}: the start was refused: {said[-600:]!r}")


def _start(target: Target, extra: dict[str, str]) -> tuple[int | None, str]:
    """Return the exit status and output of a gateway with these settings; None when it serves. It is stopped
    afterwards."""
    with _gateway(target, extra) as (_, status, said):
        return status, said


@contextmanager
def _gateway(target: Target, extra: dict[str, str]) -> Iterator[tuple[int, int | None, str]]:
    """Run another gateway of the shop: its port, and its exit status and output; None when it serves."""
    port = free_port()
    env = {**target.shop.process_env(target.shop.amqp_uri), "GATEWAY_PORT": str(port), "GATEWAY_WORKERS": "1", **extra}
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway"],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        until = time.monotonic() + START_WAIT_S
        while process.poll() is None and not _serves(port) and time.monotonic() < until:
            time.sleep(0.05)
        if process.poll() is None:
            yield port, None if _serves(port) else -1, "nothing within a minute"
        else:
            yield port, process.returncode, process.communicate(timeout=5)[1].decode(errors="replace")
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stderr:
            process.stderr.close()


def _serves(port: int) -> bool:
    with suppress(requests.RequestException):
        return requests.get(f"http://127.0.0.1:{port}/health/live/", timeout=2).status_code == 200
    return False


def _enters(parts: dict[str, object], user: str, password: str) -> bool:
    try:
        with amqp.Connection(
            host=f"{parts['hostname']}:{parts['port']}",
            userid=user,
            password=password,
            virtual_host=str(parts["virtual_host"] or "/"),
            connect_timeout=5,
            read_timeout=5,
            write_timeout=5,
        ):
            return True
    except (amqp.AMQPError, OSError):
        return False

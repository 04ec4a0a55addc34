"""README.md tells the truth of its commands: the chapters that need the launcher, on a shop of their own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from launcher import readiness
from launcher.place import Place
from launcher.ports import free_port
from launcher.shop import Shop
from tests.e2e.journeys.likeness import Likeness
from tests.e2e.journeys.readme import README, ROOT, SHOP, STORY, TOLD, for_shop, run, steps
from tests.integration.launcher.conftest import LEFT_OUT, surroundings

pytestmark = pytest.mark.timeout(900)

OPERATIONS, LIVE = "Operations", "Going live"
TEXT = README.read_text(encoding="utf-8")
OPERATED = [step for step in steps(TEXT) if step.chapter == OPERATIONS]
TIMEOUT = 600  # seconds for the story and all commands; a tenth of that on an idle machine


@dataclass
class Reader:
    """Somebody with a fresh copy of the repository, who has started its shop.

    Attributes:
        home: the copy.
        env: their environment: free ports.
        shop: the running shop.
    """

    home: Path
    env: dict[str, str]
    shop: Shop


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    home = tmp_path_factory.mktemp("reader") / "micro services"
    shutil.copytree(ROOT, home, ignore=LEFT_OUT)
    (home / ".venv").symlink_to(ROOT / ".venv")
    env = surroundings("var")
    shop = Shop(Place.from_env({**env, "VAR_DIR": str(home / "var")}))
    try:
        started = subprocess.run(
            [home / "install_run_project", "--detach"], env=env, capture_output=True, text=True, timeout=400
        )
        assert started.returncode == 0, started.stdout + started.stderr
        assert f"The shop is ready at {shop.place.gateway_url}. Three requests to try:" in started.stdout
        yield Reader(home, env, shop)
    finally:
        subprocess.run([home / "install_run_project", "stop"], env=env, capture_output=True, timeout=240)


@contextlib.contextmanager
def _gateway_with_keys(reader: Reader, *keys: str) -> Iterator[str]:
    """One more gateway of the same shop, for those with a key; its URL."""
    port = free_port()
    env = {**reader.env, "AMQP_URI": reader.shop.amqp_uri, "GATEWAY_PORT": str(port), "ADMIN_API_KEYS": ",".join(keys)}
    log = (reader.home / "var" / "second-gateway.log").open("wb")
    command = [sys.executable, "-m", "gateway"]
    with log, subprocess.Popen(command, cwd=reader.home, env=env, stdout=log, stderr=log) as gateway:
        try:
            for _ in range(240):
                ready = f"http://127.0.0.1:{port}/health/ready/"
                if all(readiness.answers(ready) for _ in range(readiness.IN_A_ROW)):
                    break
                assert gateway.poll() is None, Path(log.name).read_text()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    gateway.wait(0.25)
            yield f"http://127.0.0.1:{port}"
        finally:
            gateway.terminate()
            try:
                gateway.wait(20)
            finally:
                gateway.kill()


def test_an_admin_route_needs_a_key_once_there_is_one(reader: Reader) -> None:
    with _gateway_with_keys(reader, "open-sesame-and-nobody-else") as url:
        text = for_shop(TEXT, url, reader.shop.sandbox_url)
        todo = [step for step in steps(text) if step.chapter == LIVE]
        assert len(todo) == 3
        setup = next(step for step in steps(text) if step.chapter == STORY)
        assert f"SHOP={url}" in setup.command
        likeness = Likeness()
        for step, output in zip(todo, run([setup, *todo], reader.home, os.environ, 200)[1:], strict=True):
            likeness.check(step.kind, step.answer, output)


def test_a_real_key_without_an_admin_key_starts_no_gateway(reader: Reader) -> None:
    env = {**reader.env, "AMQP_URI": reader.shop.amqp_uri, "GATEWAY_PORT": str(free_port()), "STRIPE_API_KEY": "none"}
    refused = subprocess.run(
        [sys.executable, "-m", "gateway"], cwd=reader.home, env=env, capture_output=True, text=True, timeout=60
    )
    assert refused.returncode != 0
    assert "ADMIN_API_KEYS" in refused.stderr


# The last one, for it stops the shop.
def test_the_operators_commands_answer_as_shown(reader: Reader) -> None:
    text = for_shop(TEXT, reader.shop.url, reader.shop.sandbox_url)
    todo = [step for step in steps(text) if step.chapter in (*TOLD, OPERATIONS)]
    assert [step.line for step in todo if step.chapter == OPERATIONS] == [step.line for step in OPERATED]
    said = run(todo, reader.home, reader.env, TIMEOUT)
    likeness = Likeness()
    for step, output in zip(todo, said, strict=True):
        likeness.check(step.kind, step.answer, output)
    assert not readiness.answers(f"{reader.shop.url}/health/live/")
    assert SHOP not in text

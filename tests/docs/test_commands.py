"""The commands of the operating pages run as printed, on a shop of their own."""

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
import requests

from launcher import readiness
from launcher.place import Place
from launcher.ports import free_port
from launcher.shop import Shop
from tests.e2e.journeys.likeness import Likeness
from tests.e2e.journeys.pages import OPERATING, ROOT, SETUP, Step, for_shop, pages, read, run, steps, story
from tests.integration.launcher.conftest import LEFT_OUT, surroundings

pytestmark = pytest.mark.timeout(900)

LIVE = f"{OPERATING}going-live.md"
# The commands of this page stop the shop, so the page runs last.
INSTALL = f"{OPERATING}install.md"
PRINTED = [page for page in pages() if page.startswith(OPERATING) and story(page)]
OPERATED = [*(page for page in PRINTED if page not in (LIVE, INSTALL)), INSTALL]
PAGE_TIMEOUT_S = 300  # an idle machine needs a tenth of it


@dataclass
class Reader:
    """A reader who copied the repository and started its shop.

    Attributes:
        home: the copy of the repository.
        env: the environment, with free ports.
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
        assert f"The shop is ready at {shop.place.gateway_url}. Open it in a browser." in started.stdout
        assert f"What the providers receive is shown at {shop.sandbox_url}," in started.stdout
        yield Reader(home, env, shop)
    finally:
        subprocess.run([home / "install_run_project", "stop"], env=env, capture_output=True, timeout=240)


@contextlib.contextmanager
def _gateway_with_keys(reader: Reader, *keys: str) -> Iterator[str]:
    """Start another gateway of the same shop that requires an admin key, and give its URL."""
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


def _check(todo: list[Step], home: Path, env: dict[str, str]) -> None:
    likeness = Likeness()
    for step, output in zip(todo, run(todo, home, env, PAGE_TIMEOUT_S), strict=True):
        try:
            likeness.check(step.kind, step.answer, output)
        except AssertionError as unlike:
            raise AssertionError(f"{step.title}\n{unlike}") from None


def test_admin_route_needs_a_key(reader: Reader) -> None:
    with _gateway_with_keys(reader, "open-sesame-and-nobody-else") as url:
        variables, todo = steps(read(SETUP), SETUP)[0], steps(read(LIVE), LIVE)
        assert len(todo) == 3
        assert {int(step.answer.split()[1]) for step in todo} == {200, 401, 403}
        todo = for_shop([variables, *todo], url, reader.shop.sandbox_url)
        assert f"SHOP={url}" in todo[0].command
        _check(todo, reader.home, dict(os.environ))


def test_real_key_without_an_admin_key_starts_no_gateway(reader: Reader) -> None:
    env = {**reader.env, "AMQP_URI": reader.shop.amqp_uri, "GATEWAY_PORT": str(free_port()), "STRIPE_API_KEY": "none"}
    refused = subprocess.run(
        [sys.executable, "-m", "gateway"], cwd=reader.home, env=env, capture_output=True, text=True, timeout=60
    )
    assert refused.returncode != 0
    assert "ADMIN_API_KEYS" in refused.stderr


@pytest.mark.parametrize("page", OPERATED)
def test_commands_answer_as_shown(reader: Reader, page: str) -> None:
    for product in requests.get(f"{reader.shop.url}/api/products/", timeout=20).json()["data"]:
        assert requests.delete(f"{reader.shop.url}/api/products/{product['id']}/", timeout=20).ok
    _check(for_shop(story(page), reader.shop.url, reader.shop.sandbox_url), reader.home, reader.env)
    assert readiness.answers(f"{reader.shop.url}/health/live/") == (page != INSTALL)

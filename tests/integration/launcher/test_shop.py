"""The one command on a whole shop, in a path with a space: reuse, shell, logs, losses, a second copy, Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from launcher import processes, readiness
from launcher.place import Place
from launcher.runtime_dir import RuntimeDir, copy_id
from launcher.shop import Shop
from tests.integration.launcher.conftest import Run, surroundings

pytestmark = pytest.mark.timeout(600)


def _shop(checkout: Path, env: Mapping[str, str]) -> Shop:
    return Shop(Place.from_env({**env, "VAR_DIR": str(checkout / env["VAR_DIR"])}))


def _lacking(shop: Shop) -> list[str]:
    status, body = readiness.ask(f"{shop.url}/health/ready/", timeout=5)
    return [] if status == 200 else readiness.missing(body) or ["gateway"]


def _until(condition: Callable[[], object], what: str, timeout: float = 90) -> None:
    """A part that is asked how it is has two seconds to say so, which may be too little on a busy machine, once."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come to pass"
        time.sleep(0.2)


def _until_lacking(shop: Shop, part: str) -> None:
    _until(lambda: part in _lacking(shop), f"that the gateway misses {part}")


def test_status_names_every_process(run: Run, standing: dict[str, str], checkout: Path) -> None:
    _shop(checkout, standing).wait_ready()
    done = run("status", env=standing)
    assert done.returncode == 0, done.stdout
    names = {line.split()[0] for line in done.stdout.splitlines()[:-1]}
    assert names == {
        *("epmd", "rabbitmq", "sandbox", "products", "shipping", "notifications", "cart-1", "cart-2", "gateway")
    }
    assert done.stdout.splitlines()[-1] == f"The shop is ready at http://127.0.0.1:{standing['GATEWAY_PORT']}."


def test_started_again_it_is_the_one_that_stands(run: Run, standing: dict[str, str], checkout: Path) -> None:
    before = _shop(checkout, standing).pids("gateway")
    done = run("--detach", env=standing)
    assert done.returncode == 0
    assert done.stdout == f"The shop is running already, at http://127.0.0.1:{standing['GATEWAY_PORT']}.\n"
    assert _shop(checkout, standing).pids("gateway") == before


def test_the_shell_reads_a_script_and_needs_no_ports(run: Run, standing: dict[str, str], checkout: Path) -> None:
    env = {name: value for name, value in standing.items() if not name.endswith("_PORT")}
    script = (
        "for service in ('products', 'cart'):\n    print(getattr(n.rpc, service).health())\nn.rpc.products.list()\n"
    )
    done = run("shell", env=env, stdin=script)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["{'status': 'ok', 'database': 'ok'}"] * 2
    assert lines[2].startswith("{'")
    assert _shop(checkout, standing).amqp_uri not in done.stdout + done.stderr
    assert run("shell", env=env, stdin="n.rpc.products.get('prod_none')\n").returncode != 0


def test_plain_nameko_shell_works_with_the_uri_of_status(run: Run, standing: dict[str, str], checkout: Path) -> None:
    uri = run("status", "--uri", env=standing).stdout.strip()
    assert uri == _shop(checkout, standing).amqp_uri
    assert run("status", "--all", env=standing).returncode == 2
    done = subprocess.run(
        [checkout / ".venv" / "bin" / "nameko", "shell", "--config", "config.yml"],
        cwd=checkout,
        env={**standing, "AMQP_URI": uri},
        input="print(n.rpc.shipping.health())\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "{'status': 'ok', 'database': 'ok'}" in done.stdout, done.stderr


def test_logs_are_kept_part_by_part(run: Run, standing: dict[str, str]) -> None:
    assert '"/health/ready/"' in run("logs", "gateway", env=standing).stdout
    everything = run("logs", env=standing).stdout
    assert "==> cart-1\n" in everything
    assert "==> rabbitmq\n" in everything
    assert "There are logs of cart" in run("logs", "nobody", env=standing).stderr


def test_the_record_is_for_its_owner_alone(standing: dict[str, str], checkout: Path) -> None:
    assert (checkout / "var" / "shop.json").stat().st_mode & 0o777 == 0o600


def test_a_killed_service_comes_back_by_itself(standing: dict[str, str], checkout: Path) -> None:
    shop = _shop(checkout, standing)
    before = shop.pids("shipping")
    assert shop.kill("shipping") == before
    _until(lambda: set(shop.pids("shipping")) - set(before), "another process")
    shop.wait_ready()


def test_a_service_that_is_kept_down_is_missed_by_name(run: Run, standing: dict[str, str], checkout: Path) -> None:
    shop = _shop(checkout, standing)
    shop.halt("shipping")
    _until(lambda: _lacking(shop) == ["shipping"], "that shipping is missed")
    done = run("status", env=standing)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "The shop is not ready: shipping is missing."
    shop.resume("shipping")
    shop.wait_ready()


def test_one_of_two_carts_is_enough(standing: dict[str, str], checkout: Path) -> None:
    shop = _shop(checkout, standing)
    first = shop.supervisor.parts("cart")[0]
    name = f"{first['group']}:{first['name']}"
    shop.supervisor.ask("stopProcess", name)
    try:
        _until(lambda: _lacking(shop) == [], "readiness")
    finally:
        shop.supervisor.ask("startProcess", name)


def test_a_broker_that_went_and_came_needs_nobody(standing: dict[str, str], checkout: Path) -> None:
    shop = _shop(checkout, standing)
    gateway = shop.pids("gateway")
    shop.halt("rabbitmq")
    _until_lacking(shop, "broker")
    shop.resume("rabbitmq")
    shop.wait_ready()
    assert shop.pids("gateway") == gateway


def test_a_port_in_use_is_one_sentence_and_starts_nothing(run: Run, tmp_path: Path) -> None:
    env = surroundings(tmp_path)
    for name in ("GATEWAY_PORT", "SANDBOX_PORT"):
        with socket.create_server(("127.0.0.1", int(env[name]))):
            done = run("--detach", env=env)
        assert done.returncode == 1
        assert done.stderr == (
            f"Port {env[name]} is in use by another program; stop that, or set {name} to a free port.\n"
        )
        assert processes.marked(copy_id(tmp_path.resolve())) == []


def test_a_broker_that_does_not_answer_is_one_sentence(run: Run, tmp_path: Path) -> None:
    env = surroundings(tmp_path)
    env["AMQP_URI"] = f"amqp://user:word@127.0.0.1:{env['SANDBOX_PORT']}//"
    done = run("--detach", env=env)
    assert done.returncode == 1
    assert done.stderr == (
        f"The broker of AMQP_URI at 127.0.0.1:{env['SANDBOX_PORT']} cannot be used: connection refused.\n"
    )


def test_a_directory_that_cannot_be_written_is_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("--detach", env=surroundings(tmp_path / "file" / "var"))
    assert done.returncode == 1
    assert done.stderr == f"VAR_DIR {tmp_path}/file/var cannot be written: Not a directory.\n"


def test_a_start_that_is_not_safe_is_refused_before_anything_runs(run: Run, tmp_path: Path) -> None:
    done = run("--detach", env=surroundings(tmp_path, SHIPPO_API_KEY="not-a-key", GATEWAY_HOST="0.0.0.0"))
    assert done.returncode == 1
    assert [line.split(",")[0] for line in done.stderr.splitlines()] == [
        "ADMIN_API_KEYS must be set",
        "STRIPE_API_KEY must be set",
    ]
    assert processes.marked(copy_id(tmp_path.resolve())) == []
    assert "not-a-key" not in done.stdout + done.stderr


def test_an_open_directory_is_closed_to_other_users(standing: dict[str, str], checkout: Path, tmp_path: Path) -> None:
    for folder in (checkout / "var", checkout / "var" / "rabbitmq"):
        files = [path for path in (folder, *folder.rglob("*")) if not path.is_symlink()]
        assert [path for path in files if path.stat().st_mode & 0o077] == []
    tmp_path.chmod(0o755)
    runtime = RuntimeDir(tmp_path)
    runtime.prepare()
    runtime.remove()
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_an_unknown_command_shows_the_known_ones(run: Run, tmp_path: Path) -> None:
    done = run("sotp", env=surroundings(tmp_path))
    assert done.returncode == 2
    assert "There is no command 'sotp'" in done.stderr
    assert "--detach" in done.stderr


def test_a_part_that_does_not_start_is_named_and_nothing_is_left(
    run: Run, standing: dict[str, str], checkout: Path, tmp_path: Path
) -> None:
    env = surroundings(tmp_path, AMQP_URI=_shop(checkout, standing).amqp_uri, SANDBOX_PUBLIC_URL="nowhere")
    done = run("--detach", env=env)
    assert done.returncode == 1
    assert "SANDBOX_PUBLIC_URL must begin with" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("sandbox does not stay up")
    assert processes.marked(copy_id(tmp_path.resolve())) == []


def test_a_second_copy_runs_beside_it_until_ctrl_c(
    run: Run, standing: dict[str, str], checkout: Path, tmp_path: Path
) -> None:
    env = surroundings(tmp_path)
    copy = copy_id(tmp_path.resolve())
    out = tmp_path / "out"
    with out.open("w") as file:
        foreground = subprocess.Popen([checkout / "install_run_project"], env=env, stdout=file, stderr=file, cwd="/")
    try:
        deadline = time.monotonic() + 200
        while "Ctrl-C stops the shop." not in out.read_text():
            assert foreground.poll() is None, out.read_text()
            assert time.monotonic() < deadline, out.read_text()
            time.sleep(0.3)
        assert f"ready at http://127.0.0.1:{env['GATEWAY_PORT']}" in out.read_text()
        _until(lambda: readiness.answers(f"http://127.0.0.1:{env['GATEWAY_PORT']}/health/ready/"), "readiness")
        assert processes.marked(copy)
        foreground.send_signal(signal.SIGINT)
        assert foreground.wait(200) == 0
    finally:
        foreground.kill()
        foreground.wait(10)
        with contextlib.suppress(TimeoutError):
            processes.kill(copy)
    assert "Stopped." in out.read_text()
    _until(lambda: _lacking(_shop(checkout, standing)) == [], "readiness")


def test_stopped_it_leaves_no_process_and_no_record(run: Run, standing: dict[str, str], checkout: Path) -> None:
    shop = _shop(checkout, standing)
    assert shop.running
    assert run("stop", env=standing).stdout == "The shop was stopped.\n"
    assert processes.marked(shop.runtime.id) == []
    assert not (checkout / "var" / "shop.json").exists()
    assert not shop.runtime.path.exists()
    assert run("stop", env=standing).stdout == "The shop was not running.\n"
    assert run("status", env=standing).returncode == 1

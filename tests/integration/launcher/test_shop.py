"""`./install_run_project` on a whole shop at a path with a space: reuse, shell, logs, failures, a copy, Ctrl-C."""

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


def _missing_parts(shop: Shop) -> list[str]:
    status, body = readiness.ask(f"{shop.url}/health/ready/", timeout=5)
    return [] if status == 200 else readiness.missing(body) or ["gateway"]


def _until(condition: Callable[[], object], what: str, timeout: float = 90) -> None:
    """Wait until `condition` holds. One health check may time out on a busy machine, so it is repeated."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"timed out: {what}"
        time.sleep(0.2)


def _until_missing(shop: Shop, part: str) -> None:
    _until(lambda: part in _missing_parts(shop), f"the gateway reports {part} as missing")


def test_status_names_every_process(run: Run, shop_env: dict[str, str], checkout: Path) -> None:
    _shop(checkout, shop_env).wait_ready()
    done = run("status", env=shop_env)
    assert done.returncode == 0, done.stdout
    names = {line.split()[0] for line in done.stdout.splitlines()[:-1]}
    assert names == {
        *("epmd", "rabbitmq", "sandbox", "products", "shipping", "notifications", "cart-1", "cart-2", "gateway")
    }
    assert done.stdout.splitlines()[-1] == f"The shop is ready at http://127.0.0.1:{shop_env['GATEWAY_PORT']}."


def test_second_start_keeps_the_running_shop(run: Run, shop_env: dict[str, str], checkout: Path) -> None:
    before = _shop(checkout, shop_env).pids("gateway")
    done = run("--detach", env=shop_env)
    assert done.returncode == 0
    assert done.stdout == f"The shop is running already, at http://127.0.0.1:{shop_env['GATEWAY_PORT']}.\n"
    assert _shop(checkout, shop_env).pids("gateway") == before


def test_the_shell_reads_a_script_and_needs_no_ports(run: Run, shop_env: dict[str, str], checkout: Path) -> None:
    env = {name: value for name, value in shop_env.items() if not name.endswith("_PORT")}
    script = (
        "for service in ('products', 'cart'):\n    print(getattr(n.rpc, service).health())\nn.rpc.products.list()\n"
    )
    done = run("shell", env=env, stdin=script)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["{'status': 'ok', 'database': 'ok'}"] * 2
    assert lines[2].startswith("{'")
    assert _shop(checkout, shop_env).amqp_uri not in done.stdout + done.stderr
    assert run("shell", env=env, stdin="n.rpc.products.get('prod_none')\n").returncode != 0


def test_plain_nameko_shell_works_with_the_uri_of_status(run: Run, shop_env: dict[str, str], checkout: Path) -> None:
    uri = run("status", "--uri", env=shop_env).stdout.strip()
    assert uri == _shop(checkout, shop_env).amqp_uri
    assert run("status", "--all", env=shop_env).returncode == 2
    done = subprocess.run(
        [checkout / ".venv" / "bin" / "nameko", "shell", "--config", "config.yml"],
        cwd=checkout,
        env={**shop_env, "AMQP_URI": uri},
        input="print(n.rpc.shipping.health())\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "{'status': 'ok', 'database': 'ok'}" in done.stdout, done.stderr


def test_each_part_has_its_own_log(run: Run, shop_env: dict[str, str]) -> None:
    assert '"/health/ready/"' in run("logs", "gateway", env=shop_env).stdout
    everything = run("logs", env=shop_env).stdout
    assert "==> cart-1\n" in everything
    assert "==> rabbitmq\n" in everything
    assert "There are logs of cart" in run("logs", "nobody", env=shop_env).stderr


def test_only_the_owner_can_read_the_record(shop_env: dict[str, str], checkout: Path) -> None:
    assert (checkout / "var" / "shop.json").stat().st_mode & 0o777 == 0o600


def test_killed_service_is_restarted(shop_env: dict[str, str], checkout: Path) -> None:
    shop = _shop(checkout, shop_env)
    before = shop.pids("shipping")
    assert shop.kill("shipping") == before
    _until(lambda: set(shop.pids("shipping")) - set(before), "shipping has another process")
    shop.wait_ready()


def test_status_names_a_stopped_service(run: Run, shop_env: dict[str, str], checkout: Path) -> None:
    shop = _shop(checkout, shop_env)
    shop.halt("shipping")
    _until(lambda: _missing_parts(shop) == ["shipping"], "the gateway reports shipping as missing")
    done = run("status", env=shop_env)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "The shop is not ready: shipping is missing."
    shop.resume("shipping")
    shop.wait_ready()


def test_one_of_two_carts_keeps_the_shop_ready(shop_env: dict[str, str], checkout: Path) -> None:
    shop = _shop(checkout, shop_env)
    first = shop.supervisor.parts("cart")[0]
    name = f"{first['group']}:{first['name']}"
    shop.supervisor.ask("stopProcess", name)
    try:
        _until(lambda: _missing_parts(shop) == [], "readiness")
    finally:
        shop.supervisor.ask("startProcess", name)


def test_gateway_survives_a_broker_restart(shop_env: dict[str, str], checkout: Path) -> None:
    shop = _shop(checkout, shop_env)
    gateway = shop.pids("gateway")
    shop.halt("rabbitmq")
    _until_missing(shop, "broker")
    shop.resume("rabbitmq")
    shop.wait_ready()
    assert shop.pids("gateway") == gateway


def test_port_in_use_prints_one_sentence_and_starts_nothing(run: Run, tmp_path: Path) -> None:
    env = surroundings(tmp_path)
    for name in ("GATEWAY_PORT", "SANDBOX_PORT"):
        with socket.create_server(("127.0.0.1", int(env[name]))):
            done = run("--detach", env=env)
        assert done.returncode == 1
        assert done.stderr == (
            f"Port {env[name]} is in use by another program; stop that, or set {name} to a free port.\n"
        )
        assert processes.marked(copy_id(tmp_path.resolve())) == []


def test_unreachable_broker_prints_one_sentence(run: Run, tmp_path: Path) -> None:
    env = surroundings(tmp_path)
    env["AMQP_URI"] = f"amqp://user:word@127.0.0.1:{env['SANDBOX_PORT']}//"
    done = run("--detach", env=env)
    assert done.returncode == 1
    assert done.stderr == (
        f"The broker of AMQP_URI at 127.0.0.1:{env['SANDBOX_PORT']} cannot be used: connection refused.\n"
    )


def test_unwritable_directory_prints_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("--detach", env=surroundings(tmp_path / "file" / "var"))
    assert done.returncode == 1
    assert done.stderr == f"VAR_DIR {tmp_path}/file/var cannot be written: Not a directory.\n"


def test_unsafe_settings_are_refused_before_anything_runs(run: Run, tmp_path: Path) -> None:
    done = run("--detach", env=surroundings(tmp_path, SHIPPO_API_KEY="not-a-key", GATEWAY_HOST="0.0.0.0"))
    assert done.returncode == 1
    assert [line.split(",")[0] for line in done.stderr.splitlines()] == [
        "ADMIN_API_KEYS must be set",
        "STRIPE_API_KEY must be set",
    ]
    assert processes.marked(copy_id(tmp_path.resolve())) == []
    assert "not-a-key" not in done.stdout + done.stderr


def test_an_open_directory_is_closed_to_other_users(shop_env: dict[str, str], checkout: Path, tmp_path: Path) -> None:
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


def test_failed_start_names_the_part_and_leaves_no_process(
    run: Run, shop_env: dict[str, str], checkout: Path, tmp_path: Path
) -> None:
    env = surroundings(tmp_path, AMQP_URI=_shop(checkout, shop_env).amqp_uri, WEBHOOK_URL="nowhere")
    done = run("--detach", env=env)
    assert done.returncode == 1
    assert "WEBHOOK_URL must begin with" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("sandbox does not stay up")
    assert processes.marked(copy_id(tmp_path.resolve())) == []


def test_second_copy_runs_in_parallel_until_ctrl_c(
    run: Run, shop_env: dict[str, str], checkout: Path, tmp_path: Path
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
    _until(lambda: _missing_parts(_shop(checkout, shop_env)) == [], "readiness")


def test_stop_leaves_no_process_and_no_record(run: Run, shop_env: dict[str, str], checkout: Path) -> None:
    shop = _shop(checkout, shop_env)
    assert shop.running
    assert run("stop", env=shop_env).stdout == "The shop was stopped.\n"
    assert processes.marked(shop.runtime.id) == []
    assert not (checkout / "var" / "shop.json").exists()
    assert not shop.runtime.path.exists()
    assert run("stop", env=shop_env).stdout == "The shop was not running.\n"
    assert run("status", env=shop_env).returncode == 1

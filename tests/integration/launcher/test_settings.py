"""The launcher's settings from its environment, and the configuration that it writes for supervisord."""

from __future__ import annotations

import configparser
import itertools
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from launcher import ports, programs, rabbitmq, readiness, supervision
from launcher.place import ROOT, Place, environment
from launcher.problem import Problem
from launcher.runtime_dir import RuntimeDir
from launcher.shop import Shop, without_keys

# Built at run time, because no file may contain a string that looks like a key.
KEYS = {name: f"not-a-key-{name}" for name in ("STRIPE_API_KEY", "SHIPPO_API_KEY", "SENDGRID_API_KEY")}
TWILIO = {"TWILIO_ACCOUNT_SID": "not-an-account", "TWILIO_AUTH_TOKEN": "not-a-token"}


def test_documented_defaults_hold_without_variables() -> None:
    place = Place.from_env({})
    assert (place.gateway_port, place.sandbox_port, place.var_dir) == (8000, 8100, ROOT / "var")
    assert place.gateway_url == "http://127.0.0.1:8000"
    assert place.own_sandbox
    assert set(place.copies.values()) == {1}


@pytest.mark.parametrize(
    ("name", "value"),
    [("GATEWAY_PORT", "0"), ("GATEWAY_PORT", "80 00"), ("SANDBOX_PORT", "65536"), ("CART_COPIES", "x")],
)
def test_invalid_number_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(Problem, match=name):
        Place.from_env({name: value})


def test_the_gateway_and_the_sandbox_cannot_share_a_port() -> None:
    with pytest.raises(Problem, match="must differ"):
        Place.from_env({"GATEWAY_PORT": "8100"})


def test_the_sandbox_is_started_until_every_provider_has_a_key() -> None:
    assert Place.from_env(KEYS).own_sandbox
    assert not Place.from_env({**KEYS, **TWILIO}).own_sandbox
    assert not Place.from_env({"SANDBOX_URL": "http://127.0.0.1:9999"}).own_sandbox


def test_a_gateway_for_every_address_is_reached_over_loopback() -> None:
    assert Place.from_env({"GATEWAY_HOST": "0.0.0.0"}).gateway_url == "http://127.0.0.1:8000"


def test_the_environment_wins_over_the_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GATEWAY_PORT=1111\nVAR_DIR='a b'\n# a remark\nRPC_TIMEOUT=\nMAIL_FROM=a$b\n")
    env = environment(tmp_path, {"GATEWAY_PORT": "2222"})
    assert env == {"GATEWAY_PORT": "2222", "VAR_DIR": "a b", "MAIL_FROM": "a$b"}


def test_test_shop_inherits_no_key_and_no_broker() -> None:
    given = {**KEYS, **TWILIO, "AMQP_URI": "x", "DATABASE_URL": "x", "SHOP_URL": "x", "CART_COPIES": "3", "LANG": "C"}
    assert without_keys(given) == {"LANG": "C"}


def test_keys_are_neither_shown_nor_written(tmp_path: Path) -> None:
    place = Place.from_env({**KEYS, "VAR_DIR": str(tmp_path), "AMQP_URI": "amqp://u:secret@127.0.0.1//"})
    runtime = RuntimeDir(place.var_dir)
    text = supervision.configuration(runtime, programs.shop_programs(runtime, place))
    for secret in (*KEYS.values(), "secret"):
        assert secret not in text
        assert secret not in repr(place)


def _sections(var_dir: Path, env: dict[str, str]) -> configparser.RawConfigParser:
    place = Place.from_env({"VAR_DIR": str(var_dir), **env})
    runtime = RuntimeDir(place.var_dir, root=var_dir / "the checkout")
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(supervision.configuration(runtime, programs.shop_programs(runtime, place)))
    return parser


def test_configuration_contains_no_user_path(tmp_path: Path) -> None:
    parser = _sections(tmp_path / "100% a;b #c", {})
    for section in parser.sections():
        for value in parser[section].values():
            assert "100%" not in value
            assert "the checkout" not in value


def test_leave_seconds_extend_the_gateway_stop_timeout(tmp_path: Path) -> None:
    default, extended = (
        int(_sections(tmp_path, env)["program:gateway"]["stopwaitsecs"])
        for env in ({}, {"GATEWAY_LEAVE_SECONDS": "20"})
    )
    assert extended == default + 20


def test_supervisor_socket_path_stays_short(tmp_path: Path) -> None:
    runtime = RuntimeDir(tmp_path / ("long" * 60))
    # supervisord first binds this path with its process id as a suffix. macOS allows 103 bytes.
    assert len(f"{runtime.supervisor_socket}.4194304".encode()) < 103


def test_copies_have_their_own_names_and_logs(tmp_path: Path) -> None:
    parser = _sections(tmp_path, {"CART_COPIES": "3"})
    assert parser["program:cart"]["numprocs"] == "3"
    assert parser["program:cart"]["process_name"] == "%(program_name)s-%(process_num)d"
    assert parser["program:cart"]["stdout_logfile"].endswith("/logs/%(program_name)s-%(process_num)d.log")
    assert parser["program:products"]["process_name"] == "%(program_name)s"


def test_the_gateway_stops_first_and_the_sandbox_last(tmp_path: Path) -> None:
    parser = _sections(tmp_path, {})
    order = {name: int(parser[f"program:{name}"]["priority"]) for name in ("sandbox", "products", "cart", "gateway")}
    assert sorted(order, key=lambda name: order[name]) == ["sandbox", "products", "cart", "gateway"]
    assert parser["group:services"]["programs"] == "products,shipping,notifications"


def test_stop_timeouts_let_a_payment_finish(tmp_path: Path) -> None:
    parser = _sections(tmp_path, {})
    for name in ("gateway", "cart", "products", "shipping", "notifications"):
        assert int(parser[f"program:{name}"]["stopwaitsecs"]) > 30


def test_a_port_that_listens_is_not_free() -> None:
    with socket.socket() as taken:
        port = ports.free_port()
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert not ports.is_free(port)
        assert ports.preferred_or_free(port) != port
    assert ports.is_free(port)
    assert ports.preferred_or_free(port) == port
    assert ports.preferred_or_free(port, avoid={port}) != port


def test_reserved_port_stays_reserved_while_its_process_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the reservation, two shops that start together could choose the same free port."""
    program = "import sys; from launcher.ports import free_port; print(free_port(), flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, text=True, **pipes) as other:  # type: ignore[call-overload]
        theirs, ours = int(other.stdout.readline()), ports.free_port()
        assert ports.is_free(theirs)
        assert ports.preferred_or_free(theirs) != theirs
        drawn = itertools.chain([theirs, ours], iter(lambda: random.randrange(10000, 32000), None))
        monkeypatch.setattr(ports.random, "choice", lambda _range: next(drawn))
        assert ports.free_port() not in (theirs, ours)
        other.stdin.close()
    assert ports.preferred_or_free(theirs) == theirs


def test_invalid_port_is_replaced() -> None:
    assert not ports.is_free(65536)
    assert ports.preferred_or_free(65536 + 20000) in ports.FREE_RANGE


def test_port_in_the_outgoing_range_is_replaced() -> None:
    """During a broker restart, an outgoing connection could take such a port."""
    assert ports.preferred_or_free(32768 + 4242) in ports.FREE_RANGE


def test_broker_avoids_the_ports_of_its_shop(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([20001, 20002, 20003, 20001, 20002, 20003, 20004, 20005])
    monkeypatch.setattr(ports.random, "choice", lambda _range: next(drawn))
    monkeypatch.setattr(ports, "is_free", lambda _port: True)
    monkeypatch.setattr(ports, "_draw", lambda _port: True)
    assert rabbitmq.NodePorts.choose(20001, avoid=(20001, 20002)) == rabbitmq.NodePorts(20003, 20004, 20005)


def test_missing_parts_are_read_from_the_gateway_answer() -> None:
    parts = {
        "broker": {"status": "ok"},
        "cart": {"status": "ok", "database": "unavailable"},
        "products": {"status": "unavailable", "database": "unknown"},
    }
    assert readiness.missing({"parts": parts}) == ["cart", "products"]
    assert readiness.missing(None) == []
    assert readiness.missing({"parts": {"broker": {"status": "ok"}}}) == []


def test_cart_id_secret_outlives_a_restart(tmp_path: Path) -> None:
    first, again = (Shop(Place.from_env({"VAR_DIR": str(tmp_path)})).process_env("amqp://") for _ in range(2))
    assert first["CART_ID_SECRET"] == again["CART_ID_SECRET"]
    assert len(first["CART_ID_SECRET"]) == 64
    [secret_file] = [path for path in tmp_path.iterdir() if path.is_file()]
    assert secret_file.stat().st_mode & 0o777 == 0o600
    given = {"VAR_DIR": str(tmp_path), "CART_ID_SECRET": "given"}
    assert Shop(Place.from_env(given)).process_env("amqp://")["CART_ID_SECRET"] == "given"
    assert without_keys({"CART_ID_SECRET": "given", "CART_ID_REQUIRED": "true"}) == {}


def test_gateway_url_is_the_default_public_and_webhook_url(tmp_path: Path) -> None:
    env = {"VAR_DIR": str(tmp_path), "GATEWAY_PORT": "8123", "GATEWAY_HOST": "0.0.0.0"}
    service_env = Shop(Place.from_env(env)).process_env("amqp://")
    assert (service_env["PUBLIC_URL"], service_env["WEBHOOK_URL"]) == ("http://127.0.0.1:8123", "http://127.0.0.1:8123")
    own = {"PUBLIC_URL": "https://shop.example", "WEBHOOK_URL": "http://127.0.0.1:9"}
    service_env = Shop(Place.from_env({**env, **own})).process_env("amqp://")
    assert {name: service_env[name] for name in own} == own
    assert without_keys(own) == {}

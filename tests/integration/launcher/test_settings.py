"""What the launcher makes of its environment, and what it writes for supervisord."""

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

# Put together here: no file may hold what looks like a key.
KEYS = {name: f"not-a-key-{name}" for name in ("STRIPE_API_KEY", "SHIPPO_API_KEY", "SENDGRID_API_KEY")}
TWILIO = {"TWILIO_ACCOUNT_SID": "not-an-account", "TWILIO_AUTH_TOKEN": "not-a-token"}


def test_without_any_variable_the_documented_defaults_hold() -> None:
    place = Place.from_env({})
    assert (place.gateway_port, place.sandbox_port, place.var_dir) == (8000, 8100, ROOT / "var")
    assert place.gateway_url == "http://127.0.0.1:8000"
    assert place.own_sandbox
    assert set(place.copies.values()) == {1}


@pytest.mark.parametrize(
    ("name", "value"),
    [("GATEWAY_PORT", "0"), ("GATEWAY_PORT", "80 00"), ("SANDBOX_PORT", "65536"), ("CART_COPIES", "x")],
)
def test_a_number_that_is_none_is_named(name: str, value: str) -> None:
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


def test_a_copy_for_tests_takes_over_no_key_and_no_broker() -> None:
    given = {**KEYS, **TWILIO, "AMQP_URI": "x", "DATABASE_URL": "x", "CART_COPIES": "3", "LANG": "C"}
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


def test_no_path_of_the_user_gets_into_the_configuration(tmp_path: Path) -> None:
    parser = _sections(tmp_path / "100% a;b #c", {})
    for section in parser.sections():
        for value in parser[section].values():
            assert "100%" not in value
            assert "the checkout" not in value


def test_gateway_may_take_its_time_to_leave(tmp_path: Path) -> None:
    usual, leaving = (
        int(_sections(tmp_path, env)["program:gateway"]["stopwaitsecs"])
        for env in ({}, {"GATEWAY_LEAVE_SECONDS": "20"})
    )
    assert leaving == usual + 20


def test_the_socket_is_short_enough_however_long_the_path(tmp_path: Path) -> None:
    runtime = RuntimeDir(tmp_path / ("long" * 60))
    # supervisord binds a name with its process id behind it first; macOS allows 103 bytes.
    assert len(f"{runtime.supervisor_socket}.4194304".encode()) < 103


def test_copies_have_names_and_logs_of_their_own(tmp_path: Path) -> None:
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


def test_a_payment_under_way_has_the_time_to_finish(tmp_path: Path) -> None:
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


def test_a_port_that_was_drawn_is_nobody_elses_for_as_long_as_who_drew_it_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two shops that are started side by side would both find it free, and one of them would not come up."""
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


def test_a_port_that_is_none_is_replaced() -> None:
    assert not ports.is_free(65536)
    assert ports.preferred_or_free(65536 + 20000) in ports.FREE_RANGE


def test_a_port_that_an_outgoing_connection_could_take_is_replaced() -> None:
    """A broker that is restarted would find it taken, perhaps by a connection that was trying to reach it."""
    assert ports.preferred_or_free(32768 + 4242) in ports.FREE_RANGE


def test_the_broker_takes_no_port_on_which_the_rest_of_its_copy_will_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([20001, 20002, 20003, 20001, 20002, 20003, 20004, 20005])
    monkeypatch.setattr(ports.random, "choice", lambda _range: next(drawn))
    monkeypatch.setattr(ports, "is_free", lambda _port: True)
    monkeypatch.setattr(ports, "_draw", lambda _port: True)
    assert rabbitmq.NodePorts.choose(20001, avoid=(20001, 20002)) == rabbitmq.NodePorts(20003, 20004, 20005)


def test_what_the_gateway_misses_is_read_part_by_part() -> None:
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
    [kept] = [path for path in tmp_path.iterdir() if path.is_file()]
    assert kept.stat().st_mode & 0o777 == 0o600
    given = {"VAR_DIR": str(tmp_path), "CART_ID_SECRET": "given"}
    assert Shop(Place.from_env(given)).process_env("amqp://")["CART_ID_SECRET"] == "given"
    assert without_keys({"CART_ID_SECRET": "given", "CART_ID_REQUIRED": "true"}) == {}


def test_the_sandbox_and_the_providers_are_told_where_the_gateway_is(tmp_path: Path) -> None:
    env = {"VAR_DIR": str(tmp_path), "GATEWAY_PORT": "8123", "GATEWAY_HOST": "0.0.0.0"}
    told = Shop(Place.from_env(env)).process_env("amqp://")
    assert (told["PUBLIC_URL"], told["WEBHOOK_URL"]) == ("http://127.0.0.1:8123", "http://127.0.0.1:8123")
    own = {"PUBLIC_URL": "https://shop.example", "WEBHOOK_URL": "http://127.0.0.1:9"}
    told = Shop(Place.from_env({**env, **own})).process_env("amqp://")
    assert {name: told[name] for name in own} == own
    assert without_keys(own) == {}

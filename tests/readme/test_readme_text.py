"""README.md leaves nothing out and invents nothing: routes, variables, commands, links."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import bench.__main__ as benches
from cart.stripe_events import HANDLED
from chassis.secret_files import SECRETS as SECRET_SETTINGS
from gateway import api
from gateway.routing import api as hug_api
from launcher.commands import USAGE
from launcher.place import SERVICES
from sandbox.webhooks import STRIPE_EVENTS
from tests.e2e.journeys.readme import README, ROOT, TOLD, Step, steps

TEXT = README.read_text(encoding="utf-8")
# What a block without an answer may show: it is run by .ci/run, or is no command at all.
SHOWN_ONLY = ("./install_run_project", "./install_run_project test", "docker-compose up --build")
CODE = [
    *("install_run_project", "config.yml", "docker-compose.yml", "Dockerfile"),
    *(str(path) for part in ("chassis", "gateway", "launcher", "sandbox") for path in Path(ROOT, part).rglob("*.py")),
]
# Read, and nobody's to set for this shop: the system's, and what tests kill a process with.
SYSTEMS_OWN = {"PATH", "HOME", "CRASH_POINTS"}
# What compose settles itself: inside its network there is one broker, one database, one sandbox and one proxy.
COMPOSES_OWN = {"AMQP_URI", "DATABASE_URL", "SANDBOX_URL", "VAR_DIR", "TRUSTED_PROXIES"}
# What an empty value means there: no provider is real unless it is named; any host name, without TLS.
COMPOSES_DEFAULTS = {"LIVE_PROVIDERS": "none", "PUBLIC_HOST": ":80"}
# Secrets, and the parts that use them. No other part is given them.
SECRETS = {
    "STRIPE_API_KEY": {"products", "cart"},
    "STRIPE_WEBHOOK_SECRET": {"cart"},
    "SHIPPO_API_KEY": {"shipping"},
    "SHIPPO_WEBHOOK_SECRET": {"shipping"},
    "TWILIO_ACCOUNT_SID": {"notifications"},
    "TWILIO_AUTH_TOKEN": {"notifications"},
    "SENDGRID_API_KEY": {"notifications"},
    "SENDGRID_WEBHOOK_PUBLIC_KEY": {"notifications"},
    "ADMIN_API_KEYS": {"gateway-a", "gateway-b"},
    "CART_ID_SECRET": {"gateway-a", "gateway-b"},
    "RATE_LIMIT_URL": {"gateway-a", "gateway-b"},
    "DATABASE_URL": {"products", "cart", "shipping", "notifications"},
    "AMQP_URI": {"products", "cart", "shipping", "notifications", "gateway-a", "gateway-b"},
}
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]


def _documented() -> dict[str, str]:
    """.env.example: variable -> default."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    return {found[1]: found[2] for line in lines if (found := re.fullmatch(r"#([A-Z_0-9]+)=(.*)", line))}


def _code(names: list[str]) -> str:
    return "\n".join((ROOT / name).read_text(encoding="utf-8") for name in names)


def _asked(step: Step) -> tuple[str, str] | None:
    """Verb and path of the request that a step shows the answer of, when it is the shop's."""
    words = shlex.split(step.command)
    for start, word in enumerate(words[:-1]):
        if word == "curl" and words[start + 1] == "-si":
            mine = words[start : words.index("curl", start + 1) if "curl" in words[start + 1 :] else None]
            verb = mine[mine.index("-X") + 1] if "-X" in mine else "POST" if "-d" in mine else "GET"
            url = next(each for each in mine if each.startswith(("$SHOP", "$SANDBOX")))
            return (verb, url.removeprefix("$SHOP").partition("?")[0].rstrip("/")) if "$SHOP" in url else None
    return None


def _routes() -> Iterator[tuple[str, str]]:
    assert api.ROUTES
    for urls in hug_api.http.routes.values():
        for url, verbs in urls.items():
            yield from ((verb, url) for verb in verbs)


def test_every_route_is_told_with_an_answer_that_is_no_failure() -> None:
    routes = set(_routes())
    assert len(routes) > 20
    told = set()
    for step in steps(TEXT):
        asked = _asked(step) if step.kind == "http" and step.chapter in TOLD else None
        if asked and int(step.answer.split()[1]) < 400:
            fits = [
                route
                for route in routes
                if route[0] == asked[0] and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route[1]), asked[1])
            ]
            assert fits, f"README.md:{step.title} asks for no route"
            told.add(min(fits, key=lambda route: route[1].count("{")))
    assert routes - told == set()


def test_each_kind_of_failure_has_its_example() -> None:
    statuses = {int(step.answer.split()[1]) for step in steps(TEXT) if step.kind == "http"}
    assert statuses >= {400, 401, 402, 403, 404, 405, 409, 415, 422, 503}


def test_the_table_of_variables_is_env_example() -> None:
    rows = re.findall(r"^\| `([A-Z_0-9]+)` \| (?:`([^`]*)`)? ?\| \S.* \|$", TEXT, re.MULTILINE)
    assert dict(rows) == _documented()
    assert len(rows) == len(dict(rows)) > 40


def test_config_yml_has_the_defaults_that_are_documented() -> None:
    read = dict(re.findall(r"\$\{(\w+):?([^}]*)\}", (ROOT / "config.yml").read_text(encoding="utf-8")))
    assert len(read) > 20
    documented = _documented()
    assert read == {name: documented.get(name) for name in read}


def test_compose_has_the_defaults_that_are_documented_and_passes_every_setting_on() -> None:
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    documented = _documented()
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", compose))
    passed_on = set(re.findall(r"^ +([A-Z_0-9]+):$", compose, re.MULTILINE))
    assert defaults == {name: COMPOSES_DEFAULTS.get(name, documented.get(name)) for name in defaults}
    assert {name for name in COMPOSES_DEFAULTS if documented[name]} == set()
    assert passed_on <= set(documented)
    settings = set(re.findall(r"\$\{(\w+)", (ROOT / "config.yml").read_text(encoding="utf-8")))
    assert settings - passed_on - set(COMPOSES_DEFAULTS) == COMPOSES_OWN


def test_each_container_has_only_its_own_secrets() -> None:
    assert set(SECRETS) == {*SECRET_SETTINGS}
    for name, parts in SECRETS.items():
        assert {part for part, service in COMPOSE.items() if name in service.get("environment", ())} == parts, name


def test_each_container_is_hardened() -> None:
    assert len(COMPOSE) == 10
    for part, service in COMPOSE.items():
        assert service["cap_drop"] == ["ALL"], part
        assert service["security_opt"] == ["no-new-privileges:true"], part
        assert service["read_only"], part
        assert service["init"], part
        assert service["mem_limit"], part
        assert service["pids_limit"], part
        assert {"max-size", "max-file"} <= set(service["logging"]["options"]), part


def test_only_the_proxy_is_published() -> None:
    published = {part: service["ports"] for part, service in COMPOSE.items() if "ports" in service}
    assert set(published) == {"proxy", "sandbox"}
    assert all(port.startswith("${PUBLISH_ADDRESS:-127.0.0.1}:") for port in published["proxy"])
    assert all(port.startswith("127.0.0.1:") for port in published["sandbox"])
    networks = {part: {*service["networks"]} for part, service in COMPOSE.items()}
    assert {part for part, joined in networks.items() if "data" in joined} == {"postgres", *SERVICES}
    assert networks["proxy"] == {"front"}
    assert networks["rabbitmq"] == {"back"}
    assert networks["postgres"] == {"data"}


def test_every_kind_of_event_that_stripe_is_to_send_is_named() -> None:
    assert len(STRIPE_EVENTS) > 10
    assert {kind for kind in STRIPE_EVENTS if f"`{kind}`" not in TEXT} == set()
    assert set(STRIPE_EVENTS) <= HANDLED


def test_every_variable_is_read_and_every_one_that_is_read_is_documented() -> None:
    documented, code = set(_documented()), _code(CODE)
    copies = {f"{service.upper()}_COPIES" for service in SERVICES}
    assert copies <= documented
    assert {name for name in documented - copies if not re.search(rf"\b{name}\b", code)} == set()
    read = set(re.findall(r"""(?:os\.environ\.get\(|_number\((?:env, )?)["']([A-Z_]+)["']""", code))
    # In the gateway `env` is a request's.
    plain = _code([name for name in CODE if f"{ROOT}/gateway" not in name])
    read |= set(re.findall(r"""\benv(?:ironment)?\.get\(["']([A-Z_]+)["']""", plain))
    assert read >= {"VAR_DIR", "GATEWAY_WORKERS", "SANDBOX_PUBLIC_URL", "LOG_LEVEL"}
    assert read - documented == SYSTEMS_OWN & read


def test_every_command_of_the_launcher_is_named_and_no_other() -> None:
    known = set(re.findall(r"^  (--\w+|\w+) ", USAGE, re.MULTILINE))
    assert known >= {"--detach", "stop", "status", "logs", "shell", "test", "bench", "help"}
    assert set(re.findall(r"\./install_run_project (-?[a-z-]+)", TEXT)) == known


def test_every_bench_is_named_and_can_be_started() -> None:
    assert set(re.findall(r"bench ([a-z-]+)`", TEXT)) == set(benches.names())
    for arguments in (["rpc", "--help"], ["sandbox-reads", "0.2"]):
        started = subprocess.run(
            [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=200
        )
        assert "Traceback" not in started.stderr
        assert re.search(r"--save|requests/s", started.stdout), started.stdout


def test_every_block_of_commands_is_run_by_a_test() -> None:
    assert {step.chapter for step in steps(TEXT)} == {*TOLD, "Operations", "Going live"}
    kinds = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert {kind for kind, _ in kinds} == {"", "sh", "http", "text"}
    bare = [body.strip() for kind, body in kinds if not kind]
    assert set(SHOWN_ONLY) == {body for body in bare if "\n" not in body}
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "./install_run_project test" in ci
    for words in ("up --build", "--scale cart=3"):
        assert words in ci
        assert words in TEXT


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https:)([^)]+)\)", TEXT))))
def test_a_link_leads_somewhere(link: str) -> None:
    name, _, anchor = link.partition("#")
    if name:
        assert (ROOT / name).exists()
    else:
        headings = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}

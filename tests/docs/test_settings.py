"""settings.md documents every setting and its default. Compose passes each setting to the parts that need it."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from chassis.secret_files import SECRETS as SECRET_SETTINGS
from launcher.place import SERVICES
from tests.e2e.journeys.pages import ROOT, read

SETTINGS = "docs/operating/settings.md"
CODE = [
    *("install_run_project", "config.yml", "docker-compose.yml", "Dockerfile"),
    *(str(path) for part in ("chassis", "gateway", "launcher", "sandbox") for path in Path(ROOT, part).rglob("*.py")),
]
# The code reads these too, but they are not settings: variables of the system, and the crash points of tests.
SYSTEMS_OWN = {"PATH", "HOME", "CRASH_POINTS", "PYTHONWARNINGS"}
# Compose fixes these: its network has one broker, one database, one sandbox and one proxy.
COMPOSES_OWN = {"AMQP_URI", "DATABASE_URL", "SANDBOX_URL", "SANDBOX_PUBLIC_URL", "VAR_DIR", "TRUSTED_PROXIES"}
# Compose's defaults for empty settings: a provider is live only if named; any host name works, without TLS.
COMPOSES_DEFAULTS = {"LIVE_PROVIDERS": "none", "PUBLIC_HOST": ":80"}
# Only these parts receive each secret.
SECRETS = {
    "STRIPE_API_KEY": {"products", "cart"},
    "STRIPE_WEBHOOK_SECRET": {"cart"},
    "SHIPPO_API_KEY": {"shipping"},
    "SHIPPO_WEBHOOK_SECRET": {"shipping"},
    "TWILIO_ACCOUNT_SID": {"notifications"},
    "TWILIO_AUTH_TOKEN": {"notifications"},
    "SENDGRID_API_KEY": {"notifications"},
    "SENDGRID_WEBHOOK_PUBLIC_KEY": {"notifications"},
    "ADMIN_API_KEYS": {"gateway-a", "gateway-b", "demo"},
    "CART_ID_SECRET": {"gateway-a", "gateway-b"},
    "RATE_LIMIT_URL": {"gateway-a", "gateway-b"},
    "DATABASE_URL": {"products", "cart", "shipping", "notifications"},
    "AMQP_URI": {"products", "cart", "shipping", "notifications", "gateway-a", "gateway-b"},
}
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]


def _documented() -> dict[str, str]:
    """The defaults in .env.example, by variable."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    return {found[1]: found[2] for line in lines if (found := re.fullmatch(r"#([A-Z_0-9]+)=(.*)", line))}


def _code(names: list[str]) -> str:
    return "\n".join((ROOT / name).read_text(encoding="utf-8") for name in names)


def test_table_of_settings_matches_env_example() -> None:
    rows = re.findall(r"^\| `([A-Z_0-9]+)` \| (?:`([^`]*)`)? ?\| \S.* \|$", read(SETTINGS), re.MULTILINE)
    assert dict(rows) == _documented()
    assert len(rows) == len(dict(rows)) > 40


def test_secrets_that_may_be_in_files_are_named() -> None:
    paragraph = next(part for part in read(SETTINGS).split("\n\n") if part.startswith("A secret can be read"))
    named = set(re.findall(r"`([A-Z_]+)`", paragraph)) - {"STRIPE_API_KEY_FILE"}
    others = {name for name in SECRET_SETTINGS if name.startswith(("STRIPE", "SHIPPO", "TWILIO", "SENDGRID"))}
    assert named | others == set(SECRET_SETTINGS)


def test_config_yml_has_the_documented_defaults() -> None:
    read = dict(re.findall(r"\$\{(\w+):?([^}]*)\}", (ROOT / "config.yml").read_text(encoding="utf-8")))
    assert len(read) > 20
    documented = _documented()
    assert read == {name: documented.get(name) for name in read}


def test_settings_come_from_config_yml() -> None:
    config = yaml.safe_load(re.sub(r": !raw_env_var", ":", (ROOT / "config.yml").read_text(encoding="utf-8")))
    code = (ROOT / "chassis" / "settings.py").read_text(encoding="utf-8")
    read = set(re.findall(r"""\b_\w+\(config, "([A-Z_0-9]+)\"""", code))
    assert len(read) > 25
    assert read <= set(config)


def test_compose_passes_every_setting_on() -> None:
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    documented = _documented()
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", compose))
    passed_on = set(re.findall(r"^ +([A-Z_0-9]+):$", compose, re.MULTILINE))
    assert defaults == {name: COMPOSES_DEFAULTS.get(name, documented.get(name)) for name in defaults}
    assert {name for name in COMPOSES_DEFAULTS if documented[name]} == set()
    assert passed_on <= set(documented)
    settings = set(re.findall(r"\$\{(\w+)", (ROOT / "config.yml").read_text(encoding="utf-8")))
    assert settings - passed_on - set(defaults) == COMPOSES_OWN


def test_each_container_has_only_its_own_secrets() -> None:
    assert set(SECRETS) == {*SECRET_SETTINGS}
    for name, parts in SECRETS.items():
        assert {part for part, service in COMPOSE.items() if name in service.get("environment", ())} == parts, name


def test_each_container_is_hardened() -> None:
    assert len(COMPOSE) == 11
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


def test_every_setting_that_is_read_is_documented() -> None:
    documented, code = set(_documented()), _code(CODE)
    copies = {f"{service.upper()}_COPIES" for service in SERVICES}
    assert copies <= documented
    assert {name for name in documented - copies if not re.search(rf"\b{name}\b", code)} == set()
    read = set(re.findall(r"""(?:os\.environ\.get\(|_number\((?:env, )?)["']([A-Z_]+)["']""", code))
    # In the gateway, `env` is the environment of a request.
    plain = _code([name for name in CODE if f"{ROOT}/gateway" not in name])
    read |= set(re.findall(r"""\benv(?:ironment)?\.get\(["']([A-Z_]+)["']""", plain))
    assert read >= {"VAR_DIR", "GATEWAY_WORKERS", "SANDBOX_PUBLIC_URL", "LOG_LEVEL"}
    assert read - documented == SYSTEMS_OWN & read

"""The reference lists exactly the existing routes, verbs, commands, events, differences and benches."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import bench.__main__ as benches
from cart.service import CartService
from cart.stripe.webhooks import HANDLED
from gateway import api, limits
from gateway.errors import KINDS
from gateway.routing import api as hug_api
from launcher.commands import USAGE
from launcher.place import SERVICES
from notifications.service import NotificationsService
from products.service import ProductsService
from sandbox.webhooks.waiting import STRIPE_EVENTS
from shipping.service import ShippingService
from tests.e2e.journeys.pages import OPERATING, ROOT, Step, blocks, markdown_files, pages, prose, read, steps, stories

COMMANDS, SHELL = f"{OPERATING}commands.md", f"{OPERATING}shell.md"
RECONCILE, WEBHOOKS = f"{OPERATING}reconcile.md", f"{OPERATING}webhooks.md"
CLASSES = (CartService, ProductsService, ShippingService, NotificationsService)
# Programs, which tests/e2e/journeys/test_programs.py runs.
PROGRAMS = ("python", "js")
# A block without an answer may show only these commands: .ci/run runs them.
SHOWN_ONLY = {"./install_run_project", "./install_run_project test", "docker-compose up --build"}


def _asked(step: Step) -> tuple[str, str] | None:
    """The verb and path of a step's request to the shop, if the step shows its answer."""
    words = shlex.split(step.command)
    for start, word in enumerate(words[:-1]):
        if word == "curl" and words[start + 1] == "-si":
            call = words[start : words.index("curl", start + 1) if "curl" in words[start + 1 :] else None]
            verb = call[call.index("-X") + 1] if "-X" in call else "POST" if "-d" in call else "GET"
            url = next((each for each in call if each.startswith(("$SHOP", "$SANDBOX"))), "")  # "": another variable
            return (verb, url.removeprefix("$SHOP").partition("?")[0].rstrip("/")) if "$SHOP" in url else None
    return None


def _routes() -> Iterator[tuple[str, str]]:
    assert api.ROUTES
    for urls in hug_api.http.routes.values():
        for url, verbs in urls.items():
            yield from ((verb, url) for verb in verbs)


def _printed() -> Iterator[Step]:
    """Every step of every page."""
    for page in markdown_files():
        yield from steps(read(page), page)


def test_every_route_has_its_section_and_no_other() -> None:
    headings = re.findall(
        r"^## (GET|POST|PUT|DELETE) (/\S+)$",
        "\n".join(read(page) for page in pages() if page.startswith("docs/api/")),
        re.MULTILINE,
    )
    documented = {(verb, path.rstrip("/")) for verb, path in headings}
    assert len(documented) == len(headings)
    assert documented == set(_routes())
    assert len(documented) > 20


def test_every_route_has_a_printed_request_that_succeeds() -> None:
    routes = set(_routes())
    succeeded = set()
    for page, todo in stories().items():
        for step in (each for each in todo if each.page == page):
            asked = _asked(step) if step.kind == "http" else None
            # OPTIONS is answered wherever there is a route.
            if asked and asked[0] != "OPTIONS" and int(step.answer.split()[1]) < 400:
                fits = [
                    route
                    for route in routes
                    if route[0] == asked[0] and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route[1]), asked[1])
                ]
                assert fits, f"{step.title} asks for no route"
                succeeded.add(min(fits, key=lambda route: route[1].count("{")))
    assert routes - succeeded == set()


def test_each_status_of_a_failure_has_an_example() -> None:
    statuses = {int(step.answer.split()[1]) for step in _printed() if step.kind == "http"}
    assert statuses >= {400, 401, 402, 403, 404, 405, 409, 415, 422, 503}


def test_every_status_of_a_failure_is_in_the_table() -> None:
    cells = re.findall(r"^\| ([\d, ]+) \| .+ \|$", read("docs/api/errors.md"), re.MULTILINE)
    listed = {int(status) for cell in cells for status in cell.split(", ")}
    assert listed >= {kind.status for kind in KINDS.values()} | {401, 403, 405, 408, 413, 414, 415, 431, 500}


def test_table_of_rate_limits_matches_the_code() -> None:
    text = read("docs/api/rate-limits.md")
    shown = re.findall(r"^\| `([a-z-]+)` \| (\d+) \| (\d+) s \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    assert shown == [(each.name, str(each.quota), str(each.window), each.per, each.of) for each in limits.TABLE]


def test_every_rpc_verb_is_documented_and_no_other() -> None:
    text = read(SHELL)
    named = {tuple(found) for found in re.findall(r"n\.rpc\.(\w+)\.(\w+)\(", text)}
    for service, verbs in re.findall(r"^\| `(\w+)` \| (`\w+`.*) \|$", text, re.MULTILINE):
        named |= {(service, verb) for verb in re.findall(r"`(\w+)`", verbs)}
    existing = {
        (each.name, verb)
        for each in CLASSES
        for verb, method in inspect.getmembers(each)
        if any(type(entrypoint).__name__ == "Rpc" for entrypoint in getattr(method, "nameko_entrypoints", ()))
    }
    assert len(existing) > 60
    assert named == existing


def test_arguments_of_operator_verbs_are_real() -> None:
    by_name = {each.name: each for each in CLASSES}
    rows = re.findall(r"`n\.rpc\.(\w+)\.(\w+)\(([a-z_, ]*)\)`", read(SHELL))
    assert len(rows) > 20
    for service, verb, arguments in rows:
        code = getattr(by_name[service], verb)
        known = code.__code__.co_varnames[1 : code.__code__.co_argcount]
        assert tuple(filter(None, arguments.split(", "))) == known[: len(arguments.split(", ")) if arguments else 0]


def test_every_command_is_documented_and_no_other() -> None:
    known = set(re.findall(r"^  (--\w+|\w+) ", USAGE, re.MULTILINE))
    assert known >= {"--detach", "stop", "status", "logs", "shell", "test", "bench", "help"}
    listed = re.findall(r"^\| `\./install_run_project ?(-?[a-z-]*)[^`]*` \|", read(COMMANDS), re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) - {""} == known
    everywhere = "\n".join(read(page) for page in markdown_files())
    assert set(re.findall(r"\./install_run_project (-?[a-z-]+)", everywhere)) <= known


def test_every_bench_is_named_and_can_be_started() -> None:
    text = read("CONTRIBUTING.md") + read("docs/guarantees.md")
    assert set(re.findall(r"`(?:\./install_run_project )?bench ([a-z-]+)", text)) == set(benches.names())
    for arguments in (["rpc", "--help"], ["sandbox-reads", "0.2"]):
        started = subprocess.run(
            [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=200
        )
        assert "Traceback" not in started.stderr
        assert re.search(r"--save|requests/s", started.stdout), started.stdout


def test_every_subscribed_stripe_event_is_documented() -> None:
    assert len(STRIPE_EVENTS) > 10
    text = read(WEBHOOKS)
    assert {kind for kind in STRIPE_EVENTS if f"`{kind}`" not in text} == set()
    assert set(STRIPE_EVENTS) <= HANDLED


MAKERS = ("Difference", "by_hand", "hand", "mendable", "mend")


def _differences(code: str) -> set[str]:
    """The kinds of difference in the code: the first text of a call, or the first value of ``kind, … = …``."""
    first: list[ast.expr] = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in MAKERS:
            first += [each for each in node.args[:2] if isinstance(each, ast.Constant)][:1]
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).lstrip("(").startswith("kind,"):
            values = [node.value.body, node.value.orelse] if isinstance(node.value, ast.IfExp) else [node.value]
            first += [value.elts[0] for value in values if isinstance(value, ast.Tuple)]
    return {each.value for each in first if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def _documented_differences() -> set[str]:
    rows = re.findall(r"^\| (`[A-Za-z].*`) \| .+ \|$", read(RECONCILE), re.MULTILINE)
    return {kind for row in rows for kind in re.findall(r"`([^`]+)`", row)}


def test_every_difference_is_planted_by_a_test() -> None:
    """Where databases, or the whole shop, are compared: rules alone prove nothing about what is read."""
    tests = [path for kind in ("integration", "e2e") for path in (ROOT / "tests" / kind).rglob("test_*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in tests)
    assert {kind for kind in _documented_differences() if not re.search(rf"[\"{{]{kind}[\":]", text)} == set()


def test_every_difference_is_documented_and_no_other() -> None:
    documented = _documented_differences()
    parts = [path for service in SERVICES for path in (ROOT / service).rglob("*.py")]
    modules = [*(path for path in parts if "reconcile" in path.relative_to(ROOT).as_posix()), ROOT / "chassis/audit.py"]
    books = "\n".join(
        path.read_text(encoding="utf-8").replace("from __future__ import annotations", "") for path in modules
    )
    # The page shows the default provider's name.
    books = re.sub(r'f"(payment|refund|tax) unknown at {provider}"', r'"\1 unknown at Stripe"', books)
    # So are the names of both kinds of cases.
    books = books.replace('f"{_words(case)} unknown at {provider}"', 'f"{words} unknown at Stripe"')
    books = re.sub(r'f"\{words\} ([^"]+)"', r'"dispute \1", "fraud warning \1"', books)
    labels = {f"label of a {status} order" for status in ("canceled", "returned")}
    assert 'f"label of a {order.status} order"' in books
    assert {kind for kind in documented - labels if f'"{kind}"' not in books} == set()
    assert len(found := _differences(books)) > 25
    assert found - documented == set()


def test_every_printed_command_is_run_by_a_test() -> None:
    printed = {step.page for step in _printed()}
    run_by_journeys = set(stories())
    assert printed == run_by_journeys | {page for page in printed if page.startswith(OPERATING)}
    assert len(run_by_journeys) >= 12
    for page in markdown_files():
        for line, _, kind, body in blocks(read(page)):
            assert kind in ("", "sh", "http", "text", *PROGRAMS), f"{page}:{line}: {kind}"
            if not kind:
                assert body.strip() in SHOWN_ONLY or not re.search(r"curl|\./install|docker", body), f"{page}:{line}"
        assert not re.search(r"^\s*(?:\$ )?curl ", prose(read(page)), re.MULTILINE), page
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    everywhere = "\n".join(read(page) for page in pages())
    assert "./install_run_project test" in ci
    for words in ("up --build", "--scale cart=3"):
        assert words in ci
        assert words in everywhere

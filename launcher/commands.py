"""The commands of `./install_run_project`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType

from launcher import checks, demo, log_view, readiness, screen, supply_chain
from launcher.place import ROOT, Place, environment
from launcher.problem import Problem
from launcher.runtime_dir import PRIVATE, RuntimeDir
from launcher.screen import say
from launcher.shop import Shop
from launcher.supervision import program_of

USAGE = """\
Usage: ./install_run_project [command]

  (nothing)            start the shop, stay, and stop all of it on Ctrl-C
  --detach             start the shop and return as soon as it is ready
  stop                 stop it
  status [--uri]       what runs, and whether the gateway is ready; --uri: the AMQP URI, which is a secret
  logs [part] [-f]     the last lines of the logs; -f: and all that follows
  shell                Nameko's shell on the running shop, or on a script from standard input
  reconcile [...]      compare all books with the providers' lists; --repair: and mend; --since DAYS; --help
  failed               what was given up: deliveries, providers' events
  replay KEY | --all   try again what was given up
  parked [...]         requests over which a service died again and again; --help
  demo [--delete]      load the demo catalogue, or delete it
  migrate              bring the databases up to date
  test [--fast | ...]  style, types and tests; --fast: the quick ones; --coverage: all, measured; else pytest alone
  bench NAME [...]     measure
  sbom [FILE]          what the shop is made of, as CycloneDX JSON; a relative FILE belongs to the repository
  audit                known vulnerabilities of its packages; status 1: some, 2: could not be found out
  help                 this

The variables it knows are in .env.example; GATEWAY_PORT, SANDBOX_PORT, VAR_DIR and AMQP_URI let two copies run."""

OK, FAILED, MISUSED, UNKNOWN, INTERRUPTED = 0, 1, 2, 2, 130
# Two signals within this time are one interrupt (seconds).
SAME_INTERRUPT_S = 1.0
_last_interrupt = [float("-inf")]


def main(arguments: Sequence[str]) -> int:
    """Run the command in `arguments`; return the exit status."""
    # A shell that started this in the background ignores SIGINT, so it is restored. SIGTERM is handled like an
    # interrupt.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    name, rest = (arguments[0], list(arguments[1:])) if arguments else ("", [])
    commands = {
        "": _foreground,
        "--detach": _detach,
        "-d": _detach,
        "stop": _stop,
        "status": _status,
        "logs": _logs,
        "shell": _shell,
        "reconcile": _reconcile,
        "failed": _failed,
        "replay": _replay,
        "parked": _parked,
        "demo": _demo,
        "migrate": _migrate,
        "test": checks.run,
        "bench": _bench,
        "sbom": _sbom,
        "audit": supply_chain.audit,
        "help": _help,
        "--help": _help,
        "-h": _help,
    }
    if name not in commands:
        screen.errors.print(f"There is no command {name!r}.\n\n{USAGE}", markup=False)
        return MISUSED
    takes = ("status", "logs", "shell", "reconcile", "replay", "parked", "demo", "test", "bench", "sbom")
    if rest and name not in takes:
        screen.errors.print(f"{name} takes no arguments.\n\n{USAGE}", markup=False)
        return MISUSED
    # A test's PostgreSQL runs as another user and must read its files; an SBOM is written for other people.
    if name not in ("test", "bench", "sbom"):
        os.umask(PRIVATE)
    try:
        return commands[name](rest)
    except Problem as problem:
        if problem.detail.strip():
            screen.errors.print(problem.detail.rstrip(), markup=False)
        screen.errors.print(str(problem), markup=False)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `logs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _interrupt(number: int, frame: FrameType | None) -> None:
    # `timeout` and a closing terminal send the signal twice in quick succession. Only a later second signal means "at
    # once".
    now = time.monotonic()
    if now - _last_interrupt[0] > SAME_INTERRUPT_S:
        _last_interrupt[0] = now
        raise KeyboardInterrupt


def _this_shop() -> Shop:
    return Shop(Place.from_env(environment()))


def _running_shop() -> Shop:
    shop = _this_shop()
    if not shop.running or shop.record is None:
        raise Problem("The shop is not running; start it with ./install_run_project --detach.")
    return shop


def _foreground(_: Sequence[str]) -> int:
    shop = _this_shop()
    started = shop.start(say, screen.Steps())
    try:
        if started:
            _greet(shop)
            say("\nCtrl-C stops the shop.")
            _load_demo(shop, visible=True)
            while shop.running:
                time.sleep(1)
            shop.stop()  # what its supervisor left behind
            say("The shop was stopped.")
        else:
            say(f"The shop is running already, at {shop.url}; its logs follow, and Ctrl-C leaves it running.")
            log_view.Follower(shop.place.var_dir, None).follow(sys.stdout, lambda: shop.running)
    except KeyboardInterrupt:
        if started:
            say("\nStopping …")
            shop.stop()
            say("Stopped.")
    return OK


def _detach(_: Sequence[str]) -> int:
    shop = _this_shop()
    if shop.start(say, screen.Steps()):
        _greet(shop)
        say("\nIt runs in the background: ./install_run_project status | logs | shell | stop")
        _load_demo(shop, visible=False)
    else:
        say(f"The shop is running already, at {shop.url}.")
    return OK


def _stop(_: Sequence[str]) -> int:
    say("The shop was stopped." if _this_shop().stop() else "The shop was not running.")
    return OK


def _status(arguments: Sequence[str]) -> int:
    if [*arguments] not in ([], ["--uri"]):
        screen.errors.print(f"status takes --uri, or no argument.\n\n{USAGE}", markup=False)
        return MISUSED
    shop = _running_shop()
    if arguments:
        say(shop.amqp_uri)
        return OK
    for part in shop.supervisor.parts():
        since = max(0, part["now"] - part["start"]) if part["statename"] == "RUNNING" else 0
        pid = part["pid"] or "-"
        say(f"{part['name']:<16} {part['statename'].lower():<10} {pid!s:>8}  {since // 60}:{since % 60:02} min")
    status, body = readiness.ask_twice(f"{shop.url}/health/ready/")
    if status == 200:
        say(f"The shop is ready at {shop.url}.")
        return OK
    lacking = ", ".join(readiness.missing(body)) or "the gateway"
    say(f"The shop is not ready: {lacking} is missing.")
    return FAILED


def _logs(arguments: Sequence[str]) -> int:
    follow = "-f" in arguments
    names = [argument for argument in arguments if argument != "-f"]
    var_dir = Place.from_env(environment()).var_dir
    known = sorted({program_of(path.stem) for path in readiness.log_files(var_dir)})
    if len(names) > 1 or (names and names[0] not in known):
        raise Problem(
            f"There are logs of {', '.join(known)}." if known else f"There are no logs in {var_dir / 'logs'}."
        )
    part = names[0] if names else None
    follower = log_view.Follower(var_dir, part)
    log_view.show(var_dir, part, sys.stdout)
    if follow:
        follower.follow(sys.stdout, lambda: True)
    return OK


def _shell(arguments: Sequence[str]) -> int:
    return _become("launcher.shell", arguments)


def _reconcile(arguments: Sequence[str]) -> int:
    try:
        return _become("launcher.reconcile", arguments)
    except Problem as problem:
        screen.errors.print(str(problem), markup=False)
        return UNKNOWN  # not 1, which means that there are differences


def _failed(_: Sequence[str]) -> int:
    return _become("launcher.given_up", ["list"])


def _replay(arguments: Sequence[str]) -> int:
    return _become("launcher.given_up", ["replay", *arguments])


def _parked(arguments: Sequence[str]) -> int:
    return _become("launcher.parked", arguments)


def _demo(arguments: Sequence[str]) -> int:
    return _become("launcher.demo", arguments)


def _load_demo(shop: Shop, visible: bool) -> None:
    demo.begin(shop.place, shop.runtime.id, shop.process_env(shop.amqp_uri), visible)


def _become(module: str, arguments: Sequence[str]) -> int:
    """Replace this process with a module that works on the running shop."""
    shop = _running_shop()
    env = shop.process_env(shop.amqp_uri)
    sys.stdout.flush()
    os.chdir(ROOT)
    os.execve(sys.executable, [sys.executable, "-m", module, *arguments], env)  # noqa: S606


def _migrate(_: Sequence[str]) -> int:
    shop = _this_shop()
    RuntimeDir(shop.place.var_dir).prepare()
    shop.migrate(shop.process_env(shop.place.amqp_uri or ""))
    say("The databases are up to date.")
    return OK


def _bench(arguments: Sequence[str]) -> int:
    # Replaces this process, so that Ctrl-C reaches only the bench, which then stops all that it started.
    env = {**environment(), "PYTHONUNBUFFERED": "1"}
    sys.stdout.flush()
    os.chdir(ROOT)
    os.execve(sys.executable, [sys.executable, "-m", "bench", *arguments], env)  # noqa: S606


def _sbom(arguments: Sequence[str]) -> int:
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        screen.errors.print(f"sbom takes one FILE, or no argument.\n\n{USAGE}", markup=False)
        return MISUSED
    return supply_chain.sbom(arguments)


def _help(_: Sequence[str]) -> int:
    say(USAGE)
    return OK


def _greet(shop: Shop) -> None:
    url = shop.url
    product = (
        '{"name": "Wally bone", "price": 50, "package_dimensions": {"height": 5, "length": 5, "weight": 5, "width": 5},'
        ' "metadata": {"category": "food", "for": "cats", "type": "fish"}}'
    )
    say(f"\nThe shop is ready at {url}. Open it in a browser.")
    if shop.place.own_sandbox:
        say(f"What the providers receive is shown at {shop.sandbox_url}, with switches for their faults.")
    key = ' -H "Authorization: Bearer $ADMIN_KEY"' if shop.place.env.get("ADMIN_API_KEYS") else ""
    say(f"Or try the API, which {url}/docs/ describes:\n")
    say(f"  curl {url}/health/ready/")
    say(f"  curl -X POST {url}/api/products/{key} -H 'Content-Type: application/json' -d '{product}'")
    say(f"  curl '{url}/api/products/?category=food&order_by=name'")

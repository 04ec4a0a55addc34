"""``python -m launcher.given_up list | replay KEY | replay --all``: lists and retries the work that the shop has given
up.

That is deliveries that a provider rejected too often, and providers' events that could not be handled. The list also
has the orders that need a person for another reason.
`./install_run_project failed` and `replay` call it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.errors import NotFound, ShopError
from launcher.problem import Problem
from launcher.running_services import BUGS, Services
from launcher.screen import errors, printable, say

OK, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130
# The services that have tasks.
SERVICES = ("cart", "shipping", "notifications")
MAX_LISTED = 1000  # listed at a time; a replayed entry leaves the list


@dataclass(frozen=True)
class GivenUp:
    """One delivery or event that was given up.

    Attributes:
        service: the service that retries it.
        key: its identifier.
        what: its kind.
        tries: the number of attempts.
        error: the error of the last attempt.
    """

    service: str
    key: str
    what: str
    tries: int
    error: str

    def line(self) -> str:
        """Return the line that an operator reads."""
        return f"{self.key}  {self.what}, tried {self.tries} times: {self.error}"


def main(arguments: Sequence[str]) -> int:
    """List, or replay; return the exit status."""
    match list(arguments):
        case ["list"]:
            work = _list
        case ["replay", key]:
            work = _replay_all if key == "--all" else lambda services: _replay_one(services, key)
        case _:
            errors.print("Usage: ./install_run_project replay KEY | --all", markup=False)
            return MISUSED
    try:
        with Services.running() as services:
            return work(services)
    except Problem as problem:
        errors.print(str(problem), markup=False)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def given_up(services: Services) -> Iterator[GivenUp]:
    """Return everything that was given up, the oldest of each kind first. Raises Problem."""
    listed = services.ask("cart", "attention", MAX_LISTED)
    open_ones = {row["about"] for row in listed}
    for service in SERVICES:
        for row in services.ask(service, "tasks", "failed", MAX_LISTED):
            # A delivery that an operator has dismissed is not listed.
            if service == "cart" and row["subject"] and row["key"] not in open_ones and len(listed) < MAX_LISTED:
                continue
            what = f"{row['kind']} of {row['subject']}" if row["subject"] else f"event {row['kind']} in {service}"
            yield GivenUp(service, row["key"], what, row["tries"], row["error"] or "")


def _list(services: Services) -> int:
    found = list(given_up(services))
    keys = {each.key for each in found}
    for each in found:
        say(printable(each.line()))
    for row in services.ask("cart", "attention", MAX_LISTED):
        if row["about"] not in keys:
            say(printable(f"{row['order_id']}  needs a person, {row['kind']} {row['about']}: {row['detail']}"))
    for row in services.ask("products", "set_aside"):
        say(printable(f"{row['product']}  off sale until Stripe's record of it can be read: {row['reason']}"))
    replay = f"{len(found)} given up; ./install_run_project replay KEY tries one again."
    say(replay if found else "Nothing was given up.")
    return OK


def _replay_one(services: Services, key: str) -> int:
    for service in SERVICES:
        try:
            _print(key, services.call_once(service, "replay", key))
        except NotFound:
            continue
        except (ShopError, *BUGS) as error:
            raise Problem(f"{key} could not be replayed: {error}") from error
        return OK
    raise Problem(f"Nothing was given up under {key}; ./install_run_project failed lists what was.")


def _replay_all(services: Services) -> int:
    status, known = OK, set[str]()
    while new := [each for each in given_up(services) if each.key not in known]:
        for each in new:
            known.add(each.key)
            try:
                _print(each.key, services.call_once(each.service, "replay", each.key))
            except NotFound:
                continue  # another process has replayed it in the meantime
            except (ShopError, *BUGS) as error:
                say(printable(f"{each.key}: {error}"))
                status = FAILED
    if not known:
        say("Nothing was given up.")
    return status


def _print(key: str, row: dict[str, Any]) -> None:
    waits = "waiting; it is tried again soon" if row["state"] == "waiting" else row["state"]
    error = f" ({row['error']})" if row["state"] == "waiting" and row["error"] else ""
    say(printable(f"{key}: {waits}{error}"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""``python -m launcher.reconcile``: compares the shop's records with the providers' (`./install_run_project
reconcile`)."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Sequence

from chassis.settings import Settings
from contracts.differences import Difference
from contracts.errors import ShopError
from launcher.comparison import Comparison, Part, parts
from launcher.problem import Problem
from launcher.running_services import BUGS, Services
from launcher.screen import console, errors, printable, say

AGREED, DIFFERENT, TROUBLE, INTERRUPTED = 0, 1, 2, 130
# Records younger than this (seconds) may be in progress: longer than any payment, purchase or message takes.
GRACE = 60.0
DAY = 86400.0
NO_LIST = "SendGrid gives no list of what it sent, so mails are compared with nothing."


def main(arguments: Sequence[str]) -> int:
    """Compare, and repair if requested; return 0 without differences, 1 with some, 2 when the result is unknown."""
    options = _options(arguments)
    try:
        lists = parts(Settings.load().in_use)
        with Services.running() as services:
            left = Run(services, lists, options.since, options.grace, options.repair).all()
            if options.repair and left:
                say("\nCompared again:")
                left = Run(services, lists, options.since, options.grace, False).all()
    except Problem as problem:
        errors.print(f"The comparison broke off. {problem}", markup=False)
        return TROUBLE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # a bug of ours; Python would exit with 1, which means that something differs
        said = printable(f"{type(error).__name__}: {error}")
        errors.print(f"The comparison broke off, so nothing is known: {said}", markup=False)
        errors.print(traceback.format_exc(), markup=False)
        return TROUBLE
    return DIFFERENT if left else AGREED


class Run:
    """One comparison, reported line by line.

    Args:
        services: the running shop's.
        lists: what is compared.
        days: how far back, or None for everything.
        grace: records younger than this (seconds) are skipped.
        repair: whether to repair what is safe to repair.
    """

    def __init__(
        self, services: Services, lists: Sequence[Part], days: float | None, grace: float, repair: bool
    ) -> None:
        now = time.time()
        self._services = services
        self._lists = lists
        self._since = 0.0 if days is None else now - days * DAY
        self._until = now - grace
        self._repair = repair
        self._compared: dict[str, int] = {}

    def all(self) -> int:
        """Report every difference and its repair; return how many there were."""
        found = mendable = mended = 0
        with console.status("comparing …") as spinner:

            def compared(part: Part, total: int) -> None:
                self._compared[part.title] = total
                spinner.update(f"{part.title}: {total} …")

            comparison = Comparison(self._services, self._lists, self._since, self._until, compared)
            for service, difference in comparison.differences():
                found += 1
                mendable += bool(difference.repair)
                say(printable(difference.line()))
                if self._repair and difference.repair:
                    mended += self._mend(service, difference)
        self._sum_up(found, mendable, mended)
        return found

    def _mend(self, service: str, difference: Difference) -> bool:
        try:
            done = self._services.call_once(service, "mend", difference.fix)
        except (ShopError, *BUGS) as error:
            say(printable(f"  not mended: {error}"))
            return False
        say(printable(f"  mended: {done}"))
        return True

    def _sum_up(self, found: int, mendable: int, mended: int) -> None:
        say(f"Compared: {', '.join(f'{number} {title}' for title, number in self._compared.items())}.")
        say(NO_LIST)
        if not found:
            say("No differences.")
        elif self._repair:
            say(f"{_differences(found)}, {mended} of {mendable} mended.")
        else:
            say(f"{_differences(found)}, of which --repair would mend {mendable}.")


def _differences(number: int) -> str:
    return f"{number} difference{'' if number == 1 else 's'}"


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./install_run_project reconcile",
        description="Compares orders, payments, refunds, stock, labels and SMS with what the providers have. "
        "Exits with 0 when all agrees, 1 when something differs, 2 when it could not be compared.",
    )
    parser.add_argument("--repair", action="store_true", help="mend what is safe to mend, and compare again")
    parser.add_argument("--since", type=_days, metavar="DAYS", help="only what was made in the last DAYS days")
    parser.add_argument(
        "--grace",
        type=_seconds,
        default=GRACE,
        metavar="SECONDS",
        help=f"leave alone what is younger, for it may be under way (default {GRACE:g})",
    )
    return parser.parse_args(arguments)


def _days(text: str) -> float:
    return _number(text, "days")


def _seconds(text: str) -> float:
    return _number(text, "seconds")


def _number(text: str, of: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of {of}")
    return number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

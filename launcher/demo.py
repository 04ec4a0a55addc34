"""The demo catalogue in a running shop: load it (once, at the first start) and delete it, over the public API.

`python -m launcher.demo`: --first is for a start: only with DEMO, and only into a shop without products of its own;
--delete deletes; without an argument it loads what is missing.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import requests

from chassis.settings import HASHED_KEY, Settings
from launcher import processes
from launcher.demo_catalogue import CATALOGUE, MARK, Product
from launcher.place import ROOT, Place
from launcher.problem import Problem

TIMEOUT_S = 45.0  # for one answer: longer than the shop's own longest deadline
ATTEMPTS = 6
MAX_PAUSE_S = 5.0
# While the shop is busy or a part of it is away, repeating under the same key is safe.
REPEATABLE = (409, 429, 502, 503, 504)
# In VAR_DIR: the catalogue was loaded, or never will be by a start, since the shop has products of its own.
DONE = "demo-catalogue"

Say = Callable[[str], None]


class Demo:
    """The demo catalogue of one shop.

    Args:
        shop_url: of the gateway.
        public_url: what the URLs of the pictures begin with.
        admin_key: None while the admin routes are open.
    """

    def __init__(self, shop_url: str, public_url: str, admin_key: str | None = None) -> None:
        self._url = shop_url
        self._pictures = f"{public_url}/storefront/pictures"
        self._session = requests.Session()
        self._session.trust_env = False  # the gateway is on this machine: no proxy
        if admin_key is not None:
            self._session.headers["Authorization"] = f"Bearer {admin_key}"

    def has_other_products(self) -> bool:
        """Whether the shop has products that are not of the demo catalogue."""
        return any(MARK not in product["metadata"] for product in self._products())

    def load(self) -> int:
        """Create the products that are missing, and return how many there were. Raises Problem."""
        known = {product["metadata"].get(MARK) for product in self._products()}
        missing = [product for product in CATALOGUE if product.slug not in known]
        for product in missing:
            self._create(product)
        return len(missing)

    def delete(self) -> int:
        """Delete all products of the catalogue, and return how many there were. Raises Problem."""
        found = [product["id"] for product in self._products() if MARK in product["metadata"]]
        for product_id in found:
            self._ask("DELETE", f"/api/products/{product_id}/")
        return len(found)

    def _create(self, product: Product) -> None:
        self._ask("POST", "/api/products/", product.body(self._pictures))

    def _products(self) -> Iterator[dict[str, Any]]:
        cursor = None
        while True:
            page = self._ask("GET", "/api/products/?limit=100" + (f"&starting_after={cursor}" if cursor else ""))
            yield from page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer to a request, repeated under the same key while that is safe. Raises Problem."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        said = ""
        for attempt in range(ATTEMPTS):
            pause = 0.25 * 2**attempt
            try:
                answer = self._session.request(
                    method, self._url + path, json=body, headers=headers, timeout=TIMEOUT_S, allow_redirects=False
                )
            except requests.RequestException:
                said = "The gateway does not answer."
            else:
                if answer.ok:
                    return answer.json()
                said = f"{method} {path.partition('?')[0]}: {answer.status_code} {answer.text[:500]}"
                if answer.status_code not in REPEATABLE or (answer.status_code == 409 and not _wait(answer)):
                    break
                pause = max(pause, _wait(answer))
            time.sleep(min(pause, MAX_PAUSE_S))
        raise Problem(f"The demo catalogue could not be changed. {said}")


def _wait(answer: requests.Response) -> float:
    """The seconds of its `Retry-After`; 0 when there is none."""
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isdigit() else 0.0


def begin(place: Place, copy: str, env: dict[str, str], visible: bool) -> None:
    """Load the catalogue in the background, if this is the first start of this copy.

    Args:
        copy: its identifier, so that a stop ends this process, too.
        env: of the copy's processes.
        visible: whether to print what it does, or write it to the log `demo`.
    """
    if (place.var_dir / DONE).exists():
        return
    log = place.var_dir / "logs" / "demo.log"
    with contextlib.nullcontext() if visible else log.open("ab") as output:
        subprocess.Popen(
            [sys.executable, "-m", "launcher.demo", "--first"],
            cwd=ROOT,
            env={**env, processes.MARK: copy},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for the launcher
        )


def first(demo: Demo, done: Path, say: Say) -> None:
    """Load the catalogue into a shop without products of its own. Afterwards the file `done` exists. Raises Problem."""
    if not demo.has_other_products():
        say(f"Loading the demo catalogue of {len(CATALOGUE)} products …")
        demo.load()
        say("The demo catalogue is loaded.")
    done.touch()


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    if [*arguments] not in ([], ["--first"], ["--delete"]):
        print("demo takes --delete, or no argument.", file=sys.stderr)
        return 2
    try:
        settings = Settings.load(ROOT / "config.yml")
        done = Path(settings.var_dir) / DONE
        if "--first" in arguments and (settings.live or not settings.demo or done.exists()):
            return 0
        demo = _of(settings)
        if "--first" in arguments:
            first(demo, done, _say)
        else:
            deleted = "--delete" in arguments
            count = demo.delete() if deleted else demo.load()
            _say(f"{'Deleted' if deleted else 'Loaded'}: {count} products of the demo catalogue.")
            with contextlib.suppress(OSError):  # a container without VAR_DIR, where no start loads anything
                done.touch()
    except (Problem, ValueError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def _of(settings: Settings) -> Demo:
    """Raises Problem when the catalogue must not, or cannot, be loaded."""
    if settings.live:
        raise Problem(f"The demo catalogue is never loaded with a real provider ({settings.live_settings[0]}).")
    key = next((key for key in settings.admin_api_keys if not HASHED_KEY.fullmatch(key)), None)
    if settings.admin_api_keys and key is None:
        raise Problem("The demo catalogue needs an admin key, and ADMIN_API_KEYS has only digests.")
    # In a container the gateway is another machine, whose address the sandbox knows, too.
    shop_url = os.environ.get("WEBHOOK_URL") or Place.from_env(os.environ).gateway_url
    return Demo(shop_url, settings.public_url, key)


def _say(sentence: str) -> None:
    print(sentence, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""``python -m launcher.steady_load URL``: requests without a pause until SIGTERM; exit status 1 when any failed.

`.ci/run` sends them while it replaces the gateways of the containerized shop.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import urllib.error
import urllib.request
from collections import Counter

SHOPPERS = 4
ANSWER_WAIT_S = 60.0


def main(arguments: list[str]) -> int:
    """Send GET and POST requests from some threads; print the number of answers of each status."""
    [url] = arguments
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: over.set())
    seen: Counter[str] = Counter()
    threads = [threading.Thread(target=_shop, args=(url, over, seen)) for _ in range(SHOPPERS)]
    for thread in threads:
        thread.start()
    while not over.wait(1):
        pass
    for thread in threads:
        thread.join()
    print(json.dumps(seen), flush=True)
    return 0 if set(seen) == {"POST 201", "GET 200"} else 1


def _shop(url: str, over: threading.Event, seen: Counter[str]) -> None:
    """Use a new cart each time. The POST has no idempotency key, so nothing may repeat it."""
    while not over.is_set():
        seen[_ask("POST", f"{url}/api/cart/")] += 1
        seen[_ask("GET", f"{url}/api/products/")] += 1


def _ask(method: str, url: str) -> str:
    request = urllib.request.Request(url, method=method, data=b"" if method == "POST" else None)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_WAIT_S) as answer:  # noqa: S310  http, as given
            answer.read()
            return f"{method} {answer.status}"
    except urllib.error.HTTPError as error:
        return f"{method} {error.code}"
    except OSError as error:
        return f"{method} {type(error).__name__}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

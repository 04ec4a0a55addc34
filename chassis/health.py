"""Whether a service is up: ``python -m chassis.health cart`` exits with 0 when it answers, else with 1 and a message.

Containers' health checks run this.
"""

from __future__ import annotations

import sys

from chassis.rpc.client import RpcClient
from chassis.settings import Settings
from contracts.errors import ShopError

ANSWER_TIMEOUT_S = 4.0


def main(services: list[str]) -> int:
    """Ask each of `services` for its health; returns the exit status."""
    client = RpcClient(Settings.load().amqp_uri, name="health check").start()
    client.link.wait(ANSWER_TIMEOUT_S)
    try:
        for service in services:
            client.call(service, "health", timeout=ANSWER_TIMEOUT_S)
    except ShopError as error:
        print(error.detail, file=sys.stderr)
        return 1
    finally:
        client.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""FastStream's RabbitMQ broker with its fastest settings that still guarantee an answer.

As documented: no confirms, a prefetch that keeps its workers busy, no validation of the message (`apply_types=False`),
no logging. Messages are not persistent, and are acknowledged after the answer. Both are its defaults, and the same as
on our side.
"""

from __future__ import annotations

import os

from faststream.rabbit import Channel, RabbitBroker

QUEUE = "bench-faststream-product"
PREFETCH = 200


def broker() -> RabbitBroker:
    """Return a broker at AMQP_URI, not connected yet."""
    return RabbitBroker(
        os.environ["AMQP_URI"],
        default_channel=Channel(publisher_confirms=False, prefetch_count=PREFETCH),
        logger=None,
        apply_types=False,
    )

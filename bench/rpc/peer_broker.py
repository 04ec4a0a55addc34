"""FastStream's RabbitMQ broker with its fastest settings that keep its promise to answer.

As its documentation has it: no confirms, a prefetch that keeps its workers busy, no validation of the message
(`apply_types=False`), no logging. Messages are not persistent, which is its default, and acknowledged after the
answer, which is its default, too, and what our side does.
"""

from __future__ import annotations

import os

from faststream.rabbit import Channel, RabbitBroker

QUEUE = "bench-faststream-product"
PREFETCH = 200


def broker() -> RabbitBroker:
    """A broker at AMQP_URI, not connected yet."""
    return RabbitBroker(
        os.environ["AMQP_URI"],
        default_channel=Channel(publisher_confirms=False, prefetch_count=PREFETCH),
        logger=None,
        apply_types=False,
    )

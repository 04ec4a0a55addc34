from typing import Any

from .channel import Channel
from .serialization import GenericContent

class Message(GenericContent):
    body: bytes  # of a message that was received; the shop sends bytes only
    channel: Channel | None
    # None in a message that was not received.
    delivery_info: dict[str, Any] | Any
    def __init__(
        self, body: bytes | str = "", children: object = None, channel: Channel | None = None, **properties: Any
    ) -> None: ...
    @property
    def headers(self) -> dict[str, Any] | None: ...
    @property
    def delivery_tag(self) -> int: ...

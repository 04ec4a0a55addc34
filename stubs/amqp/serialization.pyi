from typing import Any

class GenericContent:
    properties: dict[str, Any]
    def __init__(
        self, frame_method: tuple[int, int] | None = None, frame_args: bytes | None = None, **props: Any
    ) -> None: ...

def decode_properties_basic(buf: bytes | memoryview, offset: int) -> tuple[dict[str, Any], int]: ...

from collections.abc import Mapping, Sequence

class HTTPError(Exception):
    status: str  # "404 Not Found"
    title: str
    description: str | None
    headers: Mapping[str, str] | Sequence[tuple[str, str]] | None
    code: int | None
    def __init__(
        self,
        status: str,
        title: str | None = None,
        description: str | None = None,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        href: str | None = None,
        href_text: str | None = None,
        code: int | None = None,
    ) -> None: ...

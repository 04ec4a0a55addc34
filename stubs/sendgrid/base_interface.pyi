from python_http_client import Client

class BaseInterface:
    client: Client
    def __init__(self, auth: str, host: str, impersonate_subuser: str | None) -> None: ...

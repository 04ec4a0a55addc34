from .base_interface import BaseInterface

class SendGridAPIClient(BaseInterface):
    def __init__(
        self,
        api_key: str | None = None,
        host: str = "https://api.sendgrid.com",
        impersonate_subuser: str | None = None,
    ) -> None: ...

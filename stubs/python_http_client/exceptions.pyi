from email.message import Message

class HTTPError(Exception):
    status_code: int
    reason: str
    body: bytes
    headers: Message

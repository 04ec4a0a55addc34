from . import exceptions as exceptions, spec as spec
from .basic_message import Message as Message
from .channel import Channel as Channel
from .connection import Connection as Connection
from .exceptions import (
    AccessRefused as AccessRefused,
    AMQPError as AMQPError,
    ChannelError as ChannelError,
    ConnectionError as ConnectionError,
    FrameSyntaxError as FrameSyntaxError,
    NotAllowed as NotAllowed,
    NotFound as NotFound,
)

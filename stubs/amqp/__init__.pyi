from . import exceptions as exceptions
from . import spec as spec
from .basic_message import Message as Message
from .channel import Channel as Channel
from .connection import Connection as Connection
from .exceptions import (
    AccessRefused as AccessRefused,
)
from .exceptions import (
    AMQPError as AMQPError,
)
from .exceptions import (
    ChannelError as ChannelError,
)
from .exceptions import (
    ConnectionError as ConnectionError,
)
from .exceptions import (
    FrameSyntaxError as FrameSyntaxError,
)
from .exceptions import (
    NotAllowed as NotAllowed,
)
from .exceptions import (
    NotFound as NotFound,
)

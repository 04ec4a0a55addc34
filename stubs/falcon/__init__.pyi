from .api import API as API
from .constants import HTTP_METHODS as HTTP_METHODS
from .http_error import HTTPError as HTTPError
from .request import Request as Request
from .response import Response as Response

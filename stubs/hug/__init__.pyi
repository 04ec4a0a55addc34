from . import output_format as output_format
from .api import API as API
from .route import http as http

from . import patcher as patcher
from .greenpool import GreenPool as GreenPool
from .greenthread import sleep as sleep
from .greenthread import spawn as spawn
from .greenthread import spawn_after as spawn_after
from .timeout import Timeout as Timeout

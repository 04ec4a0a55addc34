from . import errors as errors
from .utils import TypeDefinition as TypeDefinition
from .validator import Validator as Validator

from .routing import URLRouter as http

__all__ = ["http"]

from .routing import URLRouter

http = URLRouter

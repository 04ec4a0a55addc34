from .format import content_type as content_type

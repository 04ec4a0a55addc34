HTTP_METHODS: tuple[str, ...]

"""The routes, one module per chapter of the API; each translates a request into one call and its answer back."""

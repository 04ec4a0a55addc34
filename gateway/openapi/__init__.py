"""The description of the API (OpenAPI 3.1), made from the schemas that validate, and the page that shows it."""

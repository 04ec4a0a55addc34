"""Renders mails from templates. Everything that comes from a customer or a product is escaped in HTML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,  # a misspelt name raises here instead of leaving a gap in a customer's mail
    trim_blocks=True,
    lstrip_blocks=True,
)


def letter(template: str, variables: Mapping[str, Any]) -> tuple[str, str]:
    """Render a mail's two bodies.

    Args:
        template: its name: ``<name>.txt`` and ``<name>.html`` are in `templates`.
        variables: the template variables.

    Returns:
        The plain text, and the HTML.
    """
    text, html = (TEMPLATES.get_template(f"{template}.{kind}").render(variables) for kind in ("txt", "html"))
    return text, html

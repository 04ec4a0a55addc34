"""The documentation builds as a site without warnings, and the site loads nothing from other hosts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.e2e.journeys.pages import ROOT, pages


def test_site_builds_strictly_and_is_self_contained(tmp_path: Path) -> None:
    site = tmp_path / "site"
    command = [sys.executable, "-m", "properdocs", "build", "--strict", "--site-dir", str(site)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stderr
    for page in pages()[1:]:
        path = Path(page).relative_to("docs")
        made = (
            site / path.with_suffix(".html") if path.name == "index.md" else site / path.with_suffix("") / "index.html"
        )
        assert made.is_file(), page
    assert not (site / "site_hooks.py").exists()
    for made in [*site.rglob("*.html"), *site.rglob("*.css")]:
        text = made.read_text(encoding="utf-8")
        loaded = re.findall(r"""(?:src=|<link[^>]* href=|url\(|@import )["']?(?:https?:)?//[^"')>\s]+""", text)
        assert loaded == [], made

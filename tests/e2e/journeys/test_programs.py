"""The programs that the documentation prints."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from launcher.place import ROOT
from tests.browser import Tab
from tests.docs.test_reference import PROGRAMS
from tests.e2e.journeys.pages import SHOP, blocks, markdown_files, read
from tests.e2e.journeys.shop import Storefront

TUTORIAL = "docs/tutorial.md"


def printed(kind: str, shop: Storefront) -> str:
    """The tutorial's program of a kind, for this shop."""
    [program] = [text for _, _, found, text in blocks(read(TUTORIAL)) if found == kind]
    return program.replace(SHOP, shop.url)


def test_only_the_tutorial_prints_programs() -> None:
    found = [(page, kind) for page in markdown_files() for _, _, kind, _ in blocks(read(page)) if kind in PROGRAMS]
    assert found == [(TUTORIAL, "python"), (TUTORIAL, "js")]


def test_python_program_buys(shop: Storefront) -> None:
    shop.product()
    done = subprocess.run(
        [sys.executable, "-c", printed("python", shop)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, "paid\n"), done.stderr


def test_javascript_program_buys(
    shop: Storefront, tab: Tab, tmp_path: Path, serve_folder: Callable[[Path], int]
) -> None:
    shop.product()
    (tmp_path / "client.js").write_bytes((ROOT / "storefront" / "client.js").read_bytes())
    (tmp_path / "page.js").write_text(printed("js", shop))
    (tmp_path / "index.html").write_text('<!doctype html><script type="module" src="page.js"></script>')
    said: list[str] = []
    tab.page.on("console", lambda message: said.append(message.text) if message.type == "log" else None)
    with tab.page.expect_console_message(lambda message: message.text == "paid"):
        tab.page.goto(f"http://localhost:{serve_folder(tmp_path)}/")
    assert said[0].startswith("true 402 ")
    assert said[-1] == "paid"

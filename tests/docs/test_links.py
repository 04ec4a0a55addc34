"""Every link and anchor in every Markdown file resolves, and every named file exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.journeys.pages import ROOT, pages, prose

# Folders that tools and a running shop create.
GENERATED = ("var", "site", "__pycache__")


def _ours(pattern: str) -> Iterator[Path]:
    """The repository's own files."""
    for path in ROOT.rglob(pattern):
        folders = path.relative_to(ROOT).parts[:-1]
        if path.is_file() and not any(
            each in GENERATED or (each.startswith(".") and each != ".ci") for each in folders
        ):
            yield path


FILES = sorted(str(path.relative_to(ROOT)) for path in _ours("*.md"))
# Other pages, such as the changelog, may name files of earlier releases.
NAMING = [name for name in FILES if name in {*pages(), "CONTRIBUTING.md", "SECURITY.md"}]
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir()}
RUNTIME = "var/"
_LINK = re.compile(r"!?\[(?:[^\]\\]|\\.)*\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)*/?")


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site generate them."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def _links() -> Iterator[tuple[str, str]]:
    for name in FILES:
        for link in sorted(set(_LINK.findall(prose(_text(name))))):
            if not re.match(r"[a-z]+:", link):
                yield name, link


@pytest.mark.parametrize(("name", "link"), [pytest.param(*each, id=" -> ".join(each)) for each in _links()])
def test_link_resolves(name: str, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = (ROOT / name).parent / path if path else ROOT / name
    assert target.exists()
    if anchor:
        assert anchor in _anchors(target.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMING)
def test_named_files_exist(name: str) -> None:
    missing = set()
    for span in _SPAN.findall(prose(_text(name))):
        is_ours = _PATH.fullmatch(span) and "/" in span and span.split("/")[0] in FOLDERS
        is_code = _PATH.fullmatch(span) and "/" in span and re.search(r"\.(py|yml|json|md|svg|sh)$", span)
        if (is_ours or is_code) and not span.startswith(RUNTIME) and not (ROOT / span).exists():
            missing.add(span)
    assert missing == set()


def test_many_files_are_named() -> None:
    spans = [span for name in NAMING for span in _SPAN.findall(prose(_text(name)))]
    assert sum((ROOT / span).is_file() for span in spans if _PATH.fullmatch(span)) > 100


def test_code_refers_to_pages_that_exist() -> None:
    kinds = (".py", ".yml", ".toml", ".example", "")
    code = [path for path in _ours("*") if path.suffix in kinds and path.name not in ("test_links.py", ".git")]
    assert len(code) > 300
    found = 0
    for path in code:
        text = path.read_text(encoding="utf-8", errors="replace")
        for page in re.findall(r"\bdocs/[\w/.-]+\.md", text):
            found += 1
            assert (ROOT / page).exists(), f"{path}: {page}"
        assert "DECISIONS" not in text, path
        assert not re.search(r"README(?:'s chapter|, \")", text), path
    assert found > 5


def test_every_page_is_linked() -> None:
    """A reader reaches every page from the README."""
    reached, new = {"README.md"}, {"README.md"}
    links = list(_links())
    while new:
        targets = {
            ((ROOT / name).parent / link.partition("#")[0]).resolve()
            for name, link in links
            if name in new and not link.startswith("#")
        }
        new = {str(path.relative_to(ROOT)) for path in targets if path.suffix == ".md"} - reached
        reached |= new
    assert {page for page in pages() if Path(page) != Path("docs/index.md")} - reached == set()

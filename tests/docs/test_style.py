"""The required documents exist, agree with each other, and follow the style."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from tests.e2e.journeys.pages import ROOT, markdown_files, prose, read

# Words that a native reader stumbles over. Text in backticks is a quotation.
AVOIDED = re.compile(r"whoever|whatever|\btold\b|\banew\b|is to be had", re.IGNORECASE)
RECORDS = sorted(path.name for path in (ROOT / "docs" / "adr").glob("0*.md"))
LONGEST_README = 150
LONGEST_SENTENCE = 30  # words; the style recommends 25


def _project(field: str) -> str:
    """A text field of the first table in pyproject.toml. Python 3.10 has no TOML parser."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(rf'^{field} = "([^"]+)"$', text.split("\n\n")[0], re.MULTILINE)
    assert found
    return found[1]


def _sentences(text: str) -> list[str]:
    """The sentences of a page, without code, tables and headings."""
    plain = re.sub(r"`[^`]*`|\]\([^)]*\)", "x", prose(text))
    lines = [line for line in plain.splitlines() if not re.match(r"\s*(\||#|!)", line)]
    parts = re.split(r"\n\s*\n|\n\s*(?:[-*]|\d+\.) ", "\n".join(lines))
    return [sentence for part in parts for sentence in re.split(r"(?<=[.:;?!])\s", part)]


@pytest.mark.parametrize("name", markdown_files())
def test_avoided_words_are_absent(name: str) -> None:
    assert AVOIDED.findall(re.sub(r"`[^`\n]*`", "", prose(read(name)))) == []


def test_avoided_words_are_absent_from_code() -> None:
    """Names, comments, messages and configuration included; saved results are history."""
    settings = (".env.example", "config.yml", "docker-compose.yml", "pyproject.toml", "Dockerfile")
    sources = [ROOT / name for name in settings]
    for folder in ROOT.iterdir():
        if folder.is_dir() and folder.name not in (".venv", "var", "docs", "site"):
            sources += [path for path in folder.rglob("*") if path.suffix in (".py", ".pyi", ".html", ".txt")]
    sources.remove(Path(__file__))
    assert [str(path) for path in sources if AVOIDED.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("name", markdown_files())
def test_sentences_are_short(name: str) -> None:
    assert [each for each in _sentences(read(name)) if len(each.split()) > LONGEST_SENTENCE] == []


@pytest.mark.parametrize("name", markdown_files())
def test_lists_and_tables_follow_a_blank_line(name: str) -> None:
    """Without the blank line, the site shows them as plain text."""
    lines = prose(read(name)).splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        for start in (r"\s*(?:[-*]|\d+\.) ", r"\|"):
            if re.match(start, line) and not before.startswith(" "):
                assert not before.strip() or re.match(start, before), line


def test_readme_is_short() -> None:
    assert len(read("README.md").splitlines()) <= LONGEST_README


def test_version_is_the_newest_release_of_the_changelog() -> None:
    headings = re.findall(r"^## \[([^\]]+)\](?: - (\d{4}-\d\d-\d\d))?$", read("CHANGELOG.md"), re.MULTILINE)
    released = [(version, day) for version, day in headings if version != "Unreleased"]
    assert len(headings) == len(re.findall(r"^## ", read("CHANGELOG.md"), re.MULTILINE))
    assert headings[0][0] in ("Unreleased", released[0][0])
    assert _project("version") == released[0][0]
    days = [date.fromisoformat(day) for _, day in released]
    assert days == sorted(days, reverse=True)


def test_supported_python_versions_are_documented() -> None:
    oldest, newest = map(int, re.findall(r"3\.(\d+)", _project("requires-python")))
    assert f"Python 3.{oldest} to 3.{newest - 1}" in read("README.md")
    listed = re.search(r"^- Python ((?:3\.\d+(?:, | or )?)+) with its `venv`", read("docs/operating/install.md"), re.M)
    assert listed
    assert [int(minor) for minor in re.findall(r"3\.(\d+)", listed[1])] == list(range(oldest, newest))


def test_licence_is_mit() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("MIT License")
    assert "the Micro-services authors" in text
    assert _project("license") == "MIT"


def test_decision_records_are_numbered_and_listed() -> None:
    assert [int(name[:4]) for name in RECORDS] == list(range(1, len(RECORDS) + 1))
    index = read("docs/adr/index.md")
    for name in RECORDS:
        title = re.match(r"# (\d{4})\. (.+)\n", read(f"docs/adr/{name}"))
        assert title
        assert title[1] == name[:4]
        assert f"| [{name[:4]}]({name}) | {title[2]} | " in index


@pytest.mark.parametrize("name", RECORDS)
def test_decision_record_has_its_parts(name: str) -> None:
    text = read(f"docs/adr/{name}")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    day = re.search(r"^- Date: (\d{4}-\d\d-\d\d)$", text, re.MULTILINE)
    assert day
    assert date.fromisoformat(day[1])
    assert re.search(r"^- Status: (accepted|superseded by \[)", text, re.MULTILINE)
    assert all(part.strip() for part in re.split(r"^## .+$", text, flags=re.MULTILINE)[1:])

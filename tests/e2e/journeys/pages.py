"""Reads the documentation for its tests: the commands on each page, the shown answers, and a shell to run them.

Each page that prints commands is a story of its own. The story of a page that links to the setup starts with the setup.
"""

from __future__ import annotations

import re
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.place import ROOT

SETUP = "docs/api/index.md"
# The commands on these pages need the launcher, so the tests cannot run them on a shop that was started elsewhere.
OPERATING = "docs/operating/"
SHOP, SANDBOX = "http://127.0.0.1:8000", "http://127.0.0.1:8100"
SHOPPER = "chloe@example.com"
ANSWERS = ("http", "text")
_FENCE = re.compile(r"```(\w*)")
_SETUP_LINK = re.compile(r"\]\((?:\.\./)?(?:api/)?index\.md#setup\)")


@dataclass(frozen=True)
class Step:
    """One block of commands and the answer that the page shows for it.

    Attributes:
        page: relative to the repository, such as "docs/tutorial.md".
        line: the line of the first command, counted from 1.
        section: the heading (``## …``) above the block.
        command: shell lines, as printed.
        kind: the form of the answer: "http" (a status line, some headers, a body), "text", or "" for no answer.
        answer: the text shown.
    """

    page: str
    line: int
    section: str
    command: str
    kind: str = ""
    answer: str = ""

    @property
    def title(self) -> str:
        """The step's name in a report."""
        first = self.command.splitlines()[0]
        return f"{self.page}:{self.line}: {first if len(first) < 90 else first[:89] + '…'}"


def pages() -> list[str]:
    """Every page of the documentation, relative to the repository."""
    return ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]


def markdown_files() -> list[str]:
    """Every page, and the other Markdown files in the root of the repository."""
    return sorted({*pages(), *(path.name for path in ROOT.glob("*.md"))})


def read(page: str) -> str:
    """The text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def story(page: str) -> list[Step]:
    """Every step that a reader of this page takes, including the setup; empty if the page prints no commands."""
    text = read(page)
    own = steps(text, page)
    if not own or page == SETUP or not _SETUP_LINK.search(text):
        return own
    return [*steps(read(SETUP), SETUP), *own]


def stories() -> dict[str, list[Step]]:
    """Map each page that needs only a shop and its sandbox to its story."""
    found = {page: story(page) for page in pages() if not page.startswith(OPERATING)}
    return {page: todo for page, todo in found.items() if todo}


def steps(text: str, page: str = "") -> list[Step]:
    """Every ``sh`` block of a page. A following ``http`` or ``text`` block is its answer.

    Raises ValueError for an answer without a command, and for a block that never ends.
    """
    found: list[Step] = []
    answerable = False
    for line, section, kind, body in blocks(text):
        if kind == "sh":
            found.append(Step(page, line, section, body))
            answerable = True
        elif kind in ANSWERS:
            if not answerable or found[-1].section != section:
                raise ValueError(f"{page}:{line}: an answer without a question")
            found[-1] = Step(page, found[-1].line, section, found[-1].command, kind, body)
            answerable = False
    return found


def for_shop(todo: Sequence[Step], shop_url: str, sandbox_url: str) -> list[Step]:
    """The same steps for a shop at other addresses, with a new shopper."""
    shopper = f"chloe-{uuid.uuid4().hex[:8]}@example.com"

    def here(text: str) -> str:
        for shown, real in ((SHOP, shop_url), (SANDBOX, sandbox_url), (SHOPPER, shopper)):
            text = text.replace(shown, real)
        return text

    return [Step(each.page, each.line, each.section, here(each.command), each.kind, here(each.answer)) for each in todo]


def run(todo: Sequence[Step], cwd: Path, env: Mapping[str, str], timeout: float) -> list[str]:
    """Run all steps in one shell; return the output of each step, with both streams together.

    Raises AssertionError when a command fails (with its output), subprocess.TimeoutExpired after `timeout` seconds.
    """
    mark = f"--{uuid.uuid4().hex}--"
    script = "\n".join(f"{step.command}\nprintf '%s %d\\n' {mark} $?" for step in todo)
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
    )
    parts = re.split(rf"{mark} (\d+)\n", done.stdout.decode())
    outputs, statuses = parts[0:-1:2], parts[1::2]
    for step, output, status in zip(todo, outputs, statuses, strict=False):
        assert status == "0", f"{step.title} ended with {status}:\n{output}"
    assert len(outputs) == len(todo), f"the shell stopped after {len(outputs)} of {len(todo)} steps:\n{parts[-1]}"
    return outputs


def blocks(text: str) -> Iterator[tuple[int, str, str, str]]:
    """Yield the line, section, kind and text of every fenced block."""
    section, kind, start = "", None, 0
    body: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.fullmatch(line)
        if kind is None and fence:
            kind, start, body = fence[1], number + 1, []
        elif kind is not None and line == "```":
            yield start, section, kind, "\n".join(body)
            kind = None
        elif kind is not None:
            body.append(line)
        elif line.startswith("## "):
            section = line[3:].strip()
    if kind is not None:
        raise ValueError(f"line {start}: a block without an end")


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```\w*\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)

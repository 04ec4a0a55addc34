"""README.md as its tests read it: the commands in its chapters, the answers that it shows, and a shell to run them."""

from __future__ import annotations

import re
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.place import ROOT

README = ROOT / "README.md"
SHOP, SANDBOX = "http://127.0.0.1:8000", "http://127.0.0.1:8100"
SHOPPER = "chloe@example.com"
ANSWERS = ("http", "text")
# The chapters that need nothing but a shop and its sandbox, wherever they run.
STORY = "The API, told as a story"
TOLD = (STORY, "The sandbox")
_FENCE = re.compile(r"```(\w*)")


@dataclass(frozen=True)
class Step:
    """One block of commands, and the answer shown under it.

    Attributes:
        line: of its first command, counted from 1.
        chapter: the heading (``## …``) that it stands under.
        command: shell lines, as printed.
        kind: how the answer is shown: "http" (a status line, some headers, a body), "text", or "" for none at all.
        answer: the text shown.
    """

    line: int
    chapter: str
    command: str
    kind: str = ""
    answer: str = ""

    @property
    def title(self) -> str:
        """What a report calls it."""
        first = self.command.splitlines()[0]
        return f"{self.line}: {first if len(first) < 90 else first[:89] + '…'}"


def steps(text: str) -> list[Step]:
    """Every ``sh`` block of a README; an ``http`` or ``text`` block that follows one is its answer.

    Raises ValueError for an answer without a question, and for a block that never ends.
    """
    found: list[Step] = []
    answerable = False
    for line, chapter, kind, body in _blocks(text):
        if kind == "sh":
            found.append(Step(line, chapter, body))
            answerable = True
        elif kind in ANSWERS:
            if not answerable or found[-1].chapter != chapter:
                raise ValueError(f"line {line}: an answer without a question")
            found[-1] = Step(found[-1].line, chapter, found[-1].command, kind, body)
            answerable = False
    return found


def for_shop(text: str, shop_url: str, sandbox_url: str) -> str:
    """The README as somebody would have written it whose shop stands elsewhere, and whose shopper has never bought."""
    shopper = f"chloe-{uuid.uuid4().hex[:8]}@example.com"
    for shown, here in ((SHOP, shop_url), (SANDBOX, sandbox_url), (SHOPPER, shopper)):
        text = text.replace(shown, here)
    return text


def run(todo: Sequence[Step], cwd: Path, env: Mapping[str, str], timeout: float) -> list[str]:
    """What each step prints, on either stream, all of them typed into one shell.

    Raises AssertionError when a command fails (with what was printed), subprocess.TimeoutExpired after `timeout` s.
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
    said, statuses = parts[0:-1:2], parts[1::2]
    for step, output, status in zip(todo, said, statuses, strict=False):
        assert status == "0", f"README.md:{step.title} ended with {status}:\n{output}"
    assert len(said) == len(todo), f"the shell stopped after {len(said)} of {len(todo)} steps:\n{parts[-1]}"
    return said


def _blocks(text: str) -> Iterator[tuple[int, str, str, str]]:
    """Line, chapter, kind and text of every fenced block."""
    chapter, kind, start = "", None, 0
    body: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.fullmatch(line)
        if kind is None and fence:
            kind, start, body = fence[1], number + 1, []
        elif kind is not None and line == "```":
            yield start, chapter, kind, "\n".join(body)
            kind = None
        elif kind is not None:
            body.append(line)
        elif line.startswith("## "):
            chapter = line[3:].strip()
    if kind is not None:
        raise ValueError(f"line {start}: a block without an end")

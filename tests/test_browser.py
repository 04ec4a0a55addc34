"""The browser of the tests ends in time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests import browser
from tests.browser import Chromium, Tab


def test_browser_that_does_not_close_is_killed(
    chromium: Chromium, open_tab: Callable[..., Tab], monkeypatch: pytest.MonkeyPatch
) -> None:
    tab = open_tab()
    monkeypatch.setattr(browser, "CLOSE_TIMEOUT_S", 0.5)
    chromium.end(lambda: tab.run("new Promise(() => {})"))  # Playwright does not bound it
    monkeypatch.undo()
    assert open_tab().run("1 + 1") == 2


def test_failure_to_close_is_reported(chromium: Chromium, open_tab: Callable[..., Tab]) -> None:
    tab = open_tab()
    with pytest.raises(Exception, match="no such thing"):
        chromium.end(lambda: tab.run("throw new Error('no such thing')"))

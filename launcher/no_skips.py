"""A pytest plugin (`-p launcher.no_skips`): a test that is skipped, or expected to fail, counts as failed."""

from __future__ import annotations

import pytest

_excused: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Record a test that did not run to its end."""
    if report.skipped:
        _excused.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Record a module that was skipped."""
    if report.skipped:
        _excused.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that succeeded only because of skipped tests."""
    if _excused and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the skipped tests."""
    if _excused:
        terminalreporter.section("skipped tests count as failed", red=True, bold=True)
        for name in _excused:
            terminalreporter.line(name)

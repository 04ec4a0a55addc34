"""A pytest plugin (`-p launcher.no_skips`): a test that was skipped, or expected to fail, has failed."""

from __future__ import annotations

import pytest

_excused: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notice a test that did not run to its end."""
    if report.skipped:
        _excused.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Notice a module that asked to be left out."""
    if report.skipped:
        _excused.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run that was green but for what it left out."""
    if _excused and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tests they were."""
    if _excused:
        terminalreporter.section("skipped tests count as failed", red=True, bold=True)
        for name in _excused:
            terminalreporter.line(name)

"""Branch coverage of the processes that tests start."""

from __future__ import annotations

from coverage import Coverage

from launcher.place import ROOT


def coverage_env() -> dict[str, str]:
    """The variables with which a Python process measures its coverage; none unless this process measures its own.

    A process writes its data when it exits, also after SIGTERM. Only fixtures that cover much use it: measuring takes
    CPU time, and a killed process writes nothing.
    """
    if Coverage.current() is None:
        return {}
    return {"COVERAGE_PROCESS_START": f"{ROOT / 'pyproject.toml'}", "COVERAGE_FILE": f"{ROOT / '.coverage'}"}

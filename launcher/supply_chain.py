"""`sbom` and `audit`: the pinned packages of requirements.lock, and their known vulnerabilities."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from launcher import screen
from launcher.place import ROOT, environment
from launcher.problem import Problem
from launcher.shop import without_keys

LOCK = "requirements.lock"  # relative to the repository, so that reports contain no path of this machine
# Validation takes eight times as long as everything else; a test does it.
SBOM = f"cyclonedx_py requirements {LOCK} --pyproject pyproject.toml --output-reproducible --no-validate".split()
# A cache could hide that the service is unreachable, so `audit` uses an empty one. Each answer has 15 seconds.
AUDIT = f"pip_audit --require-hashes -r {LOCK} --disable-pip --progress-spinner off --timeout 15".split()
AUDIT += ["--format", "json", "--output", "stdout"]
SBOM_SECONDS = 120.0
AUDIT_SECONDS = 300.0
OK, VULNERABLE, UNKNOWN = 0, 1, 2


def sbom(arguments: Sequence[str]) -> int:
    """Write the SBOM to the named file, else to standard output. Raises Problem."""
    try:
        done = _tool(SBOM, SBOM_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise Problem(f"The SBOM was not made within {SBOM_SECONDS:.0f} s.") from error
    if done.returncode != 0:
        raise Problem("The SBOM could not be made.", done.stderr.decode(errors="replace"))
    if not arguments:
        sys.stdout.buffer.write(done.stdout)
        sys.stdout.flush()
        return OK
    path = Path(ROOT / arguments[0])
    try:
        path.write_bytes(done.stdout)
    except OSError as error:
        raise Problem(f"The SBOM could not be written: {error}.") from error
    screen.say(f"The SBOM is in {path}.")
    return OK


def audit(_: Sequence[str]) -> int:
    """Print the known vulnerabilities: OK without any, VULNERABLE with some, UNKNOWN when a package was not looked
    up."""
    try:
        with tempfile.TemporaryDirectory(prefix="shop-audit-") as cache:
            done = _tool([*AUDIT, "--cache-dir", cache], AUDIT_SECONDS)
        report = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return _unknown(f"the vulnerability data did not come within {AUDIT_SECONDS:.0f} s.")
    except ValueError:  # pip-audit exits with 1 for a finding and for a failure; only its report shows which
        words = done.stderr.decode(errors="replace").split("\n")
        last = next((line for line in reversed(words) if line.strip()), "nothing")
        return _unknown(f"are the vulnerability data within reach? pip-audit's last words: {last}")
    except (OSError, Problem) as error:
        return _unknown(str(error))
    return verdict(report["dependencies"])


def verdict(packages: Sequence[dict[str, Any]]) -> int:
    """Print pip-audit's report on `packages`; return the exit status. A skipped package does not count as safe."""
    found = [(package, vulnerability) for package in packages for vulnerability in package.get("vulns", ())]
    for package, vulnerability in found:
        names = " = ".join([vulnerability["id"], *vulnerability.get("aliases", ())])
        fixed = ", ".join(vulnerability["fix_versions"]) or "no version"
        screen.say(screen.printable(f"{package['name']} {package['version']}: {names}, fixed in {fixed}"))
    skipped = [package for package in packages if "vulns" not in package]
    status = OK
    if skipped or not packages:
        first = f", the first of them {skipped[0]['name']}" if skipped else ""
        status = _unknown(f"{len(skipped)} of {len(packages)} are not in the vulnerability data{first}.")
    elif not found:
        screen.say(f"None of {len(packages)} packages has a known vulnerability.")
    return VULNERABLE if found else status


def _unknown(reason: str) -> int:
    screen.errors.print(screen.printable(f"The packages could not be audited: {reason}"), markup=False)
    return UNKNOWN


def _tool(command: Sequence[str], seconds: float) -> subprocess.CompletedProcess[bytes]:
    env = without_keys(environment())
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=env, capture_output=True, timeout=seconds)

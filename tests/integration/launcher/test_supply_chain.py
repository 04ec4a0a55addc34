"""`sbom` and `audit`: the SBOM lists every pinned package, and no package counts as safe without a look-up."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from launcher import supply_chain
from launcher.place import ROOT
from tests.scripted_server import Scripted, ScriptedServer

PIN = re.compile(r"^([\w.-]+)==([^ ]+)[^#]*?((?:\s+--hash=sha256:\w+(?: \\)?)+)", re.MULTILINE)
FOUND = {"id": "PYSEC-1", "aliases": ["CVE-1"], "affected": [{"package": {"name": "x", "ecosystem": "PyPI"}}]}


def _launcher(*arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "launcher", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=120)


@pytest.fixture(autouse=True)
def osv(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A stub of the OSV vulnerability service, which the audit uses instead of PyPI."""
    server = ScriptedServer()
    server.answers = [Scripted(body=b"{}")]
    for name, value in _osv_settings(server.url).items():
        monkeypatch.setenv(name, value)
    yield server
    server.stop()


def _osv_settings(url: str) -> dict[str, str]:
    return {"PIP_AUDIT_VULNERABILITY_SERVICE": "osv", "PIP_AUDIT_OSV_URL": url, "NO_PROXY": "127.0.0.1"}


def test_an_sbom_lists_all_pins_with_their_hashes() -> None:
    # Every pytest process collects this file, and importing these takes seconds.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    printed = _launcher("sbom", env={"PYTHONHASHSEED": "1"})
    assert printed.returncode == 0, printed.stderr
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(printed.stdout) is None
    sbom = json.loads(printed.stdout)
    assert sbom["bomFormat"] == "CycloneDX"
    assert sbom["metadata"]["component"]["name"] == "micro-services"
    listed = {
        (part["name"], part["version"]): {
            digest["content"] for reference in part["externalReferences"] for digest in reference["hashes"]
        }
        for part in sbom["components"]
    }
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = {(name, version): set(re.findall(r"sha256:(\w+)", hashes)) for name, version, hashes in PIN.findall(lock)}
    assert len(pins) == lock.count("==") - len(re.findall(r"; .*==", lock)) > 70
    assert listed == pins


def test_sbom_is_reproducible_and_contains_no_path(tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    written = _launcher("sbom", str(file), env={"PYTHONHASHSEED": "1", "HOME": str(tmp_path)})
    assert (written.returncode, written.stdout) == (0, f"The SBOM is in {file}.\n"), written.stderr
    assert stat.S_IMODE(file.stat().st_mode) & 0o044 == 0o044 & ~_umask()
    text = file.read_text(encoding="utf-8")
    assert _launcher("sbom", env={"PYTHONHASHSEED": "2"}).stdout == text
    assert not [path for path in (str(ROOT), str(tmp_path), sys.prefix, "file:") if path in text]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_unwritable_sbom_prints_a_sentence(tmp_path: Path) -> None:
    refused = _launcher("sbom", str(tmp_path / "absent" / "sbom.json"), env={})
    assert refused.returncode == 1
    assert re.fullmatch(r"The SBOM could not be written: .*No such file.*absent/sbom.json'\.\n", refused.stderr)
    assert _launcher("sbom", "--output", env={}).returncode == 2


def test_an_audit_without_findings_says_so() -> None:
    done = _launcher("audit", env={})
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"None of \d\d packages has a known vulnerability\.\n", done.stdout)


def test_audit_lists_its_findings(osv: ScriptedServer) -> None:
    osv.answers = [Scripted(body=json.dumps({"vulns": [FOUND]}).encode()), Scripted(body=b"{}")]
    done = _launcher("audit", env={})
    assert (done.returncode, done.stderr) == (1, "")
    request = json.loads(osv.asked[0][3])
    assert done.stdout == f"{request['package']['name']} {request['version']}: PYSEC-1 = CVE-1, fixed in no version\n"


@pytest.mark.parametrize("service", ["pypi", "osv"])
def test_unreachable_vulnerability_data_fail_the_audit(service: str, tmp_path: Path) -> None:
    with socket.socket() as closed:  # bound, but not listening
        closed.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
        env = {"PIP_AUDIT_VULNERABILITY_SERVICE": service, "PIP_AUDIT_OSV_URL": "https://osv.test/", "NO_PROXY": ""}
        env |= {"no_proxy": "", "HTTPS_PROXY": proxy, "https_proxy": proxy}
        done = _launcher("audit", env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("The packages could not be audited: are the vulnerability data within reach?")
    assert done.stderr.count("\n") == 1


def test_audit_ends_after_its_timeout(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(supply_chain, "AUDIT_SECONDS", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections and never answers
        monkeypatch.setenv("PIP_AUDIT_OSV_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert supply_chain.audit([]) == 2
    assert capsys.readouterr().err == (
        "The packages could not be audited: the vulnerability data did not come within 3 s.\n"
    )


def test_skipped_package_does_not_count_as_safe(capsys: pytest.CaptureFixture[str]) -> None:
    safe = {"name": "a", "version": "1", "vulns": []}
    skipped = {"name": "b", "skip_reason": "b (2) was not found"}
    bad = {"name": "c", "version": "3", "vulns": [{"id": "X\x1b[2J\n", "fix_versions": ["4", "5"], "aliases": []}]}
    assert supply_chain.verdict([safe]) == 0
    assert supply_chain.verdict([safe, skipped]) == 2
    assert supply_chain.verdict([]) == 2
    assert "audited: 1 of 2 are not in the vulnerability data, the first of them b.\n" in capsys.readouterr().err
    assert supply_chain.verdict([safe, skipped, bad]) == 1
    shown = capsys.readouterr()
    assert shown.out == "c 3: X?[2J?, fixed in 4, 5\n"
    assert "1 of 3 are not in" in shown.err

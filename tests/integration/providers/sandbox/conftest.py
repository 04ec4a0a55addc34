"""One sandbox process for all tests of this folder, and the SDKs that call it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.providers.sandbox.process import SandboxProcess, Sdks


@pytest.fixture(scope="package")
def sandbox_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with SandboxProcess(tmp_path_factory.mktemp("sandbox")) as process:
        yield process.url


@pytest.fixture(scope="package")
def sdks(sandbox_url: str) -> Sdks:
    return Sdks(sandbox_url)


@pytest.fixture
def fault(sdks: Sdks) -> Iterator[Callable[..., dict[str, Any]]]:
    """Return `fault(provider, **settings)`, which switches a fault on; after the test all faults are off."""

    def switch_on(provider: str, **settings: Any) -> dict[str, Any]:
        answer = sdks.put(f"/sandbox/faults/{provider}", json=settings)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    yield switch_on
    for provider in ("stripe", "shippo", "twilio", "sendgrid"):
        assert sdks.delete(f"/sandbox/faults/{provider}").status_code == 200

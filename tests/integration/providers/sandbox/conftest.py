"""One sandbox process for all tests of this folder, and the SDKs that call it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.providers.sandbox.gateways import Gateway, until
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


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """Receives webhooks."""
    with Gateway() as running:
        yield running


@pytest.fixture(scope="package")
def _webhook_gateway() -> Iterator[Gateway]:
    with Gateway() as running:
        yield running


@pytest.fixture(scope="package")
def _webhook_sandbox(_webhook_gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sdks]:
    with SandboxProcess(tmp_path_factory.mktemp("webhooks"), WEBHOOK_URL=_webhook_gateway.url) as process:
        yield Sdks(process.url)


@pytest.fixture
def webhook_sdks(_webhook_sandbox: Sdks, _webhook_gateway: Gateway) -> Iterator[Sdks]:
    """Call a sandbox that sends its webhooks to `received`; afterwards nothing is on its way."""
    yield _webhook_sandbox
    _webhook_gateway.answers.clear()
    for provider in ("stripe", "shippo", "twilio", "sendgrid"):
        _webhook_sandbox.post(f"/sandbox/webhooks/{provider}/flush")
        _webhook_sandbox.delete(f"/sandbox/webhooks/{provider}")
        until(lambda name=provider: _webhook_sandbox.get(f"/sandbox/webhooks/{name}").json()["counts"]["waiting"] == 0)
    _webhook_gateway.arrived.clear()


@pytest.fixture
def received(_webhook_gateway: Gateway) -> Gateway:
    """What the sandbox of `webhook_sdks` has sent."""
    return _webhook_gateway

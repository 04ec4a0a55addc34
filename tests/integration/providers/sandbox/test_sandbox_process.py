"""The sandbox as a process: it keeps its data, drains its calls, and reports a startup error in one sentence."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests
import stripe
from shippo.models import components

from sandbox.settings import BadSetting, SandboxSettings
from tests.integration.providers.sandbox.parcels import buy, ship
from tests.integration.providers.sandbox.process import ROOT, SandboxProcess, Sdks

INTENT: Any = {
    "amount": 446, "currency": "usd", "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
}  # fmt: skip


# So long that a busy machine's slowness cannot be mistaken for a full drain.
DRAIN_S = 60.0
LONG_DRAIN = {"sandbox.server.DRAIN_SECONDS": DRAIN_S}


def test_restart_after_a_kill_keeps_all_data(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path) as first:
        sdks = Sdks(first.url)
        product = sdks.stripe.v1.products.create({"name": "Wally"}, {"idempotency_key": "once"})
        open_intent = sdks.stripe.v1.payment_intents.create(INTENT)
        card = sdks.stripe.v1.payment_methods.create({"type": "card", "card": {"token": "tok_visa"}})
        label = buy(sdks, ship(sdks))
        message = sdks.twilio.messages.create(to="+14155552671", from_="+15005550006", body="or_1")
        with pytest.raises(stripe.CardError):
            sdks.stripe.v1.payment_intents.confirm(
                open_intent.id, {"payment_method": "pm_card_chargeDeclined"}, {"idempotency_key": "declined"}
            )
        ledger_before = sdks.get("/sandbox/ledger").json()
        port = first.port
        first.kill()

    with SandboxProcess(tmp_path, port=port):
        after = Sdks(f"http://127.0.0.1:{port}")
        assert after.stripe.v1.products.retrieve(product.id).to_dict() == product.to_dict()
        again = after.stripe.v1.products.create({"name": "Wally"}, {"idempotency_key": "once"})
        assert again.id == product.id
        with pytest.raises(stripe.CardError):
            after.stripe.v1.payment_intents.confirm(
                open_intent.id, {"payment_method": "pm_card_chargeDeclined"}, {"idempotency_key": "declined"}
            )
        assert (
            after.stripe.v1.payment_intents.confirm(open_intent.id, {"payment_method": card.id}).status == "succeeded"
        )
        assert label.label_url is not None
        assert requests.get(label.label_url, timeout=30).content.startswith(b"%PDF")
        assert after.twilio.messages(str(message.sid)).fetch().body == "or_1"
        ledger_after = after.get("/sandbox/ledger").json()
        assert ledger_after["charges"][0] == ledger_before["charges"][0]
        assert len(ledger_after["charges"]) == 2
        assert ledger_after["labels"] == ledger_before["labels"]


def test_port_in_use_is_reported_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        outcome = run(tmp_path, SANDBOX_PORT=str(port))
    assert outcome.returncode == 1
    assert outcome.stderr.strip() == f"The sandbox cannot listen on 127.0.0.1:{port}: it is in use already."
    assert outcome.stdout == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [("SANDBOX_PORT", "http"), ("SANDBOX_PORT", "70000"), ("SANDBOX_PORT", "-1"), ("SANDBOX_PUBLIC_URL", "a.example")],
)  # fmt: skip
def test_invalid_setting_is_named_in_the_error(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=f"^{name} must .*{value}.*\\.$"):
        SandboxSettings.from_environment({name: value})


def test_startup_error_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for settings, word in (
        ({"SANDBOX_PORT": "http"}, "SANDBOX_PORT"),
        ({"VAR_DIR": str(tmp_path / "file")}, "sandbox.db"),
    ):
        outcome = run(tmp_path, **{"SANDBOX_PORT": "0", **settings})
        assert outcome.returncode == 1
        assert len(outcome.stderr.strip().splitlines()) == 1
        assert word in outcome.stderr


def run(var_dir: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "VAR_DIR": str(var_dir), **settings}
    return subprocess.run(
        [sys.executable, "-m", "sandbox"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )


def test_label_url_starts_with_the_public_url(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path, SANDBOX_PUBLIC_URL="https://labels.example/") as process:
        label = buy(Sdks(process.url), ship(Sdks(process.url)))
        assert label.label_url == f"https://labels.example/sandbox/labels/{label.object_id}.pdf"


def test_shutdown_answers_slow_calls_and_drops_hanging_ones(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path, constants=LONG_DRAIN) as process:
        sdks = Sdks(process.url)
        sdks.put("/sandbox/faults/stripe", json={"latency_ms": 600_000})
        sdks.put("/sandbox/faults/twilio", json={"hang_rate": 1})
        outcomes: dict[str, Any] = {}

        def slow() -> None:
            headers = {"Authorization": "Bearer sk_sandbox"}
            outcomes["slow"] = sdks.post("/stripe/v1/products", data={"name": "Slow"}, headers=headers).status_code

        def hanging() -> None:
            try:
                sdks.get("/twilio/2010-04-01/Accounts", auth=("AC" + "0" * 32, "sandbox"))
            except requests.ConnectionError:
                outcomes["hanging"] = "let go"

        threads = [threading.Thread(target=slow), threading.Thread(target=hanging)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 60
        while sum(one["hits"] for one in sdks.get("/sandbox/faults").json().values()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)

        status, seconds = process.terminate()

        for thread in threads:
            thread.join(timeout=60)
    assert status == 0
    assert seconds < DRAIN_S / 2
    assert outcomes == {"slow": 200, "hanging": "let go"}


def test_open_connection_does_not_delay_the_shutdown(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path, constants=LONG_DRAIN) as process:
        with requests.Session() as session:
            assert session.get(f"{process.url}/sandbox/health", timeout=30).status_code == 200
            status, seconds = process.terminate()
        assert status == 0
        assert seconds < DRAIN_S / 2


def test_a_rate_older_than_seven_days_cannot_be_bought(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path) as process:
        sdks = Sdks(process.url)
        shipment = ship(sdks)
        before = sdks.get("/sandbox/clock").json()["now"]
        assert sdks.post("/sandbox/clock", json={"advance_seconds": 6.9 * 86400}).status_code == 200
        assert buy(sdks, shipment).status == components.TransactionStatusEnum.SUCCESS
        assert sdks.post("/sandbox/clock", json={"advance_seconds": 0.2 * 86400}).status_code == 200
        late = buy(sdks, shipment)
        assert late.status == components.TransactionStatusEnum.ERROR
        assert "older than 7 days" in str((late.messages or [])[0].text)
        assert sdks.get("/sandbox/clock").json()["now"] - before > 7 * 86400
        assert sdks.post("/sandbox/clock", json={"advance_seconds": -1}).status_code == 400


def test_idempotency_key_expires_after_a_day(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path) as process:
        sdks = Sdks(process.url)

        def product() -> str:
            return sdks.stripe.v1.products.create({"name": "Wally"}, {"idempotency_key": "once"}).id

        first = product()
        sdks.post("/sandbox/clock", json={"advance_seconds": 23.9 * 3600})
        assert product() == first
        sdks.post("/sandbox/clock", json={"advance_seconds": 0.2 * 3600})
        assert product() != first

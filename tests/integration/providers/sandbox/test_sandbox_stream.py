"""The stream of the sandbox's page: what is new, and what has changed."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import requests
from sendgrid.helpers.mail import Mail

from tests.integration.providers.sandbox.feeds import (
    KINDS,
    feed,
    new_order,
    one_of_each,
    send_mail,
)
from tests.integration.providers.sandbox.gateways import until
from tests.integration.providers.sandbox.parcels import buy, ship
from tests.integration.providers.sandbox.process import SandboxProcess, Sdks
from tests.integration.providers.sandbox.streams import Stream


def test_stream_delivers_each_kind(sdks: Sdks) -> None:
    order = new_order()
    with Stream(sdks.url) as stream:
        assert stream.answer.headers["Content-Type"].startswith("text/event-stream")
        stream.next("switches")
        one_of_each(sdks, order)
        seen = {}
        while set(seen) != KINDS:
            event = stream.next("entry", lambda data: order in data["orders"])
            seen[event.data["kind"]] = event.data
    assert seen["mail"]["subject"] == f"Order {order}"


def test_stream_reports_a_moved_parcel(sdks: Sdks) -> None:
    label = buy(sdks, ship(sdks))
    with Stream(sdks.url) as stream:
        stream.next("switches")
        sdks.post(f"/sandbox/tracks/{label.tracking_number}", json={"status": "TRANSIT"})
        assert stream.entry(id=label.object_id)["next_status"] == "DELIVERED"


def test_stream_continues_after_the_last_event(sdks: Sdks) -> None:
    with Stream(sdks.url) as stream:
        first = send_mail(sdks, new_order())
        position = stream.next("entry", lambda data: data["id"] == first).position
    second = send_mail(sdks, new_order())

    with Stream(sdks.url, last_event_id=position) as stream:
        assert stream.next("entry", lambda data: data["kind"] == "mail").data["id"] == second


def test_stream_continues_after_a_restart(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path) as process:
        sdks = Sdks(process.url)
        position = feed(sdks)["position"]
        missed = send_mail(sdks, new_order())
        process.kill()
    with SandboxProcess(tmp_path) as process, Stream(process.url, last_event_id=position) as stream:
        assert stream.entry(kind="mail")["id"] == missed


def test_entry_that_changed_often_is_sent_once(sdks: Sdks) -> None:
    label = buy(sdks, ship(sdks))
    position = feed(sdks)["position"]
    for status in ("TRANSIT", "FAILURE", "RETURNED"):
        sdks.post(f"/sandbox/tracks/{label.tracking_number}", json={"status": status})
    marker = send_mail(sdks, new_order())
    with Stream(sdks.url, after=position) as stream:
        seen = []
        while not seen or seen[-1]["id"] != marker:
            seen.append(stream.next("entry").data)
    assert [one["tracking_status"] for one in seen if one["id"] == label.object_id] == ["RETURNED"]


def test_reader_of_another_file_starts_again(sdks: Sdks) -> None:
    with Stream(sdks.url, last_event_id="0123456789ab-7") as stream:
        assert stream.next("reset").position == feed(sdks)["position"]


def test_reader_far_behind_starts_again(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path, constants={"sandbox.page_control.MAX_RESUME": 2}) as process:
        sdks = Sdks(process.url)
        position = feed(sdks)["position"]
        one_of_each(sdks, new_order())
        with Stream(process.url, after=position) as stream:
            stream.next("reset")
            last = send_mail(sdks, new_order())
            assert stream.entry(kind="mail")["id"] == last


def test_bad_position_is_refused(sdks: Sdks) -> None:
    for position in ("7", "a-b", "-", "0123456789ab-²"):
        answer = sdks.get("/sandbox/stream", params={"after": position})
        assert answer.status_code == 400
        assert "after" in answer.json()["error"]


def test_stream_reports_faults_and_deliveries_at_once(tmp_path: Path) -> None:
    # An idle stream looks again with each comment; here it never does.
    constants = {"sandbox.page_control.HEARTBEAT_S": 600.0}
    with SandboxProcess(tmp_path, constants=constants) as process, Stream(process.url) as stream:
        sdks = Sdks(process.url)
        assert stream.next("switches").data["faults"]["twilio"]["error_rate"] == 0
        sdks.put("/sandbox/faults/twilio", json={"error_rate": 1, "error_status": 503})
        stream.next("switches", lambda data: data["faults"]["twilio"]["error_status"] == 503)
        assert sdks.get("/twilio/2010-04-01", auth=("AC" + "0" * 32, "sandbox")).status_code == 503
        stream.next("switches", lambda data: data["faults"]["twilio"]["hits"] == 1)
        sdks.delete("/sandbox/faults/twilio")
        stream.next("switches", lambda data: data["faults"]["twilio"]["error_rate"] == 0)
        sdks.put("/sandbox/webhooks/stripe", json={"loss_rate": 1})
        stream.next("switches", lambda data: data["webhooks"]["stripe"]["loss_rate"] == 1)
        sdks.delete("/sandbox/webhooks/stripe")
        stream.next("switches", lambda data: data["webhooks"]["stripe"]["loss_rate"] == 0)


def test_idle_stream_sends_comments(tmp_path: Path) -> None:
    constants = {"sandbox.page_control.HEARTBEAT_S": 0.05}
    with SandboxProcess(tmp_path, constants=constants) as process, Stream(process.url) as stream:
        assert stream.next("").data
        assert stream.next("").data


def test_listeners_are_bounded(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path, constants={"sandbox.feed.MAX_LISTENERS": 2}) as process, ExitStack() as open_streams:
        streams = [open_streams.enter_context(Stream(process.url)) for _ in range(2)]
        refused = requests.get(f"{process.url}/sandbox/stream", timeout=30)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")

        streams[0].answer.close()

        def accepted() -> bool:
            with requests.get(f"{process.url}/sandbox/stream", stream=True, timeout=30) as answer:
                return answer.status_code == 200

        until(accepted)


def test_streams_end_on_shutdown(tmp_path: Path) -> None:
    drain_s = 60.0
    constants = {"sandbox.server.DRAIN_SECONDS": drain_s}
    with SandboxProcess(tmp_path, constants=constants) as process, Stream(process.url) as stream:
        stream.next("switches")
        status, seconds = process.terminate()
        assert stream.rest() == []
    assert status == 0
    assert seconds < drain_s / 2


def test_client_that_reads_nothing_is_disconnected(tmp_path: Path) -> None:
    constants = {"sandbox.page_control.WRITE_TIMEOUT_S": 0.2, "sandbox.feed.MAX_LISTENERS": 1}
    with SandboxProcess(tmp_path, constants=constants) as process, Stream(process.url) as stream:
        stream.next("switches")
        sdks = Sdks(process.url)

        def accepted() -> bool:
            # Long subjects soon fill the buffers of the connection that is not read.
            sdks.sendgrid.send(Mail("shop@example.com", "a@example.com", "x" * 1_000_000, "text"))
            with requests.get(f"{process.url}/sandbox/stream", stream=True, timeout=30) as answer:
                return answer.status_code == 200

        until(accepted)

"""The sandbox's page: its feed, its stream of changes, its mails, and what other origins may do."""

from __future__ import annotations

import json
import re
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
import stripe
from sendgrid.helpers.mail import Mail

from tests.integration.providers.sandbox.parcels import buy, ship
from tests.integration.providers.sandbox.process import ROOT, SandboxProcess, Sdks
from tests.integration.providers.sandbox.streams import Stream
from tests.integration.providers.sandbox.test_sandbox_webhooks import Gateway, until

FROM = "+15005550006"
KINDS = {"mail", "sms", "label", "charge", "refund", "dispute", "warning", "tax", "payment", "webhook"}
PAGE = ROOT / "sandbox" / "page"
ORIGIN = "https://elsewhere.example"


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    running = Gateway()
    yield running
    running.close()


def new_order() -> str:
    return f"or_{uuid.uuid4().hex}"


def pay(sdks: Sdks, order: str, card: str = "pm_card_visa", amount: int = 446) -> stripe.PaymentIntent:
    made = sdks.stripe.v1.payment_intents.create(
        {
            "amount": amount,
            "currency": "usd",
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "metadata": {"order_id": order},
        }
    )
    return sdks.stripe.v1.payment_intents.confirm(made.id, {"payment_method": card})


def send_mail(sdks: Sdks, order: str, html: str = "<b>Hello</b>") -> str:
    answer = sdks.sendgrid.send(Mail("shop@example.com", "a@example.com", f"Order {order}", "Hello\nthere", html))
    return str(answer.headers["X-Message-Id"])


def record_tax(sdks: Sdks, order: str) -> None:
    """Record a sale's tax, and its full reversal."""
    made = sdks.stripe.v1.tax.calculations.create(
        {
            "currency": "usd",
            "line_items": [{"amount": 1000}],
            "customer_details": {"address": {"country": "US", "postal_code": "98104"}, "address_source": "shipping"},
        }
    )
    sale = sdks.stripe.v1.tax.transactions.create_from_calculation(
        {"calculation": str(made.id), "reference": f"tax-{order}"}
    )
    sdks.stripe.v1.tax.transactions.create_reversal(
        {
            "mode": "full",
            "original_transaction": sale.id,
            "reference": f"{sale.id}-back",
            "metadata": {"order_id": order},
        }
    )


def one_of_each(sdks: Sdks, order: str) -> None:
    """Cause at least one entry of every kind that belongs to this order, the mail last."""
    pay(sdks, order, "pm_card_createDispute")
    pay(sdks, order, "pm_card_createIssuerFraudRecord")
    paid = pay(sdks, order)
    sdks.stripe.v1.refunds.create({"payment_intent": paid.id, "amount": 100, "metadata": {"order_id": order}})
    record_tax(sdks, order)
    pay(sdks, order, "pm_card_authenticationRequired")
    buy(sdks, ship(sdks, metadata=order))
    sdks.twilio.messages.create(to="+14155552671", from_=FROM, body=f"Your order {order} is paid")
    send_mail(sdks, order)


def feed(sdks: Sdks, **query: Any) -> dict[str, Any]:
    answer = sdks.get("/sandbox/feed", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def entries(sdks: Sdks, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = feed(sdks, **query)["entries"]
    return found


# The page


def test_page_has_a_strict_policy(sdks: Sdks) -> None:
    for path in ("/", "/sandbox/page/main.js", "/sandbox/page/page.css"):
        answer = sdks.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert answer.status_code == 200
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_page_has_no_inline_script_and_no_other_host(sdks: Sdks) -> None:
    text = sdks.get("/").text
    loaded = re.findall(r'(?:src|href)="(/[^"]+)"', text)
    assert {"/sandbox/page/main.js", "/sandbox/page/page.css"} <= set(loaded)
    assert all(sdks.get(path).status_code == 200 for path in loaded)
    assert re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", text) == []
    for path in PAGE.iterdir():
        source = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|innerHTML|insertAdjacentHTML|srcdoc|document\.write", source), path
        for module in re.findall(r'from "\./([^"]+)"', source):
            assert sdks.get(f"/sandbox/page/{module}").headers["Content-Type"].startswith("text/javascript")


def test_unknown_file_of_the_page_is_404(sdks: Sdks) -> None:
    for name in ("other.js", "..%2Fserver.py", "%2e%2e%2fserver.py"):
        assert sdks.get(f"/sandbox/page/{name}").status_code == 404


def test_address_of_the_former_inbox_leads_to_the_page(sdks: Sdks) -> None:
    for path in ("/sandbox", "/sandbox/"):
        answer = sdks.get(path, allow_redirects=False)
        assert (answer.status_code, answer.headers["Location"]) == (308, "/")


# The feed


def test_feed_shows_each_kind_of_an_order_newest_first(sdks: Sdks) -> None:
    order = new_order()
    one_of_each(sdks, order)
    pay(sdks, new_order())

    found = entries(sdks, order_id=order)

    assert {entry["kind"] for entry in found} == KINDS
    assert all(order in entry["orders"] for entry in found)
    places = [entry["place"] for entry in found]
    assert places == sorted(places, reverse=True)
    kinds = [entry["kind"] for entry in found if entry["kind"] != "webhook"]
    assert kinds == [
        *("mail", "sms", "label", "payment", "tax", "tax", "refund", "charge"),
        *("warning", "charge", "dispute", "charge"),
    ]
    dispute, warning = (next(one for one in found if one["kind"] == kind) for kind in ("dispute", "warning"))
    assert (dispute["amount"], dispute["withdrawn"], dispute["is_open"]) == ("$4.46", "$19.46", True)
    assert (warning["fraud_type"], warning["actionable"]) == ("misc", True)
    charge = next(entry for entry in found if entry["kind"] == "charge")
    assert (charge["amount"], charge["refunded"], charge["card"]) == ("$4.46", "$1.00", "visa 4242")
    back, sale = [entry for entry in found if entry["kind"] == "tax"]
    assert (sale["tax"], sale["amount"], sale["type"], sale["destination"]) == ("$0.65", "$10.65", "transaction", "US")
    assert (back["tax"], back["amount"], back["reverses"]) == ("-$0.65", "-$10.65", sale["id"])
    mail = next(entry for entry in found if entry["kind"] == "mail")
    assert (mail["to"], mail["preview"], mail["html"]) == (["a@example.com"], "Hello there", True)
    label = next(entry for entry in found if entry["kind"] == "label")
    assert (label["tracking_status"], label["next_status"]) == ("PRE_TRANSIT", "TRANSIT")
    assert sdks.get(label["pdf"]).content.startswith(b"%PDF")


def test_order_is_found_in_a_description(sdks: Sdks) -> None:
    order = new_order()
    paid = pay(sdks, new_order())
    sdks.stripe.v1.charges.update(str(paid.latest_charge), {"description": f"Order {order}, by telephone"})
    assert [entry["id"] for entry in entries(sdks, order_id=order)] == [paid.latest_charge]


def test_feed_is_read_page_by_page(sdks: Sdks) -> None:
    order = new_order()
    for _ in range(5):
        pay(sdks, order)
    seen: list[str] = []
    query: dict[str, Any] = {"order_id": order, "kind": "charge", "limit": 2}
    while True:
        page = feed(sdks, **query)
        seen += [entry["key"] for entry in page["entries"]]
        assert len(page["entries"]) <= 2
        if not page["has_more"]:
            break
        query["before"] = page["entries"][-1]["place"]
    assert len(seen) == len(set(seen)) == 5
    assert seen == [entry["key"] for entry in entries(sdks, order_id=order, kind="charge")]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"limit": "9" * 30}, "limit"),
        ({"before": "-1"}, "before"),
        ({"before": "²"}, "before"),
        ({"kind": "letter"}, "kind"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_bad_filter_of_the_feed_is_named(sdks: Sdks, query: dict[str, str], named: str) -> None:
    answer = sdks.get("/sandbox/feed", params=query)
    assert answer.status_code == 400
    assert named in answer.json()["error"]


def test_each_entry_has_its_details(sdks: Sdks) -> None:
    order = new_order()
    one_of_each(sdks, order)
    for entry in entries(sdks, order_id=order):
        answer = sdks.get(f"/sandbox/feed/{entry['key']}").json()
        assert answer["entry"]["key"] == entry["key"]
        assert not [name for name in answer["object"] if name.startswith("_")]
    assert sdks.get("/sandbox/feed/charge/ch_unknown").status_code == 404
    assert sdks.get("/sandbox/feed/letter/ch_unknown").status_code == 404


def test_payment_is_an_entry_only_if_its_bank_asks(sdks: Sdks) -> None:
    plain, asked = new_order(), new_order()
    pay(sdks, plain)
    assert entries(sdks, order_id=plain, kind="payment") == []

    intent = pay(sdks, asked, "pm_card_authenticationRequired")
    (entry,) = entries(sdks, order_id=asked, kind="payment")
    assert (entry["id"], entry["status"]) == (intent.id, "requires_action")
    assert sdks.post(entry["page"], json={"result": "succeed"}).status_code == 200
    assert [one["status"] for one in entries(sdks, order_id=asked, kind="payment")] == ["succeeded"]


def test_file_of_an_earlier_version_is_taken_over(tmp_path: Path, gateway: Gateway) -> None:
    old = sqlite3.connect(tmp_path / "sandbox.db")
    old.executescript(
        """
        CREATE TABLE objects (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL,
            UNIQUE (kind, id));
        CREATE TABLE webhooks (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, provider TEXT NOT NULL, kind TEXT NOT NULL, url TEXT NOT NULL,
            body BLOB NOT NULL, at REAL NOT NULL, due REAL NOT NULL, tries INTEGER NOT NULL DEFAULT 0);
        """
    )
    request = {"from": {"email": "s@example.com"}, "subject": "Old", "personalizations": [{}]}
    mail = {"id": "m1", "created": 1.0, "recipients": ["a@example.com"], "request": request}
    old.execute("INSERT INTO objects (kind, id, body) VALUES ('mail', 'm1', ?)", (json.dumps(mail).encode(),))
    values = ("stripe", "product.created", b'{"old": true}')
    old.execute("INSERT INTO webhooks (provider, kind, url, body, at, due) VALUES (?, ?, '', ?, 1, 1)", values)
    old.commit()
    old.close()
    with SandboxProcess(tmp_path, WEBHOOK_URL=gateway.url) as process:
        assert [entry["subject"] for entry in entries(Sdks(process.url))] == ["Old"]
        until(lambda: [one.json for one in gateway.of("stripe")] == [{"old": True}])


# The stream


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


# Mails


def test_mail_runs_no_script_and_loads_nothing(sdks: Sdks) -> None:
    letter = '<!doctype html><html><head><title>x</title></head><body><script>alert(1)</script>"a" & b</body></html>'
    message_id = send_mail(sdks, new_order(), letter)

    answer = sdks.get(f"/sandbox/mails/{message_id}")

    assert answer.headers["Content-Type"].startswith("text/html")
    policy = [part.strip() for part in answer.headers["Content-Security-Policy"].split(";")]
    # Without `allow-scripts` and `allow-same-origin` nothing runs, and the mail has no part in the page's origin.
    assert "sandbox allow-popups allow-popups-to-escape-sandbox" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert not any(part.startswith(("script-src", "connect-src", "frame-src")) for part in policy)
    assert answer.text.replace('<base target="_blank">', "") == letter
    assert answer.text.startswith('<!doctype html><html><head><base target="_blank">')


def test_mail_is_shown_as_text_too(sdks: Sdks) -> None:
    message_id = send_mail(sdks, new_order(), "<script>alert(1)</script>")
    text = sdks.get(f"/sandbox/mails/{message_id}", params={"part": "text"})
    assert text.headers["Content-Type"].startswith("text/plain")
    assert text.text == "Hello\nthere"
    assert text.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in text.headers["Content-Security-Policy"]
    assert sdks.get("/sandbox/mails/unknown").status_code == 404


# Other origins


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": ORIGIN},
        {"Origin": "null"},
        {"Origin": "http://[", "Content-Type": "text/plain"},
    ],
)
def test_page_of_another_origin_changes_nothing(sdks: Sdks, headers: dict[str, str]) -> None:
    label = buy(sdks, ship(sdks))
    asked = pay(sdks, new_order(), "pm_card_authenticationRequired")
    before = sdks.get("/sandbox/faults").json(), sdks.get("/sandbox/webhooks/twilio").json()["loss_rate"]
    tries: list[tuple[str, str, Any]] = [
        ("PUT", "/sandbox/faults/twilio", {"error_rate": 1}),
        ("DELETE", "/sandbox/faults/twilio", None),
        ("PUT", "/sandbox/webhooks/twilio", {"loss_rate": 1}),
        ("DELETE", "/sandbox/webhooks/twilio", None),
        ("POST", "/sandbox/webhooks/twilio/flush", None),
        ("POST", f"/sandbox/tracks/{label.tracking_number}", {"status": "TRANSIT"}),
        ("POST", f"/sandbox/3ds/{asked.id}", {"result": "succeed"}),
        ("POST", "/sandbox/clock", {"advance_seconds": 9}),
        ("POST", "/sandbox/feed/webhook/wh_unknown/repeat", {"times": 2}),
    ]
    for method, path, body in tries:
        answer = requests.request(method, sdks.url + path, json=body, headers=headers, timeout=30)
        assert answer.status_code == 403, path
        assert "other origins" in answer.json()["error"]
    assert before == (sdks.get("/sandbox/faults").json(), sdks.get("/sandbox/webhooks/twilio").json()["loss_rate"])
    assert sdks.get(f"/sandbox/feed/label/{label.object_id}").json()["entry"]["tracking_status"] == "PRE_TRANSIT"
    assert sdks.stripe.v1.payment_intents.retrieve(asked.id).status == "requires_action"


def test_own_page_and_programs_may_change(sdks: Sdks) -> None:
    for headers in ({}, {"Sec-Fetch-Site": "same-origin"}, {"Origin": sdks.url}, {"Sec-Fetch-Site": "none"}):
        for answer in (
            sdks.put("/sandbox/faults/twilio", json={"error_rate": 1}, headers=headers),
            sdks.delete("/sandbox/faults/twilio", headers=headers),
        ):
            assert answer.status_code == 200


def test_public_url_counts_as_the_own_origin(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path, SANDBOX_PUBLIC_URL="https://sandbox.example") as process:
        url = f"{process.url}/sandbox/faults/twilio"
        assert requests.delete(url, headers={"Origin": "https://sandbox.example"}, timeout=30).status_code == 200
        assert requests.delete(url, headers={"Origin": ORIGIN}, timeout=30).status_code == 403


# Webhooks


def test_webhook_shows_its_attempts(tmp_path: Path, gateway: Gateway) -> None:
    gateway.answers += [503]
    with SandboxProcess(tmp_path, WEBHOOK_URL=gateway.url) as process:
        sdks = Sdks(process.url)
        with Stream(process.url) as stream:
            sdks.stripe.v1.products.create({"name": "Wally"})
            failed = stream.entry(kind="webhook", state="waiting", tries=1)
            assert (failed["last_status"], failed["event"], failed["due"] > 0) == (503, "product.created", True)
            delivered = stream.entry(kind="webhook", state="delivered")
            assert (delivered["tries"], delivered["deliveries"], delivered["last_status"]) == (2, 1, 200)
        shown = sdks.get(f"/sandbox/feed/{delivered['key']}").json()["object"]
        assert [attempt["status"] for attempt in shown["attempts"]] == [503, 200]
        assert shown["body"] == gateway.of("stripe")[0].json


def test_unreachable_gateway_is_the_reason_shown(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path) as process, Stream(process.url) as stream:
        Sdks(process.url).stripe.v1.products.create({"name": "Wally"})
        assert stream.entry(kind="webhook", tries=1)["last_error"] == "nobody answers there"


def test_repeated_webhook_arrives_again_and_signed(tmp_path: Path, gateway: Gateway) -> None:
    with SandboxProcess(tmp_path, WEBHOOK_URL=gateway.url) as process:
        sdks = Sdks(process.url)
        sdks.stripe.v1.products.create({"name": "Wally"})
        with Stream(process.url, after=feed(sdks)["position"]) as stream:
            until(lambda: entries(sdks, kind="webhook") and entries(sdks, kind="webhook")[0]["state"] == "delivered")
            webhook = entries(sdks, kind="webhook")[0]
            answer = sdks.post(f"/sandbox/feed/{webhook['key']}/repeat", json={"times": 2})
            assert answer.json()["state"] == "waiting"
            stream.entry(key=webhook["key"], deliveries=3, state="delivered")
    bodies = {one.body for one in gateway.of("stripe")}
    assert (len(gateway.of("stripe")), len(bodies)) == (3, 1)
    for one in gateway.of("stripe"):
        stripe.Webhook.construct_event(
            one.body, one.headers["stripe-signature"], "_".join(("whsec", "sandbox", "stripe"))
        )


def test_bad_repetition_is_refused(sdks: Sdks) -> None:
    for body in ({}, {"times": 0}, {"times": 11}, {"times": True}, {"times": 2, "to": "x"}):
        answer = sdks.post("/sandbox/feed/webhook/wh_unknown/repeat", json=body)
        assert answer.status_code == 400
        assert "times" in answer.json()["error"]
    assert sdks.post("/sandbox/feed/webhook/wh_unknown/repeat", json={"times": 1}).status_code == 404


def test_lost_webhook_is_shown_as_lost(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path) as process:
        sdks = Sdks(process.url)
        sdks.put("/sandbox/webhooks/stripe", json={"loss_rate": 1})
        sdks.stripe.v1.products.create({"name": "Wally"})
        assert [(one["state"], one["tries"]) for one in entries(sdks, kind="webhook")] == [("lost", 0)]


def test_duplicated_webhook_is_one_entry(tmp_path: Path, gateway: Gateway) -> None:
    with SandboxProcess(tmp_path, WEBHOOK_URL=gateway.url) as process:
        sdks = Sdks(process.url)
        with Stream(process.url) as stream:
            sdks.put("/sandbox/webhooks/stripe", json={"duplicate_rate": 1})
            sdks.stripe.v1.products.create({"name": "Wally"})
            sdks.post("/sandbox/webhooks/stripe/flush")
            stream.entry(kind="webhook", state="delivered", deliveries=2)
        assert len(entries(sdks, kind="webhook")) == 1


def test_records_of_webhooks_are_bounded(tmp_path: Path, gateway: Gateway) -> None:
    constants = {"sandbox.webhooks.waiting.RECORDS_KEPT": 3, "sandbox.webhooks.waiting.PRUNE_INTERVAL": 1}
    with SandboxProcess(tmp_path, constants=constants, WEBHOOK_URL=gateway.url) as process:
        sdks = Sdks(process.url)
        for number in range(8):
            sdks.stripe.v1.products.create({"name": f"Wally {number}"})
            until(lambda sent=number: len(gateway.of("stripe")) == sent + 1)
            until(lambda: all(one["state"] == "delivered" for one in entries(sdks, kind="webhook")))
        sdks.stripe.v1.products.create({"name": "Last"})
        assert len(entries(sdks, kind="webhook")) <= 4


def test_waiting_webhooks_keep_their_records(tmp_path: Path) -> None:
    constants = {"sandbox.webhooks.waiting.RECORDS_KEPT": 1, "sandbox.webhooks.waiting.PRUNE_INTERVAL": 1}
    with SandboxProcess(tmp_path, constants=constants) as process:
        sdks = Sdks(process.url)
        for number in range(5):
            sdks.stripe.v1.products.create({"name": f"Wally {number}"})
        assert len(entries(sdks, kind="webhook")) == 5


def test_status_that_time_changes_says_when(sdks: Sdks) -> None:
    order = new_order()
    sdks.twilio.messages.create(to="+14155552671", from_=FROM, body=f"Order {order}")
    (sent,) = entries(sdks, order_id=order, kind="sms")
    assert (sent["status"], 0 < sent["settles_in"] <= 2) in (("queued", True), ("sent", True))
    end = time.monotonic() + 60
    while entries(sdks, order_id=order, kind="sms")[0]["settles_in"] is not None:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert entries(sdks, order_id=order, kind="sms")[0]["status"] == "delivered"

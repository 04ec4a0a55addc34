"""The sandbox's page: its files, its feed, its mails, and what other origins may do."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.integration.providers.sandbox.feeds import (
    FROM,
    KINDS,
    entries,
    feed,
    new_order,
    one_of_each,
    pay,
    send_mail,
)
from tests.integration.providers.sandbox.gateways import Gateway, until
from tests.integration.providers.sandbox.parcels import buy, ship
from tests.integration.providers.sandbox.process import ROOT, SandboxProcess, Sdks

PAGE = ROOT / "sandbox" / "page"
ORIGIN = "https://elsewhere.example"


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

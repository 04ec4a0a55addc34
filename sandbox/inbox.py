"""The inbox: one HTML page that shows what arrived, newest first. Mails are in frames without any permissions."""

from __future__ import annotations

import html
from datetime import UTC, datetime
from typing import Any

from sandbox.ledger import ledger
from sandbox.state import State
from sandbox.stripe.currencies import spelled

MAX_SHOWN = 50
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sandbox inbox</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222 }}
table {{ border-collapse: collapse; width: 100% }} td, th {{ text-align: left; padding: .3rem .6rem .3rem 0 }}
tr + tr td {{ border-top: 1px solid #ddd }} iframe {{ width: 100%; height: 24rem; border: 1px solid #ccc }}
summary {{ cursor: pointer; padding: .3rem 0 }}
</style></head><body>
<h1>Sandbox inbox</h1>
<p>What the shop sent to its providers, newest first. As JSON: <a href="/sandbox/ledger">ledger</a>.</p>
<h2>Mails</h2>{emails}<h2>SMS</h2>{sms}<h2>Charges</h2>{charges}<h2>Labels</h2>{labels}
</body></html>"""


def inbox_page(state: State) -> str:
    """Return the page as HTML. All external content is escaped."""
    arrived = {name: list(reversed(entries)) for name, entries in ledger(state, limit=MAX_SHOWN).items()}
    return _PAGE.format(
        emails="".join(map(_mail, arrived["emails"])) or "<p>None yet.</p>",
        sms=_table(("when", "to", "text", "status"), map(_sms, arrived["sms"])),
        charges=_table(("when", "charge", "amount", "card", "status", "order"), map(_charge, arrived["charges"])),
        labels=_table(("label", "to", "service", "tracking", "status"), map(_label, arrived["labels"])),
    )


def _escaped(value: Any) -> str:
    return html.escape(str(value if value is not None else ""))


def _when(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _table(heads: tuple[str, ...], rows: Any) -> str:
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    if not body:
        return "<p>None yet.</p>"
    return f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{body}</table>"


def _mail(mail: dict[str, Any]) -> str:
    content = mail["html"] or f"<pre>{_escaped(mail['text'])}</pre>"
    # sandbox="" denies the mail scripts, forms and the page's origin; srcdoc must be escaped to stay one attribute.
    frame = f'<iframe sandbox="" referrerpolicy="no-referrer" srcdoc="{html.escape(content, quote=True)}"></iframe>'
    head = f"{_when(mail['created'])} to {_escaped(', '.join(mail['to']))}: <b>{_escaped(mail['subject'])}</b>"
    return f"<details><summary>{head}</summary>{frame}</details>"


def _sms(message: dict[str, Any]) -> tuple[str, ...]:
    return (_when(message["created"]), *(_escaped(message[name]) for name in ("to", "body", "status")))


def _charge(charge: dict[str, Any]) -> tuple[str, ...]:
    card = charge["payment_method_details"]["card"]
    return (
        _when(charge["created"]),
        _escaped(charge["id"]),
        _escaped(f"{spelled(charge['amount'], charge['currency'])} {charge['currency']}"),
        _escaped(f"{card['brand']} {card['last4']}"),
        _escaped(charge["failure_code"] or charge["status"]),
        _escaped(charge["metadata"].get("order_id")),
    )


def _label(label: dict[str, Any]) -> tuple[str, ...]:
    address = label["address_to"] or {}
    link = f'<a href="/sandbox/labels/{_escaped(label["object_id"])}.pdf">PDF</a>' if label["label_url"] else ""
    return (
        link,
        _escaped(", ".join(address.get(name) or "" for name in ("name", "city", "country"))),
        _escaped((label["servicelevel"] or {}).get("name")),
        _escaped(label["tracking_number"]),
        _escaped(label["tracking_status"] or label["status"]),
    )

"""A label as a PDF of 4 by 6 inches: sender, recipient, service, tracking number and barcode, one page per parcel."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from reportlab.graphics.barcode.code128 import Code128
from reportlab.lib.units import inch
from reportlab.pdfgen.canvas import Canvas

_WIDTH, _HEIGHT = 4 * inch, 6 * inch
_MARGIN = 0.25 * inch


def label_pdf(transaction: dict[str, Any], rate: dict[str, Any], shipment: dict[str, Any]) -> bytes:
    """Return the label of a transaction as PDF; the bytes are the same every time."""
    file = BytesIO()
    canvas = Canvas(file, pagesize=(_WIDTH, _HEIGHT), invariant=1)
    canvas.setTitle(f"Label {transaction['tracking_number']}")
    parcels = shipment["parcels"]
    for number, parcel in enumerate(parcels, start=1):
        _page(canvas, transaction, rate, shipment, parcel, f"{number} of {len(parcels)}")
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def _page(
    canvas: Canvas,
    transaction: dict[str, Any],
    rate: dict[str, Any],
    shipment: dict[str, Any],
    parcel: dict[str, Any],
    count: str,
) -> None:
    canvas.rect(0.1 * inch, 0.1 * inch, _WIDTH - 0.2 * inch, _HEIGHT - 0.2 * inch)
    canvas.setFont("Helvetica-Bold", 15)
    canvas.drawString(_MARGIN, _HEIGHT - 0.45 * inch, rate["provider"])
    canvas.setFont("Helvetica-Bold", 11)
    canvas.drawRightString(_WIDTH - _MARGIN, _HEIGHT - 0.42 * inch, rate["servicelevel"]["name"])
    canvas.line(0.1 * inch, _HEIGHT - 0.6 * inch, _WIDTH - 0.1 * inch, _HEIGHT - 0.6 * inch)
    _lines(canvas, _lines_of(shipment["address_from"]), _HEIGHT - 0.8 * inch, 8)
    canvas.setFont("Helvetica-Bold", 9)
    canvas.drawString(_MARGIN, _HEIGHT - 2.0 * inch, "SHIP TO:")
    _lines(canvas, _lines_of(shipment["address_to"]), _HEIGHT - 2.25 * inch, 12)
    canvas.line(0.1 * inch, 2.35 * inch, _WIDTH - 0.1 * inch, 2.35 * inch)
    weight = f"{parcel['weight']} {parcel['mass_unit']}"
    size = " x ".join(parcel[side] for side in ("length", "width", "height"))
    canvas.setFont("Helvetica", 8)
    canvas.drawString(_MARGIN, 2.15 * inch, f"Parcel {count}   {weight}   {size} {parcel['distance_unit']}")
    canvas.drawRightString(_WIDTH - _MARGIN, 2.15 * inch, shipment["metadata"][:40])
    barcode = Code128(transaction["tracking_number"], barHeight=0.9 * inch, barWidth=1.35)
    barcode.drawOn(canvas, (_WIDTH - barcode.width) / 2, 1.0 * inch)
    canvas.setFont("Helvetica-Bold", 11)
    number = transaction["tracking_number"]
    spaced = " ".join(number[at : at + 4] for at in range(0, len(number), 4))
    canvas.drawCentredString(_WIDTH / 2, 0.75 * inch, spaced)
    canvas.setFont("Helvetica", 7)
    canvas.drawCentredString(_WIDTH / 2, 0.35 * inch, f"SAMPLE - DO NOT MAIL   {number}")


def _lines_of(address: dict[str, Any]) -> list[str]:
    town = " ".join(part for part in (address["city"], address["state"], address["zip"]) if part)
    lines = [address[name] for name in ("name", "company", "street1", "street2", "street3")]
    return [line for line in (*lines, town, address["country"]) if line]


def _lines(canvas: Canvas, lines: list[str], top: float, size: int) -> None:
    canvas.setFont("Helvetica", size)
    for place, line in enumerate(lines):
        canvas.drawString(_MARGIN, top - place * size * 1.25, line[:60])

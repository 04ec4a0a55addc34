"""Stripe's files: documents that are uploaded as evidence for a dispute.

Types, sizes and how long a file is kept: "File upload guide" (https://docs.stripe.com/file-upload). Of its purposes the
sandbox takes `dispute_evidence`. Stripe does not document the text of a refused file; the sandbox assumes it.
"""

from __future__ import annotations

import re
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from sandbox.ids import alphanumeric
from sandbox.stripe.endpoint import Desk, Endpoint, Parameters, Upload
from sandbox.stripe.errors import StripeFailure, invalid, missing_object
from sandbox.stripe.lists import page
from sandbox.stripe.params import EXPAND, PAGE, CreatedRange, Str, Type

PURPOSES = ("dispute_evidence",)
MAX_FILE_BYTES = 5 * 1024 * 1024
# Nine months.
LIFETIME_S = 270 * 86400
_TYPES = {b"%PDF-": "pdf", b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg"}
CREATE: dict[str, Type] = {
    "expand": EXPAND,
    "file": Str(limit=200, required=True),
    "purpose": Str(choices=PURPOSES, required=True),
}
_FILTERS = tuple(
    """
    account_requirement additional_verification business_icon business_logo customer_signature dispute_evidence
    document_provider_identity_document finance_report_run financial_account_statement identity_document
    identity_document_downloadable issuing_regulatory_reporting pci_document platform_terms_of_service selfie
    sigma_scheduled_query tax_document_user_upload terminal_android_apk terminal_reader_splashscreen
    terminal_wifi_certificate terminal_wifi_private_key
    """.split()  # noqa: SIM905 - a list of names reads better so
)
LIST: dict[str, Type] = {**PAGE, "created": CreatedRange(), "purpose": Str(choices=_FILTERS)}
_NO_BOUNDARY = "Invalid request: the multipart/form-data body cannot be read."


def read_upload(content_type: str, body: bytes) -> tuple[list[tuple[str, str]], Upload | None]:
    """Return the pairs of a multipart/form-data body, `file` with its name, and its file.

    StripeFailure (400) when it cannot be read.
    """
    if not re.search(r"boundary=", content_type):
        raise invalid(_NO_BOUNDARY)
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    pairs, upload = [], None
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(content, bytes):
            raise invalid(_NO_BOUNDARY)
        if name == "file":
            upload = Upload(part.get_filename() or "file", content)
            pairs.append((name, upload.name))
        else:
            pairs.append((name, content.decode("utf-8", "replace")))
    return pairs, upload


def known_file(desk: Desk, file_id: str, param: str) -> str:
    """Return the id of an uploaded file that a parameter names; StripeFailure (400) when there is none."""
    if desk.state.raw("file", file_id) is None:
        raise missing_object("file upload", file_id, param=param, in_path=False)
    return file_id


def _create(desk: Desk, asked: Parameters) -> Parameters:
    if desk.upload is None:
        raise invalid("Invalid file: it must be uploaded as multipart/form-data.", "file")
    content = desk.upload.content
    kind = next((kind for start, kind in _TYPES.items() if content.startswith(start)), None)
    if kind is None:
        raise StripeFailure("Invalid file type: dispute_evidence must be a PDF, JPEG or PNG file.", param="file")
    if len(content) > MAX_FILE_BYTES:
        raise StripeFailure(f"The file is too large: at most {MAX_FILE_BYTES} bytes are allowed.", param="file")
    file_id = alphanumeric("file_", 24)
    body: dict[str, Any] = {
        "id": file_id,
        "object": "file",
        "created": desk.now(),
        "expires_at": desk.now() + LIFETIME_S,
        "filename": desk.upload.name,
        "links": {"object": "list", "data": [], "has_more": False, "url": f"/v1/file_links?file={file_id}"},
        "purpose": asked["purpose"],
        "size": len(content),
        "title": None,
        "type": kind,
        "url": f"https://files.stripe.com/v1/files/{file_id}/contents",
    }
    desk.state.put("file", file_id, body)
    return body


def _retrieve(desk: Desk, asked: Parameters, file: str) -> bytes:
    body = desk.state.raw("file", file)
    if body is None:
        raise missing_object("file", file, param="file")
    return body


def _list(desk: Desk, asked: Parameters) -> Parameters:
    return page(desk.state, "file", "/v1/files", asked, {"purpose": asked["purpose"]} if "purpose" in asked else None)


ENDPOINTS = (
    Endpoint("POST", "/v1/files", CREATE, _create),
    Endpoint("GET", "/v1/files", LIST, _list),
    Endpoint("GET", "/v1/files/{file}", {"expand": EXPAND}, _retrieve),
)

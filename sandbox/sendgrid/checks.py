"""What SendGrid rejects in a mail: every problem at once, each with the field that it is about.

Fields and messages: "Mail Send Errors" (https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors). That the
values of custom_args must be strings: https://github.com/sendgrid/sendgrid-nodejs/issues/288.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from sandbox.sendgrid.shapes import JSON_TYPES, MAIL, wrong_types

_MAIL = frozenset(
    """
    asm attachments batch_id categories content custom_args from headers ip_pool_name mail_settings
    personalizations reply_to reply_to_list sections send_at subject template_id tracking_settings
    """.split()  # noqa: SIM905 - a list of names reads better so
)
_PERSONALIZATION = frozenset(
    """
    bcc cc custom_args dynamic_template_data from headers send_at subject substitutions to
    """.split()  # noqa: SIM905
)
MAX_ADDRESS = 320  # characters
_ADDRESS = re.compile(r"[^@\s<>(),;:\"\[\]]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\.[A-Za-z0-9-]{2,}")
_MAX_RECIPIENTS = 1000


class Problem(NamedTuple):
    """One error in a mail: a sentence, and the field that it is about."""

    message: str
    where: str | None


def problems(mail: Any) -> Iterator[Problem]:
    """Yield everything for which SendGrid rejects a mail."""
    if not isinstance(mail, dict):
        yield Problem("Bad Request", None)
        return
    named = set()
    for problem in _rules(mail):
        named.add(problem.where)
        yield problem
    for wrong in wrong_types(MAIL, mail):
        problem = _invalid_type(*wrong)
        if named.isdisjoint((problem.where, f"{problem.where}.email")):
            yield problem


def _rules(mail: dict[str, Any]) -> Iterator[Problem]:
    yield from _unknown(mail, _MAIL, "")
    if mail.get("from"):
        yield from _address(mail["from"], "from")
    else:
        yield Problem("The from object must be provided for every email send.", "from")
    if mail.get("reply_to") is not None:
        yield from _address(mail["reply_to"], "reply_to")
    yield from _custom_args(mail, "")
    if isinstance(mail.get("mail_settings"), dict):
        yield from _mail_settings(mail["mail_settings"])
    yield from _personalizations(mail)
    if not mail.get("template_id"):
        yield from _content(mail.get("content"))
    yield from _attachments(mail.get("attachments") or [])


def recipients(mail: dict[str, Any]) -> list[str]:
    """Return the addresses that a mail without problems goes to."""
    entries = [
        entry for one in mail["personalizations"] for name in ("to", "cc", "bcc") for entry in one.get(name) or []
    ]
    return [entry["email"] for entry in entries]


def _mail_settings(given: dict[str, Any]) -> Iterator[Problem]:
    """That bypass_list_management cannot be combined with another bypass is documented; its message is not."""
    bypasses = [f"bypass_{name}_management" for name in ("list", "spam", "bounce", "unsubscribe")]
    if bypasses[0] in given and any(name in given for name in bypasses[1:]):
        message = "bypass_list_management cannot be combined with other bypass filters."
        yield Problem(message, f"mail_settings.{bypasses[0]}")


def _personalizations(mail: dict[str, Any]) -> Iterator[Problem]:
    found = mail.get("personalizations")
    if not found:
        message = "The personalizations field is required and must have at least one personalization."
        yield Problem(message, "personalizations")
        return
    if not isinstance(found, list) or len(found) > _MAX_RECIPIENTS:
        yield Problem("The personalizations field must be an array of at most 1000 objects.", "personalizations")
        return
    count, unnamed = 0, False
    for index, one in enumerate(found):
        where = f"personalizations.{index}"
        if not isinstance(one, dict):
            yield Problem("A personalization must be an object.", where)
            continue
        yield from _personalization(one, where)
        count += sum(len(one[name]) for name in ("to", "cc", "bcc") if isinstance(one.get(name), list))
        unnamed = unnamed or not one.get("subject")
    if count > _MAX_RECIPIENTS:
        yield Problem("A mail may have at most 1000 recipients.", "personalizations")
    if unnamed and not mail.get("template_id") and not mail.get("subject"):
        yield Problem(
            "The subject is required. You can get around this requirement if you use a template with a "
            "subject defined or if every personalization has a subject defined.",
            "subject",
        )


def _personalization(one: dict[str, Any], where: str) -> Iterator[Problem]:
    yield from _unknown(one, _PERSONALIZATION, f"{where}.")
    yield from _custom_args(one, f"{where}.")
    if not one.get("to"):
        yield Problem(
            "The to array is required for all personalization objects, and must have at least one email "
            "object with a valid email address.",
            f"{where}.to",
        )
    seen: set[str] = set()
    for name in ("to", "cc", "bcc"):
        entries = one.get(name) or []
        if not isinstance(entries, list):
            yield Problem(f"The {name} field must be an array.", f"{where}.{name}")
            continue
        for position, entry in enumerate(entries):
            wrong = list(_address(entry, f"{where}.{name}.{position}"))
            yield from wrong
            address = "" if wrong else entry["email"]
            if address and address.lower() in seen:
                yield Problem(
                    "Each email address in the personalization block should be unique between to, cc, and bcc. We "
                    f"found the first duplicate instance of [{address}] in the {where}.{name} field.",
                    where,
                )
            seen.add(address.lower())


def _content(content: Any) -> Iterator[Problem]:
    if not isinstance(content, list) or not content:
        yield Problem(
            "Unless a valid template_id is provided, the content parameter is required. There must be at "
            "least one defined content block.",
            "content",
        )
        return
    rank = {"text/plain": 0, "text/x-amp-html": 1, "text/html": 2}
    ranks = []
    for index, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str) or "/" not in part["type"]:
            yield Problem("The content type must be a MIME type.", f"content.{index}.type")
            continue
        yield from _unknown(part, frozenset(("type", "value")), f"content.{index}.")
        if not isinstance(part.get("value"), str) or not part["value"]:
            message = "The content value must be a string at least one character in length."
            yield Problem(message, f"content.{index}.value")
        ranks.append(rank.get(part["type"].split(";")[0].strip().lower(), 3))
    if ranks != sorted(ranks):
        yield Problem(
            "If present, text/plain and text/html may only be provided once, text/plain must be first, "
            "followed by text/x-amp-html and text/html.",
            "content",
        )


def _attachments(attachments: Any) -> Iterator[Problem]:
    if not isinstance(attachments, list):
        yield _invalid_type("array", attachments, "attachments")
        return
    for index, attachment in enumerate(attachments):
        for name in ("content", "filename"):
            if not isinstance(attachment, dict) or not attachment.get(name):
                yield Problem(f"The attachment {name} is required.", f"attachments.{index}.{name}")


def _custom_args(given: dict[str, Any], within: str) -> Iterator[Problem]:
    yield from _object(given, "custom_args", within)
    args = given.get("custom_args")
    if isinstance(args, dict):
        for name, value in args.items():
            if not isinstance(value, str):
                yield _invalid_type("string", value, f"{within}custom_args.{name}")


def _object(given: dict[str, Any], name: str, within: str = "") -> Iterator[Problem]:
    if given.get(name) is not None and not isinstance(given[name], dict):
        yield _invalid_type("object", given[name], within + name)


def _invalid_type(expected: str, value: Any, where: str) -> Problem:
    return Problem(f"Invalid type. Expected: {expected}, given: {JSON_TYPES.get(type(value), 'null')}.", where)


def _address(entry: Any, where: str) -> Iterator[Problem]:
    address = entry.get("email") if isinstance(entry, dict) else None
    if not isinstance(address, str) or len(address) > MAX_ADDRESS or not _ADDRESS.fullmatch(address):
        yield Problem(f"Does not contain a valid address: {str(address)[:MAX_ADDRESS]}.", f"{where}.email")
    if isinstance(entry, dict):
        yield from _unknown(entry, frozenset(("email", "name")), f"{where}.")


def _unknown(given: dict[str, Any], names: frozenset[str], within: str) -> Iterator[Problem]:
    for name in given:
        if name not in names:
            yield Problem(f"Additional property {name} is not allowed", f"{within}{name}")

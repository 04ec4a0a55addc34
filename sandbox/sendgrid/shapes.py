"""The members of a mail and their JSON types, as far as `sandbox.sendgrid.checks` has no rule of its own for them.

Members and types: the request body of "Mail Send"
(https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

JSON_TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
_SWITCH = {"enable": bool}
_NAME = {"name": str}
_PERSONALIZATION: dict[str, Any] = {
    "bcc": [_NAME],
    "cc": [_NAME],
    "dynamic_template_data": dict,
    "from": {"email": str, "name": str},
    "headers": dict,
    "send_at": int,
    "subject": str,
    "substitutions": dict,
    "to": [_NAME],
}
_TRACKING = {
    "click_tracking": {**_SWITCH, "enable_text": bool},
    "ganalytics": {
        **_SWITCH,
        **dict.fromkeys(("utm_campaign", "utm_content", "utm_medium", "utm_source", "utm_term"), str),
    },
    "open_tracking": {**_SWITCH, "substitution_tag": str},
    "subscription_tracking": {**_SWITCH, **dict.fromkeys(("html", "substitution_tag", "text"), str)},
}
# A dictionary of types is an object with these members, a list an array of its item.
MAIL: dict[str, Any] = {
    "attachments": [dict.fromkeys(("content", "content_id", "disposition", "filename", "type"), str)],
    "asm": {"group_id": int, "groups_to_display": [int]},
    "batch_id": str,
    "categories": [str],
    "from": _NAME,
    "headers": dict,
    "ip_pool_name": str,
    "mail_settings": {
        **{f"bypass_{name}_management": _SWITCH for name in ("bounce", "list", "spam", "unsubscribe")},
        "footer": {**_SWITCH, "html": str, "text": str},
        "sandbox_mode": _SWITCH,
    },
    "personalizations": [_PERSONALIZATION],
    "reply_to": _NAME,
    "reply_to_list": [{"email": str, "name": str}],
    "sections": dict,
    "send_at": int,
    "subject": str,
    "template_id": str,
    "tracking_settings": _TRACKING,
}


def wrong_types(shape: Any, value: Any, where: str = "") -> Iterator[tuple[str, Any, str]]:
    """Yield (the expected JSON type, the value, where it is) for each member of another type. null is as absent."""
    if value is None:
        return
    wanted = dict if isinstance(shape, Mapping) else list if isinstance(shape, list) else shape
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        yield JSON_TYPES[wanted], value, where
    elif isinstance(shape, Mapping):
        for name, inner in shape.items():
            if name in value:
                yield from wrong_types(inner, value[name], f"{where}.{name}" if where else name)
    elif isinstance(shape, list):
        for place, item in enumerate(value):
            yield from wrong_types(shape[0], item, f"{where}.{place}")
